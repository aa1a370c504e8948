"""The data sets on the command line: `python -m data COMMAND`.

In:   a command and its arguments.
Out:  the command's exit code.
Not here: the commands; each module of COMMANDS adds its own by `add_parser(commands)`, whose parsers set `run`, a
    function of the parsed arguments that gives an exit code or None.
"""

from __future__ import annotations

import sys

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import argparse
from collections.abc import Sequence

from data import convert, get, look, verify
from data.lmdb_pairs import command as lmdb_pairs
from data.nyud import hha_files

COMMANDS = (
    look,
    get,
    verify,
    convert,
    hha_files,
    lmdb_pairs,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; faults are raised (startup.run makes lines of them)."""
    parser = argparse.ArgumentParser(prog="python -m data", description="Fetch, check and convert the data sets.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_parser(commands)
    args = parser.parse_args(argv)
    return args.run(args) or 0


if __name__ == "__main__":
    startup.quiet_caffe()
    sys.exit(startup.run(main))

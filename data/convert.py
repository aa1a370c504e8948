"""The converters on the command line: `python -m data convert SET`.

In:   the set's own files.
Out:  what its data layer reads.
Not here: the converters; each adds its own parser by `add_parser(sets)`, as the commands of `python -m data` do.
"""

from __future__ import annotations

import argparse

from data.nyud import convert as nyud
from data.sbdd import convert as sbd

CONVERTERS = (nyud, sbd)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `convert` to the commands of `python -m data`."""
    parser = commands.add_parser("convert", help="turn a set's own files into what the nets read")
    sets = parser.add_subparsers(dest="set", required=True, metavar="SET")
    for module in CONVERTERS:
        module.add_parser(sets)

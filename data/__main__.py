"""The data sets on the command line: `python -m data list`, `python -m data check NAME`.

In:   a name, and the folder that places are relative to.
Out:  text; exit code 1 when something is missing.
Not here: what a set consists of (sets.py), making or fetching files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import startup
from data.sets import SETS, data_set, describe, missing, read_ids


def list_sets() -> None:
    """Print one line for each data set."""
    for row in SETS.values():
        splits = ", ".join(split.name for split in row.splits)
        print(f"{row.name:8} {len(row.classes)} classes; splits: {splits}; {row.licence}")


def check(name: str, root: Path) -> bool:
    """Print what is there of a data set and what is missing; True if nothing is."""
    row, absent = data_set(name), missing(name, root=root)
    gone = {need.place for need in absent}
    for place in (need.place for need in row.needs if need.place not in gone):
        print(f"found   {place}")
    if absent:
        print(describe(absent))
        print(f"{name}: {len(absent)} missing in {root.resolve()}", file=sys.stderr)
        return False
    for split in row.splits:
        ids = read_ids(root / split.folder / split.ids, numbered=not split.label)
        print(f"{name}: split '{split.name}' whole, {len(ids)} images")
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; faults are raised (startup.run makes lines of them)."""
    parser = argparse.ArgumentParser(prog="python -m data", description="Look at the data sets.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the data sets")
    checker = commands.add_parser("check", help="say what is there and what is missing")
    checker.add_argument("name", metavar="NAME", help=f"one of: {', '.join(SETS)}")
    checker.add_argument("--root", type=Path, default=Path("."), help="the project's root (.)")
    args = parser.parse_args(argv)
    if args.command == "list":
        list_sets()
        return 0
    return 0 if check(args.name, args.root) else 1


if __name__ == "__main__":
    sys.exit(startup.run(main))

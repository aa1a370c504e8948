"""What there is of the data sets: `python -m data list`, `python -m data check NAME`.

In:   a name, and the folder that places are relative to.
Out:  text; exit code 1 when something is missing.
Not here: what a set consists of (sets.py), fetching (get.py), looking into the files (verify.py).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.sets import SETS, data_set, describe, missing, read_ids

PART_OF = {"sbd": "voc", "context": "pascalcontext", "context33": "pascalcontext33", "nyud-mat": "nyud"}  # get's names


def list_sets() -> None:
    """Print one line for each data set."""
    for row in SETS.values():
        splits = ", ".join(split.name for split in row.splits)
        print(f"{row.name:15} {len(row.classes)} classes; splits: {splits}; {row.licence}")


def check(name: str, root: Path) -> bool:
    """Print what is there of a data set and what is missing; True if nothing is."""
    name = PART_OF.get(name, name)
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


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `list` and `check` to the commands of `python -m data`."""
    lister = commands.add_parser("list", help="name the data sets")
    lister.set_defaults(run=lambda args: list_sets())
    checker = commands.add_parser("check", help="say what is there and what is missing")
    checker.add_argument("name", metavar="NAME", help=f"one of: {', '.join((*SETS, *PART_OF))}")
    checker.add_argument("--root", type=Path, default=Path("."), help="the project's root (.)")
    checker.set_defaults(run=lambda args: 0 if check(args.name, args.root) else 1)

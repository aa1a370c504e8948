"""LMDB pairs on the command line: `python -m data lmdb write|read|verify`.

In:   arguments.
Out:  text, progress bars; faults are raised.
Not here: what it does (writing.py, checking.py), where data sets lie (source.py).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from pathlib import Path
from typing import Any

from data.lmdb_pairs.checking import read, verify
from data.lmdb_pairs.datums import ENCODINGS
from data.lmdb_pairs.source import Source, of_folders, of_prototxt, of_set, ordered
from data.lmdb_pairs.writing import RECORD, Plan, estimate, megabytes, plan, write
from data.sets import SETS, DataError
from data.whole import write_text

SEED = 1337  # of the released nets
LIST = "train.txt"  # in --out, of --images and --labels


def add_parser(commands: Any) -> None:
    """Add `lmdb` to the sub-commands of `python -m data`."""
    lmdb = commands.add_parser("lmdb", help="segmentation sets as LMDBs for Caffe's Data layers, and back")
    lmdb.set_defaults(run=run)
    actions = lmdb.add_subparsers(dest="action", required=True)
    writer = actions.add_parser("write", help="write one LMDB a top; a second run goes on where the first one stopped")
    writer.add_argument("name", nargs="?", metavar="NAME", help=f"one of: {', '.join(SETS)}")
    writer.add_argument("--split", default="train", help="of the set (train)")
    writer.add_argument("--tops", default="", help="of nyud, by commas: color,depth,hha,label (color,label)")
    writer.add_argument("--root", type=Path, default=Path("."), help="the project's root (.)")
    writer.add_argument("--prototxt", type=Path, help="in place of NAME: a net with a Python data layer, in its order")
    writer.add_argument("--images", type=Path, help="in place of NAME: a folder of images")
    writer.add_argument("--labels", type=Path, help="and one of labels: palette or grey PNGs of the same names")
    writer.add_argument("--out", type=Path, required=True, help="folder of the LMDBs")
    writer.add_argument("--encode", choices=ENCODINGS, default=ENCODINGS[0],
                        help="images: their files untouched where a Caffe reads the same pixels from them, PNG or raw")
    writer.add_argument("--label-encode", choices=ENCODINGS[1:], default="png", help="labels: grey PNG or raw")
    writer.add_argument("--order", choices=("file", "draws"), help="of the list (the default), or as the layer draws")
    writer.add_argument("--draws", type=int, help="how many items (default: those of the list, once)")
    writer.add_argument("--seed", type=int, default=SEED, help=f"of the draws ({SEED})")
    writer.add_argument("--no-verify", action="store_true", help="do not read everything back at the end")
    for action, text in (("verify", "read back and compare"), ("read", "make pictures of the records again")):
        parser = actions.add_parser(action, help=text)
        parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the LMDBs")
        if action == "read":
            parser.add_argument("--out", type=Path, required=True, help="folder for the files")


def run(args: argparse.Namespace) -> int:
    """Run the sub-command; gives the exit status."""
    if args.action == "write":
        _write(args)
    elif args.action == "verify":
        _verify(args.folder)
    else:
        from vis import make_palette
        count = read(args.folder, args.out, make_palette(256), _bar("reading"))
        print(f"{count} pairs of '{args.folder}' are files in '{args.out}'")
    return 0


def _write(args: argparse.Namespace) -> None:
    try:
        what = _planned(args)
    except (ValueError, OSError):
        _take_list_back(args)
        raise
    there = write(what, args.out, _bar("writing"))
    if there:
        print(f"{there} of {what.count} items were there already")
    if not args.no_verify:
        _verify(args.out)


def _planned(args: argparse.Namespace) -> Plan:
    """Look at the source, say what would be written."""
    source = _source(args)
    drawn = source.opened()
    if drawn.random and not args.draws:
        raise DataError("draws never end; say how many with --draws N")
    if args.draws is not None and args.draws < 1:
        raise DataError(f"--draws {args.draws}; want 1 or more")
    what = plan(source, args.draws or len(drawn.indices), args.encode, args.label_encode)
    print(f"{args.out}: {what.count} items, LMDBs {', '.join(what.kinds)}, about {megabytes(estimate(what))}")
    return what


def _source(args: argparse.Namespace) -> Source:
    given = [bool(args.name), args.prototxt is not None, args.images is not None or args.labels is not None]
    if sum(given) != 1 or (args.images is None) != (args.labels is None):
        raise DataError("want one of: NAME with --split, --prototxt FILE, --images DIR with --labels DIR")
    if args.prototxt is not None:
        source = of_prototxt(args.prototxt)
        return ordered(source, args.order, args.seed) if args.order else source
    if args.images is not None:
        return ordered(of_folders(args.images, args.labels, args.out, _list(args)), args.order or "file", args.seed)
    only = tuple(top for top in args.tops.split(",") if top)
    return ordered(of_set(args.name, args.split, args.root, only), args.order or "file", args.seed)


def _list(args: argparse.Namespace) -> str:
    """Write the list of ids of two folders into --out; gives its name."""
    for folder in (args.images, args.labels):
        if not folder.is_dir():
            raise DataError(f"'{folder}' is no folder; want one with pictures")
    images, labels = ({path.stem for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
                      for folder in (args.images, args.labels))
    alone = sorted(images ^ labels)
    if alone or not images:
        raise DataError(f"{len(alone)} files of '{args.images}' and '{args.labels}' have no partner of the same name, "
                        f"{len(images & labels)} have one" + (f"; the first is '{alone[0]}'" if alone else "")
                        + "; want one label for each image")
    place, text = args.out / LIST, "\n".join(sorted(images)) + "\n"
    if (args.out / RECORD).exists() and place.exists() and place.read_text(encoding="utf-8") != text:
        raise DataError(f"'{args.out}' was written with another list of images (see {LIST} there); choose another "
                        "--out, or delete the folder")
    write_text(place, text)
    return place.stem


def _take_list_back(args: argparse.Namespace) -> None:
    """Remove the list of two folders of which nothing was written."""
    if args.images is not None and not (args.out / RECORD).exists():
        (args.out / LIST).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other things are in it, or it was never made
            args.out.rmdir()


def _verify(folder: Path) -> None:
    found = verify(folder, _bar("verifying"))
    how = "each equal to its files" if found.compared else f"not compared with its files ({found.why_not})"
    print(f"{folder}: {found.pairs} pairs, keys agree, all decode, {how}")


def _bar(what: str) -> Any:
    from tqdm import tqdm

    return functools.partial(tqdm, desc=what, unit="pair", file=sys.stderr, disable=None, delay=0.5)

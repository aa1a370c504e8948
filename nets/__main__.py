"""Emit the zoo's nets as prototxt files: python -m nets [NAME ...] --out models [--check].

In:   names, a folder for the files, folders of data sets where they are elsewhere.
Out:  OUT/NAME/{train,val,deploy}.prototxt, or with --check the list of files that differ from the zoo.
Not here: what the nets say (zoo); `python -m nets explain` (explain), `python -m nets weights` (weights).
"""

from __future__ import annotations

import sys

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import argparse
from collections.abc import Sequence
from pathlib import Path

from nets import explain, weights
from nets.lmdb_feed import FOLDER, with_lmdb
from nets.prototxt import is_fresh, write_prototxt
from nets.zoo import DIRS, ZOO, emit, phases


def main(argv: Sequence[str] | None = None) -> int:
    """Emit or check; gives the exit status. Faults are raised (startup.run makes lines of them)."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["explain"]:
        return explain.main(words[1:])
    if words[:1] == ["weights"]:
        return weights.main(words[1:])
    args = _arguments(words)
    dirs = {key: getattr(args, key) for key in DIRS}
    stale: list[Path] = []
    for name in args.names or ZOO:
        for phase in phases(name):
            path, net = Path(args.out) / name / f"{phase}.prototxt", emit(name, phase, **dirs)
            if args.data == "lmdb":
                net = with_lmdb(name, net, args.lmdb_dir)
            if not args.check:
                write_prototxt(net, path)
            elif not is_fresh(net, path):
                stale.append(path)
    if stale:
        print("nets: not what the zoo says: " + " ".join(str(path) for path in stale)
              + f"; run: python -m nets --out {args.out}", file=sys.stderr)
    return 1 if stale else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nets", description="Emit the zoo's nets as prototxt files.",
        epilog="`python -m nets explain NAME|FILE` says of a net why it pads and crops, `python -m nets weights NAME` "
               "fetches released weights. Nets: " + ", ".join(ZOO))
    parser.add_argument("names", nargs="*", metavar="NAME", help="nets to emit (default: all)")
    parser.add_argument("--out", help="folder of the nets' folders (default: models, for LMDB models/lmdb)")
    parser.add_argument("--data", choices=("python", "lmdb"), default="python",
                        help="who reads the data: Python layers (default), or Data layers (see python -m data lmdb)")
    parser.add_argument("--lmdb-dir", default=FOLDER, metavar="PATH", help=f"above the LMDBs (default: {FOLDER})")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    for key, default in DIRS.items():
        parser.add_argument("--" + key.replace("_", "-"), dest=key, metavar="PATH",
                            help=f"instead of {default}")
    args = parser.parse_args(argv)
    args.out = args.out or ("models/lmdb" if args.data == "lmdb" else "models")
    return args


if __name__ == "__main__":
    startup.quiet_caffe()
    sys.exit(startup.run(main))

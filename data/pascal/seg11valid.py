"""Make the list `seg11valid`: `python -m data.pascal.seg11valid`.

In:   VOC 2011's val.txt (segmentation) and SBD's train.txt, from the user's disk.
Out:  ImageSets/Segmentation/seg11valid.txt beside val.txt: val without what SBD trains on.
Not here: fetching either (data/pascal/README.md).
Source: the FCN release validates on these 736 images; its list is known here by digest only.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import startup
from data.sets import DataError, read_ids
from data.whole import write_text

COUNT, DIGEST = 736, "33d3d44294e02741"  # first 16 digits of SHA-256, ids joined by newlines
LISTS = Path("ImageSets/Segmentation")


def seg11valid_ids(val: Sequence[str], sbdd_train: Sequence[str]) -> list[str]:
    """Return the ids of val, sorted, that SBD does not train on."""
    return sorted(set(val) - set(sbdd_train))


def digest(ids: Sequence[str]) -> str:
    """Return the first 16 hexadecimal digits of the ids' SHA-256, joined by newlines."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def make(voc_dir: Path, sbdd_dir: Path, *, subset: bool = False) -> Path:
    """Write seg11valid.txt.

    Args:
        voc_dir: VOC2011 of the devkit.
        sbdd_dir: SBD's `dataset`.
        subset: write the list even if it is not the release's 736 ids.

    Returns:
        The path of the list.

    Raises:
        DataError: a list is missing, or the result is not the release's.
        OSError: the list cannot be written.
    """
    ids = seg11valid_ids(_read(voc_dir / LISTS / "val.txt"), _read(sbdd_dir / "train.txt"))
    if not ids:
        raise DataError(f"nothing of '{voc_dir / LISTS / 'val.txt'}' is left without SBD's train")
    if digest(ids) != DIGEST and not subset:
        raise DataError(
            f"seg11valid from '{voc_dir}' and '{sbdd_dir}' has {len(ids)} ids, digest "
            f"{digest(ids)}; want {COUNT}, {DIGEST}: the lists are not VOC 2011's val.txt and "
            "SBD's train.txt, or only a part of them; --subset writes the list all the same, "
            "scores on it are then not the paper's"
        )
    path = voc_dir / LISTS / "seg11valid.txt"
    write_text(path, "".join(f"{name}\n" for name in ids))
    return path


def _read(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"list '{path}' is missing; `python -m data check voc` says where from")
    return read_ids(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; faults are raised (startup.run makes lines of them)."""
    parser = argparse.ArgumentParser(
        prog="python -m data.pascal.seg11valid", description="Make the list seg11valid."
    )
    parser.add_argument("--voc-dir", type=Path, default=Path("data/pascal/VOC2011"))
    parser.add_argument("--sbdd-dir", type=Path, default=Path("data/sbdd/dataset"))
    parser.add_argument("--subset", action="store_true", help="accept lists that are only a part")
    args = parser.parse_args(argv)
    path = make(args.voc_dir, args.sbdd_dir, subset=args.subset)
    ids = read_ids(path)
    note = "the release's list" if digest(ids) == DIGEST else "NOT the release's list"
    print(f"{path}: {len(ids)} ids, {note}")
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

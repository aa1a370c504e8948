"""NYUDv2 from NYU's own file: `python -m data convert nyud --mat FILE --mapping FILE`.

In:   nyu_depth_v2_labeled.mat, the mapping of its classes to 40, splits.mat if given.
Out:  data/images, data/depth (PNGs), segmentation (.mat) and the split lists, as the release has them.
Not here: what those files contain (labeled_mat.py), HHA (hha_files.py).
Source: the layout that the released nets read; frame n of the file has id 5000 + n.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image

from data.nyud import batch
from data.nyud.labeled_mat import FIRST_ID, Frame, names_of, opened, read_frame, read_mapping, read_splits
from data.processes import cores
from data.sets import read_ids
from data.whole import DataError, is_whole, remove_left_over, write_text, write_whole

OUT, RECORD = Path("data/nyud"), ".made-with.json"
AT_ONCE = 8  # frames a process reads with the file opened once
# First 16 digits of the SHA-256 of the release's ids, sorted and joined by newlines.
DIGESTS = {"train": "f29b0c2b58cf2991", "val": "140f799a3016db88", "test": "0b128b3a51a20438"}


class Paths(NamedTuple):
    """The files of one frame."""

    image: Path
    depth: Path
    label: Path


def paths_of(out: Path, index: int) -> Paths:
    """Return where frame `index` (from 0) goes."""
    stem = f"img_{FIRST_ID + index}"
    return Paths(out / "data/images" / f"{stem}.png", out / "data/depth" / f"{stem}.png",
                 out / "segmentation" / f"{stem}.mat")


def convert(mat: Path, mapping: Optional[Path], out: Path = OUT, splits: Optional[Path] = None,
            workers: int = 1) -> tuple[int, int]:
    """Write the frames that are not there yet, then the lists.

    Args:
        mat: nyu_depth_v2_labeled.mat.
        mapping: see labeled_mat.read_mapping.
        out: the set's folder.
        splits: splits.mat, or None.
        workers: processes.

    Returns:
        How many frames there are, and how many of them were written now.

    Raises:
        DataError: a file is not what it must be; frames that were whole stay, all others are done.
        OSError: a file cannot be written.
    """
    with opened(mat) as file:
        count, names = len(file["images"]), names_of(file)
    table = read_mapping(mapping, names)
    lists = read_splits(splits, count) if splits else {}
    frames = [paths_of(out, index) for index in range(count)]
    for path in frames[0]:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path.parent)
    labels = [paths.label for paths in frames]
    # other images or depths cannot come of it, other labels can
    batch.begin(out / "segmentation" / RECORD, {"mapping": hashlib.sha256(table.tobytes()).hexdigest()}, labels)
    todo = [index for index, paths in enumerate(frames) if not _is_done(paths)]
    chunks = [todo[start:start + AT_ONCE] for start in range(0, len(todo), AT_ONCE)]
    batch.run(partial(_convert_some, mat, out, table), chunks, workers, name="nyud", done=count - len(todo),
              total=count)
    write_lists(out, lists)
    return count, len(todo)


def _is_done(paths: Paths) -> bool:
    return is_whole(paths.image) and is_whole(paths.depth) and paths.label.exists()


def _convert_some(mat: Path, out: Path, table: np.ndarray, indices: list[int]) -> tuple[int, list[str]]:
    """Write some frames; give how many, and what was wrong with any."""
    faults = []
    with opened(mat) as file:
        for index in indices:
            try:
                write_frame(read_frame(mat, file, index), paths_of(out, index), table)
            except DataError as error:
                faults.append(f"frame {index + 1}: {error}")
    return len(indices), faults


def write_frame(frame: Frame, paths: Paths, table: np.ndarray) -> None:
    """Write one frame's files, the label last.

    Args:
        frame: see labeled_mat.
        paths: of its files.
        table: class 0 ... 40 of each class of the file.

    Raises:
        DataError: a class beyond the table, or a depth that 16 bits of millimetres do not hold.
    """
    from scipy.io import savemat

    if frame.label.max() >= len(table):
        raise DataError(f"label {frame.label.max()}, the mapping has classes up to {len(table) - 1}")
    millimetres = np.rint(1000 * np.nan_to_num(frame.depth.astype(np.float64), nan=0, posinf=0, neginf=0))
    if millimetres.min() < 0 or millimetres.max() > 65535:
        raise DataError(f"depth from {millimetres.min() / 1000:g} to {millimetres.max() / 1000:g} m, want 0 to 65.535")
    image, depth = Image.fromarray(np.ascontiguousarray(frame.image)), Image.fromarray(millimetres.astype(np.uint16))
    write_whole(paths.image, lambda file: image.save(file, "PNG"))
    write_whole(paths.depth, lambda file: depth.save(file, "PNG"))
    variables = {"segmentation": table[frame.label]}
    write_whole(paths.label, lambda file: savemat(file, variables, do_compression=True))


def write_lists(out: Path, lists: dict[str, list[str]]) -> None:
    """Write the split lists that are known; trainval is train and then val where both lists lie in `out`.

    Args:
        out: the set's folder.
        lists: ids of trainval and test, or nothing.

    Raises:
        DataError: train.txt and val.txt are not what trainval is made of.
    """
    parts = [out / "train.txt", out / "val.txt"]
    if all(part.is_file() for part in parts):
        joined = [name for part in parts for name in read_ids(part)]
        if sorted(joined) != sorted(lists.get("trainval", joined)):
            raise DataError(f"'{parts[0]}' and '{parts[1]}' together are not the training frames of splits.mat; remove "
                            "the lists or give the splits.mat that they were made of")
        lists = {**lists, "trainval": joined}
    for name, ids in lists.items():
        write_text(out / f"{name}.txt", "".join(f"{one}\n" for one in ids))


def report_lists(out: Path) -> None:
    """Print which lists are there, and whether they are the release's."""
    for name in ("train", "val", "trainval", "test"):
        path = out / f"{name}.txt"
        if not path.is_file():
            remedy = "the nets train without it" if name in ("train", "val") else "give --splits splits.mat"
            print(f"{path}: not there ({remedy})")
            continue
        ids = sorted(read_ids(path))
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
        note = {True: ", the release's", False: ", not the release's"}.get(digest == DIGESTS.get(name, digest))
        print(f"{path}: {len(ids)} ids{note if name in DIGESTS else ''}")


def run(args: argparse.Namespace) -> int:
    """Run the command with its parsed arguments."""
    count, written = convert(args.mat, args.mapping, args.out, args.splits, args.jobs)
    print(f"{args.out}: {count} frames, {written} of them converted now")
    report_lists(args.out)
    print("HHA pictures: `python -m data hha`", file=sys.stderr)
    return 0


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `nyud` to the commands of `python -m data convert`; the parsed `run` does it."""
    parser = commands.add_parser("nyud", help="NYU's labelled .mat to images, depth, labels and lists")
    add = parser.add_argument
    add("--mat", type=Path, required=True, metavar="FILE", help="nyu_depth_v2_labeled.mat")
    add("--mapping", type=Path, metavar="FILE",
        help="the file's 894 classes to 40: classMapping40.mat, or a text file of 894 numbers")
    add("--splits", type=Path, metavar="FILE", help="splits.mat, for trainval.txt and test.txt")
    add("--out", type=Path, default=OUT, metavar="DIR", help="the set's folder (%(default)s)")
    add("--jobs", type=int, default=cores(), metavar="N", help="processes (all cores: %(default)s)")
    parser.set_defaults(run=run)

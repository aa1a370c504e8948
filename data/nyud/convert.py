"""NYUDv2 from NYU's own file: `python -m data convert nyud --mapping FILE`.

In:   nyu_depth_v2_labeled.mat, the mapping of its classes to 40.
Out:  data/images, data/depth (PNGs) and segmentation (.mat), as the release has them.
Not here: reading those files (labeled_mat.py), lists of ids (data/id_lists.py), HHA (hha_files.py).
Source: the layout that the released nets read; frame n of the file has id 5000 + n.
"""

from __future__ import annotations

import argparse
import hashlib
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image

from data.id_lists import of_splits_mat
from data.nyud import batch
from data.nyud.labeled_mat import FIRST_ID, Frame, names_of, opened, read_frame, read_mapping
from data.processes import cores
from data.whole import DataError, is_whole, remove_left_over, write_whole

OUT, RECORD = Path("data/nyud"), ".made-with.json"
AT_ONCE = 8  # frames a process reads with the file opened once


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


def convert(mat: Path, mapping: Optional[Path], out: Path = OUT, workers: int = 1) -> tuple[int, int]:
    """Write the frames that are not there yet.

    Args:
        mat: nyu_depth_v2_labeled.mat.
        mapping: see labeled_mat.read_mapping.
        out: the set's folder.
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


def run(args: argparse.Namespace) -> int:
    """Run the command with its parsed arguments."""
    mat, splits = args.mat or args.out / "nyu_depth_v2_labeled.mat", args.splits or args.out / "splits.mat"
    if args.splits and not splits.is_file():
        raise DataError(f"--splits '{splits}' is not there; `python -m data get nyud-mat` fetches it")
    count, written = convert(mat, args.mapping, args.out, args.jobs)
    print(f"{args.out}: {count} frames, {written} of them converted now")
    for line in of_splits_mat(splits, args.out) if splits.is_file() else ():
        print(line)
    if not (args.out / "trainval.txt").is_file():
        print(f"{args.out} has no trainval.txt yet; give --splits splits.mat, or run `python -m data get nyud-mat`")
    print("next, for the HHA nets: `python -m data hha`")
    return 0


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `nyud` to the commands of `python -m data convert`; the parsed `run` does it."""
    parser = commands.add_parser("nyud", help="NYU's labelled .mat to images, depth, labels and lists")
    add = parser.add_argument
    add("--mat", type=Path, metavar="FILE", help="default: nyu_depth_v2_labeled.mat in --out")
    add("--mapping", type=Path, metavar="FILE",
        help="the file's 894 classes to 40: classMapping40.mat, or a text file of 894 numbers")
    add("--splits", type=Path, metavar="FILE",
        help="of which trainval.txt and test.txt are made (default: splits.mat in --out)")
    add("--out", type=Path, default=OUT, metavar="DIR", help="the set's folder (%(default)s)")
    add("--jobs", type=int, default=cores(), metavar="N", help="processes (all cores: %(default)s)")
    parser.set_defaults(run=run)

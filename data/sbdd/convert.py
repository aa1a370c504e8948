"""SBD's labels as palette PNGs: `python -m data convert sbd`.

In:   dataset/cls/ID.mat (GTcls.Segmentation, classes) and dataset/inst/ID.mat (GTinst.Segmentation, objects).
Out:  ID.png beside each, with VOC's palette and the same numbers. SBD has no void border, so they have none.
Not here: the data layer, which reads the .mat files themselves (layers/voc_layers.py).
Source: the FCN release converts them in this way, to be looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from mat_files import read_mat
from param_str import DataLayerError
from PIL import Image
from tqdm import tqdm

from data.processes import cores, spread
from data.whole import DataError, is_whole, remove_left_over, write_whole
from vis import make_palette

KINDS = ("cls", "inst")
FOLDER = Path("data/sbdd/dataset")
AT_ONCE = 32  # files a process converts before it reports


def convert(folder: Path, kinds: Sequence[str] = KINDS, workers: int = 1) -> int:
    """Write the PNGs that are not there yet.

    Args:
        folder: SBD's `dataset`.
        kinds: cls (classes), inst (objects).
        workers: processes.

    Returns:
        How many were written.

    Raises:
        DataError: no label files; or some cannot be used: all others are converted, then these are named.
        OSError: the disk is full; what is written stays, and another call goes on.
    """
    todo: list[Path] = []
    for kind in kinds:
        mats = sorted((folder / kind).glob("*.mat"))
        if not mats:
            raise DataError(f"'{folder / kind}' has no .mat files; `python -m data get sbd` brings them")
        remove_left_over(folder / kind)
        todo += [mat for mat in mats if not is_whole(mat.with_suffix(".png"))]
    chunks = [todo[start:start + AT_ONCE] for start in range(0, len(todo), AT_ONCE)]
    faults: list[str] = []
    with tqdm(total=len(todo), desc="sbd", unit="label", dynamic_ncols=True) as bar:
        for done, found in spread(_convert_some, chunks, workers):
            faults += found
            bar.update(done)
    if faults:
        raise DataError(f"{len(faults)} of {len(todo)} labels cannot be converted, the others are: "
                        + "; ".join(sorted(faults)))
    return len(todo)


def convert_one(mat: Path) -> None:
    """Write ID.png beside ID.mat, whose folder is its kind.

    Raises:
        DataLayerError: a broken file, without the field, or with numbers that a PNG of 8 bits has not.
    """
    kind = mat.parent.name
    numbers = read_mat(str(mat), f"GT{kind}", "Segmentation")
    if numbers.min() < 0 or numbers.max() > 255:
        raise DataLayerError(f"label '{mat}' has numbers from {numbers.min()} to {numbers.max()}; want 0 to 255; fetch "
                             "it again")
    image = Image.fromarray(numbers.astype(np.uint8))
    image.putpalette(make_palette(256).tobytes())
    write_whole(mat.with_suffix(".png"), partial(image.save, format="PNG"))


def _convert_some(mats: Sequence[Path]) -> tuple[int, list[str]]:
    faults = []
    for mat in mats:
        try:
            convert_one(mat)
        except DataLayerError as error:
            faults.append(str(error))
    return len(mats), faults


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `sbd` to the commands of `python -m data convert`."""
    parser = commands.add_parser("sbd", help="SBD's .mat labels to palette PNGs beside them")
    parser.add_argument("--dir", type=Path, default=FOLDER, metavar="DIR", help="SBD's `dataset` (%(default)s)")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this one (both)")
    parser.add_argument("--jobs", type=int, default=cores(), metavar="N", help="processes (all cores: %(default)s)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command with its parsed arguments."""
    written = convert(args.dir, args.kind or KINDS, args.jobs)
    print(f"{args.dir}: {written} labels converted now")
    return 0

"""HHA pictures of a folder of depth pictures: `python -m data hha`.

In:   16-bit grey PNGs (NYUDv2's form: millimetres), the camera they were taken with.
Out:  a PNG of the same name for each, 8 bit RGB = disparity, height, angle.
Not here: the figures (hha.py).
Source: the layout of the release's NYUDv2, data/depth and data/hha.
"""

from __future__ import annotations

import argparse
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image

from data.nyud import batch
from data.nyud.camera import WINDOW, Camera, usual_camera
from data.processes import cores
from data.whole import DataError, is_whole, remove_left_over, write_whole

DEPTH, RECORD, UNIT = Path("data/nyud/data/depth"), ".made-with.json", 0.001


def read_depth(path: Path, unit: float = UNIT) -> np.ndarray:
    """Read a depth picture as (H, W) float64 metres, 0 where it is missing.

    Args:
        path: a PNG of 16-bit grey values.
        unit: metres of one grey value.

    Raises:
        DataError: not a picture, or of another form.
    """
    try:
        with Image.open(path) as picture:
            mode, values = picture.mode, np.array(picture)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DataError(f"depth '{path}': not a whole picture ({error}); copy or convert it again") from error
    if mode not in ("I;16", "I;16B", "I") or values.ndim != 2:
        raise DataError(f"depth '{path}': got a picture of mode {mode}, want 16-bit grey; this is no depth map, "
                        "or it was saved with 8 bits, which is too coarse")
    return values.astype(np.float64) * unit


def make(out: Path, camera: Optional[Camera], unit: float, window: int, depth: Path) -> tuple[int, list[str]]:
    """Make the HHA picture of one depth picture; give 1 and what was wrong with it, if anything."""
    from data.nyud.hha import hha  # scipy takes a while to import

    try:
        metres = read_depth(depth, unit)
        picture = Image.fromarray(hha(metres, camera or usual_camera(metres.shape), window))
    except DataError as error:
        return 1, [str(error) if str(depth) in str(error) else f"depth '{depth}': {error}"]
    write_whole(out / depth.name, lambda file: picture.save(file, "PNG"))
    return 1, []


def make_all(depth: Path, out: Path, camera: Optional[Camera] = None, unit: float = UNIT, window: int = WINDOW,
             workers: int = 1) -> tuple[int, int]:
    """Make the HHA pictures that are not there yet.

    Args:
        depth: folder of depth PNGs.
        out: folder for the HHA PNGs.
        camera: None: NYUDv2's, by the size of a map.
        unit: metres of one grey value.
        window: half the side of the windows planes are fitted in, pixels.
        workers: processes.

    Returns:
        How many pictures there are, and how many of them were made now.

    Raises:
        DataError: no depth pictures, or some failed (the others are done).
        OSError: a picture cannot be written.
    """
    sources = sorted(depth.glob("*.png")) if depth.is_dir() else []
    if not sources:
        raise DataError(f"folder '{depth}' has no depth pictures (*.png); convert NYUDv2 with "
                        "`python -m data convert nyud`, or name a folder with --depth")
    if out.resolve() == depth.resolve():
        raise DataError(f"--out is the folder of the depth pictures, '{depth}', which would be overwritten; "
                        "choose another")
    out.mkdir(parents=True, exist_ok=True)
    remove_left_over(out)
    settings = {"camera": astuple(camera) if camera else None, "unit": unit, "window": window}
    batch.begin(out / RECORD, settings, [out / path.name for path in sources])
    todo = [path for path in sources if not is_whole(out / path.name)]
    work = partial(make, out, camera, unit, window)
    batch.run(work, todo, workers, name="hha", done=len(sources) - len(todo), total=len(sources))
    return len(sources), len(todo)


def run(args: argparse.Namespace) -> int:
    """Run the command with its parsed arguments."""
    out = args.out or args.depth.parent / "hha"
    camera = Camera(*args.camera) if args.camera else None
    count, made = make_all(args.depth, out, camera, args.unit, args.window, args.jobs)
    print(f"{out}: {count} HHA pictures, {made} of them made now")
    return 0


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `hha` to the commands of `python -m data`; the parsed `run` does it."""
    parser = commands.add_parser("hha", help="make HHA pictures of depth pictures")
    add = parser.add_argument
    add("--depth", type=Path, default=DEPTH, metavar="DIR", help="16-bit PNGs (%(default)s)")
    add("--out", type=Path, metavar="DIR", help="folder for the pictures (default: `hha` beside --depth)")
    add("--camera", type=float, nargs=4, metavar=("FX", "FY", "CX", "CY"),
        help="focal lengths and centre in pixels of these pictures (default: NYUDv2's)")
    add("--unit", type=_positive, default=UNIT, metavar="METRES", help="of one grey value (%(default)s)")
    add("--window", type=_window, default=WINDOW, metavar="N",
        help="planes are fitted in squares of 2N + 1 pixels (%(default)s)")
    add("--jobs", type=int, default=cores(), metavar="N", help="processes (all cores: %(default)s)")
    parser.set_defaults(run=run)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def _window(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not in 1..100")
    return value

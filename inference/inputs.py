"""What a net is fed of one picture: colour, HHA or depth, each as its data layer would give it.

In:   a record's inputs; an image; files or folders with the HHA or depth that go with it.
Out:  a Scene: the picture as people see it, and an array for each input blob.
Not here: reading photographs (photos.py), running nets (infer.py), making HHA of depth (data/nyud).
Source: the FCN release's infer.py and NYUDv2 data layer for the preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from PIL import Image

from inference.photos import PhotoError, open_photo, read_photo
from nets import NetError
from nets.record import Input, Record

WHAT = {"color": "a photograph", "hha": "HHA (disparity, height and angle as one picture)",
        "depth": "depth (16 bits, millimetres)"}
SUFFIXES = (".png", ".tif", ".tiff", ".jpg")  # of a file that goes with an image, in a folder


class Scene(NamedTuple):
    """One picture, ready for a net."""

    whole: np.ndarray  # (H, W, 3) uint8 RGB, for people
    pictures: dict[str, np.ndarray]  # by kind, at the size for the net: (h, w, 3) uint8, depth (h, w)


def preprocess(im_rgb: np.ndarray, mean_bgr: Sequence[float], scale: float = 1.0) -> np.ndarray:
    """Make a net's input of a picture, bit for bit as the data layers do.

    Args:
        im_rgb: (H, W, 3) uint8 RGB.
        mean_bgr: blue, green, red, subtracted from 0 to 255.
        scale: multiplied after the mean is gone.

    Returns:
        (3, H, W) float32 BGR.
    """
    in_bgr = (im_rgb[:, :, ::-1] - np.asarray(mean_bgr, np.float64)).astype(np.float32)
    in_bgr = np.ascontiguousarray(in_bgr.transpose(2, 0, 1))  # (3, H, W)
    return in_bgr if scale == 1 else in_bgr * np.float32(scale)


def as_input(picture: np.ndarray, spec: Input, scale: float = 1.0) -> np.ndarray:
    """Make the values of one input blob, bit for bit as the data layers do.

    Args:
        picture: (H, W, 3) uint8 RGB or HHA as stored, or (H, W) depth in millimetres; a depth of 0 or
            one that is not finite is unknown, and becomes the mean.
        spec: kind and mean.
        scale: multiplied after the mean is gone.

    Returns:
        (C, H, W) float32.
    """
    if spec.kind == "color":
        return preprocess(picture, spec.mean, scale)
    if spec.kind == "hha":
        return preprocess(picture[:, :, ::-1], spec.mean, scale)  # not flipped: as stored
    known = np.isfinite(picture) & (picture > 0)
    log = np.log(np.where(known, picture, 1).astype(np.float32)) - np.float32(spec.mean[0])
    return (np.where(known, log, np.float32(0)) * np.float32(scale))[np.newaxis]


def main_kind(record: Record, given: Mapping[str, Optional[str]]) -> str:
    """Tell what the images of the command line are: photographs, unless the net reads none and they are its input.

    Args:
        record: of the net.
        given: by kind, the file or folder that goes with the images, or None.

    Raises:
        NetError: an input is missing, or one is given that the net does not read.
    """
    kinds = [spec.kind for spec in record.inputs]
    reads = " and ".join(WHAT[kind] for kind in kinds)
    for kind, path in given.items():
        if path is not None and kind not in kinds:
            raise NetError(f"net '{record.net}': reads {reads}, no {kind}; leave --{kind} out, or choose another --net")
    missing = [kind for kind in kinds if kind != "color" and given.get(kind) is None]
    main = "color" if "color" in kinds or not missing else missing.pop(0)
    if missing:
        raise NetError(f"net '{record.net}': reads {reads}; give --{missing[0]} FILE, or a folder with a file of each "
                       f"image's name" + (" (`python -m data hha` makes HHA of depth)" if missing[0] == "hha" else ""))
    return main


def companion(kind: str, place: str, image: Path, alone: bool) -> Path:
    """Find the file of `kind` that goes with an image.

    Args:
        kind: hha or depth.
        place: that file, or a folder with a file of the image's name.
        image: the image.
        alone: whether it is the only one, which a single file may go with.

    Raises:
        PhotoError: there is none.
    """
    path = Path(place)
    if path.is_dir():
        found = next((path / f"{image.stem}{end}" for end in (image.suffix, *SUFFIXES)
                      if (path / f"{image.stem}{end}").is_file()), None)
        if found is None:
            raise PhotoError(f"'{image}': no {kind} of this name in '{place}'; bring {image.stem}.png there")
        return found
    if not path.is_file():
        raise PhotoError(f"'{image}': its {kind} '{place}' is no file or folder")
    if not alone:
        raise PhotoError(f"'{image}': one file, '{place}', for the {kind} of several images; give --{kind} a folder")
    return path


def read_scene(image: Path, main: str, others: Mapping[str, Path], max_side: int | None = None) -> Scene:
    """Read an image and what goes with it.

    Args:
        image: file.
        main: its kind.
        others: files by kind.
        max_side: longest side for the net, or None.

    Raises:
        PhotoError: a file that cannot be used, or not of the image's size.
    """
    if main == "color":
        whole, for_net = read_photo(image, max_side)
        pictures = {main: for_net}
    else:
        array = _read(image, main)
        whole = array if array.ndim == 3 else _grey(array)
        pictures = {main: _smaller(array, max_side)}
    for kind, path in others.items():
        array = _read(path, kind)
        if array.shape[:2] != whole.shape[:2]:
            raise PhotoError(f"'{path}': {array.shape[1]} x {array.shape[0]} pixels, its image '{image}' "
                             f"{whole.shape[1]} x {whole.shape[0]}; want the same size")
        pictures[kind] = _smaller(array, max_side)
    return Scene(whole, pictures)


def _read(path: Path, kind: str) -> np.ndarray:
    """Read HHA (H, W, 3) uint8 or depth (H, W) as stored."""
    image = open_photo(path)
    is_depth = image.mode.startswith("I") or image.mode == "F"
    if kind == "hha" and image.mode != "RGB" or kind == "depth" and not is_depth:
        raise PhotoError(f"'{path}': mode {image.mode}, want {WHAT[kind]}; convert it from the depth itself, not "
                         f"from a picture of it")
    return np.asarray(image)


def _smaller(array: np.ndarray, max_side: int | None) -> np.ndarray:
    """Bring HHA or depth to at most `max_side`: depth by the nearest pixel, which invents none between two things."""
    height, width = array.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return array
    size = tuple(max(1, round(side * max_side / max(height, width))) for side in (width, height))
    rule = Image.Resampling.BILINEAR if array.ndim == 3 else Image.Resampling.NEAREST
    picture: Any = Image.fromarray(array if array.ndim == 3 else array.astype(np.float32))
    return np.asarray(picture.resize(size, rule))


def _grey(depth: np.ndarray) -> np.ndarray:
    """Show depth to people: (H, W) as (H, W, 3) uint8, near dark, far light."""
    known = np.where(np.isfinite(depth), depth, 0).astype(np.float64)
    return np.repeat((255 * known / max(known.max(), 1)).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)

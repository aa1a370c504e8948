"""What lies in the pairs: every image and label is read once, its size and its values noted.

In:   pairs of files.
Out:  a `Look` a pair: sizes, the codes of the label with their pixels, what could not be read.
Not here: what the codes mean (table), what is wrong with them (checker).   Source: ours.

A code is the value of a pixel in a label of one channel, or R * 65536 + G * 256 + B in one of three.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from inference.photos import UNREADABLE, PhotoError, read_photo
from own.pairs import Pair

VALUES, COLOURS = "values", "colours"
Size = Tuple[int, int]  # (H, W)
_ONE_CHANNEL = {"1", "L", "P", "I", "LA", "PA"}
_COLOURED = {"RGB", "RGBA", "CMYK", "RGBX", "YCbCr", "HSV"}
_COUNTED = 1 << 21  # from so many pixels on, counting codes up to 2 ** 24 is faster than sorting them
_WRITTEN_WITH_LOSS = {"JPEG", "MPO", "WEBP", "JPEG2000"}


class LabelError(ValueError):
    """A label file that cannot be read; the message is the reason alone."""


@dataclass
class Look:
    """What one pair is like. `fault` says why it cannot be used; the rest is undefined then."""

    pair: Pair
    fault: str = ""
    image_size: Size = (0, 0)
    stored_size: Size = (0, 0)  # of the image before it was turned as its EXIF says
    label_size: Size = (0, 0)
    form: str = VALUES
    grey: bool = False  # three channels that are equal everywhere
    lossy: bool = False  # a kind of file that changes values
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (C,) in order
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (C,) pixels of each
    solid: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (C,) of them amid their own kind
    palette: Optional[Tuple[Tuple[int, int], ...]] = None  # (value, colour) of the values used
    mean_rgb: Tuple[float, float, float] = (0, 0, 0)


def survey(pairs: Sequence[Pair]) -> List[Look]:
    """Read every pair, behind a progress bar; what cannot be read is noted, not raised."""
    from tqdm import tqdm

    pause = 0.2 if sys.stderr.isatty() else 10  # seconds; a log wants few lines
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(tqdm(pool.map(look_at, pairs), total=len(pairs), desc="check", unit="pair", dynamic_ncols=True,
                         mininterval=pause))


def look_at(pair: Pair) -> Look:
    """Read one pair."""
    look = Look(pair)
    try:
        image, _ = read_photo(pair.image)
        look.image_size = image.shape[:2]
        look.stored_size = _stored_size(pair.image)
        look.mean_rgb = tuple(image.reshape(-1, 3).mean(0).tolist())
        codes = _describe(look, pair.label)
    except (PhotoError, LabelError) as error:
        look.fault = str(error)
        return look
    look.label_size = codes.shape
    look.codes, kinds = _distinct(codes)
    look.counts = np.bincount(kinds.ravel(), minlength=len(look.codes))
    look.solid = _solid(kinds, len(look.codes))
    return look


def read_codes(path: Path, form: str) -> np.ndarray:
    """Read a label as (H, W) int64 codes of this form.

    Raises:
        LabelError: missing, broken, or of a mode that is no label.
    """
    label = _opened(path)
    if label.mode in _COLOURED or form == COLOURS:
        codes = _colours(label)
        return codes if form == COLOURS else codes & 255
    return _values(label)


def _describe(look: Look, path: Path) -> np.ndarray:
    """Note a label's form; gives its codes."""
    label = _opened(path)
    look.lossy = label.format in _WRITTEN_WITH_LOSS
    if label.mode in _COLOURED:
        codes = _colours(label)
        look.grey = bool(((codes & 255) * 0x010101 == codes).all())
        look.form = COLOURS
        return codes
    codes = _values(label)
    if label.mode == "P" and label.getpalette():
        table = np.array(label.getpalette()).reshape(-1, 3)
        look.palette = tuple((int(value), _code(table[value])) for value in np.unique(codes) if value < len(table))
    return codes


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as label:
            label.load()
    except UNREADABLE as error:
        reason = "no such file any more" if isinstance(error, FileNotFoundError) else error
        raise LabelError(f"'{path}': cannot be read as a label ({reason})") from error
    if label.mode not in _ONE_CHANNEL | _COLOURED and not label.mode.startswith("I;16"):
        raise LabelError(f"'{path}': a label of mode {label.mode}; want palette, grey or RGB")
    return label


def _values(label: Image.Image) -> np.ndarray:
    values = np.asarray(label.getchannel(0) if label.mode in ("LA", "PA") else label)
    return values.astype(np.int64) * (255 if label.mode == "1" else 1)  # (H, W)


def _colours(label: Image.Image) -> np.ndarray:
    rgb = np.asarray(label.convert("RGB")).astype(np.int64)  # (H, W, 3)
    return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]


def _code(rgb: Sequence[int]) -> int:
    return int(rgb[0]) << 16 | int(rgb[1]) << 8 | int(rgb[2])


def _distinct(codes: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Give the codes that occur, in order, and (H, W) which of them each pixel has."""
    if codes.max() >= _COUNTED and codes.size < _COUNTED:
        found, kinds = np.unique(codes, return_inverse=True)
        return found, kinds.reshape(codes.shape)  # NumPy's releases differ in its shape
    found = np.flatnonzero(np.bincount(codes.ravel()))
    kinds = np.zeros(codes.max() + 1, np.int32)
    kinds[found] = np.arange(len(found))
    return found, kinds[codes]


def _solid(kinds: np.ndarray, count: int) -> np.ndarray:
    """Count, for each kind, the pixels whose eight neighbours are of it too; in a tiny label, all."""
    if min(kinds.shape) < 3:
        return np.bincount(kinds.ravel(), minlength=count)
    across = (kinds[:, 1:-1] == kinds[:, :-2]) & (kinds[:, 1:-1] == kinds[:, 2:])  # (H, W - 2)
    middle = kinds[1:-1, 1:-1]
    alike = across[:-2] & across[1:-1] & across[2:] & (middle == kinds[:-2, 1:-1]) & (middle == kinds[2:, 1:-1])
    return np.bincount(middle[alike], minlength=count)


def _stored_size(path: Path) -> Size:
    with Image.open(path) as image:
        return image.height, image.width

"""Image files as data layers read them: decoded, and resized as OpenCV resizes.

In:   paths of images; a height and a width.
Out:  (C, H, W) uint8: grey, or blue, green, red.
Not here: decoding (datum), crops and means (data_transformer).
Source: BVLC io.cpp (ReadImageToCVMat); cv::resize, INTER_LINEAR on 8 bits, in its fixed-point steps.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from ..errors import CaffeError
from .datum import decode_image

_ONE = np.float32(2048)  # of a weight


def read_image(path: str, color: bool = True, height: int = 0, width: int = 0) -> np.ndarray:
    """Read an image file.

    Args:
        path: of any format that Pillow reads.
        color: three channels (blue, green, red), otherwise one.
        height: to resize to, in pixels; 0 keeps the image's size.
        width: likewise; both or none.

    Returns:
        (C, H, W) uint8; may be read-only.

    Raises:
        CaffeError: no such file, or not an image.
    """
    try:
        image = decode_image(Path(path).read_bytes(), color)
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise CaffeError(f"Could not open or find file {path}: {getattr(problem, 'strerror', problem)}") from problem
    except CaffeError as problem:
        raise CaffeError(f"{path}: {problem}") from problem
    return resize(image, height, width) if height and width else image


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (C, H, W) uint8 to (C, height, width) bilinearly, bit for bit as OpenCV does."""
    rows, columns = image.shape[1:]
    if (rows, columns) == (height, width):
        return image
    if (rows, columns) == (2 * height, 2 * width):  # exactly half: OpenCV takes the mean of four pixels
        quads = image.reshape(-1, height, 2, width, 2).astype(np.uint16)
        return (quads.sum((2, 4), dtype=np.uint16) + 2 >> 2).astype(np.uint8)
    left, right, weights = _taps(columns, width, True)
    across = image[:, :, left] * weights[0] + image[:, :, right] * weights[1] >> 4  # (C, H, width) int32
    top, bottom, weights = _taps(rows, height, False)
    weights = weights[:, :, np.newaxis]
    down = (across[:, top] * weights[0] >> 16) + (across[:, bottom] * weights[1] >> 16)
    return (down + 2 >> 2).clip(0, 255).astype(np.uint8)


@functools.lru_cache(64)
def _taps(old: int, new: int, inner: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each new pixel is made of: two old positions (new,) and their weights (2, new) out of 2048.

    `inner`: along a row OpenCV takes an edge position entirely from the pixel there; down a column it weights
    that pixel twice, which rounds differently.
    """
    at = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
    first = np.floor(at).astype(np.int64)
    rest = at - first.astype(np.float32)
    if inner:
        rest[(first < 0) | (first >= old - 1)] = 0
    weights = np.rint(np.stack([1 - rest, rest]) * _ONE).astype(np.int32)
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), weights

"""scipy.misc's image functions, which SciPy dropped in 1.2 and 1.3, on Pillow.

In:   images as arrays, H x W (grey) or H x W x 3 or 4; file names. Out: uint8 arrays, Pillow images, files.
Not here: windows (imshow), sample pictures (face, lena).
Source: SciPy 0.19's documentation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

INTERPOLATIONS = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS,
                  "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
                  "cubic": Image.Resampling.BICUBIC}


def bytescale(data: Any, cmin: float | None = None, cmax: float | None = None, high: int = 255,
              low: int = 0) -> np.ndarray:
    """Return uint8 as it is; anything else with [cmin, cmax] (its minimum and maximum) spread over [low, high]."""
    data = np.asarray(data)
    if data.dtype == np.uint8:
        return data
    least = float(data.min() if cmin is None else cmin)
    span = float(data.max() if cmax is None else cmax) - least
    if span < 0:
        raise ValueError(f"bytescale: cmax {cmax} is below cmin {cmin}")
    return (((data - least) * ((high - low) / (span or 1))).clip(0, high - low) + low + 0.5).astype(np.uint8)


def toimage(arr: Any, high: int = 255, low: int = 0, cmin: float | None = None, cmax: float | None = None,
            pal: Any = None, mode: str | None = None) -> Image.Image:
    """Return a Pillow image of an array; `mode` F and I keep the values, all others are bytes."""
    arr = np.asarray(arr)
    if mode in ("F", "I"):
        return Image.fromarray(arr.astype(np.float32 if mode == "F" else np.int32))
    if arr.ndim == 3 and arr.shape[2] not in (3, 4):  # as SciPy: the axis that has 3 or 4
        axis = next((a for a in range(3) if arr.shape[a] in (3, 4)), None)
        if axis is None:
            raise ValueError(f"toimage: shape {arr.shape}, want an axis of 3 or 4 channels")
        arr = np.moveaxis(arr, axis, 2)
    image = Image.fromarray(np.ascontiguousarray(bytescale(arr, cmin, cmax, high, low)))
    if pal is not None:
        image.putpalette(np.asarray(pal, np.uint8).tobytes())
    return image.convert(mode) if mode and mode != image.mode and pal is None else image


def fromimage(im: Image.Image, flatten: bool = False, mode: str | None = None) -> np.ndarray:
    """Return the array of a Pillow image: uint8, or float32 grey with `flatten`."""
    if mode is None:
        mode = ("RGBA" if "transparency" in im.info else "RGB") if im.mode == "P" else im.mode.replace("1", "L")
    im = im.convert(mode)
    return np.array(im.convert("F") if flatten else im)


def imread(name: Any, flatten: bool = False, mode: str | None = None) -> np.ndarray:
    """Return an image file (or open binary file) as an array; palettes become RGB."""
    with Image.open(name) as image:
        return fromimage(image, flatten, mode)


def imsave(name: Any, arr: Any, format: str | None = None) -> None:
    """Write an array as an image; anything but uint8 is spread over 0 to 255."""
    toimage(arr).save(name, format)


def imresize(arr: Any, size: Any, interp: str = "bilinear", mode: str | None = None) -> np.ndarray:
    """Return an array resized: uint8, or float32 with mode F.

    Args:
        arr: H x W or H x W x channels.
        size: percent (int), share (float) or (height, width).
        interp: nearest, lanczos, bilinear, bicubic or cubic.
        mode: Pillow's mode to work in.
    """
    image = toimage(arr, mode=mode)
    if isinstance(size, (int, np.integer)):
        size = size / 100.0
    if isinstance(size, (float, np.floating)):
        width, height = (int(side * size) for side in image.size)
    else:
        height, width = (int(side) for side in size)
    return np.array(image.resize((width, height), INTERPOLATIONS[interp]))


def imrotate(arr: Any, angle: float, interp: str = "bilinear") -> np.ndarray:
    """Return an array rotated by `angle` degrees anticlockwise, same size."""
    return np.array(toimage(arr).rotate(angle, INTERPOLATIONS[interp]))

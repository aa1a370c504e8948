"""Read images, label images and lists of items, or say which file is wrong and what would be right.

In:   paths.
Out:  RGB images as PIL gives them, (3, H, W) BGR arrays less the mean, (H, W) labels, lines.
Not here: which files (voc_layers.py, classification_layers.py), threads, order.
Source: the FCN release's data layers for the preprocessing; the checks are ours.
"""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
from param_str import DataLayerError
from PIL import Image

IGNORE = 255  # Caffe's ignore_label in all released nets
_EXIF_ORIENTATION = 0x0112
_AS_RGB = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"}
# What PIL raises on files that are truncated, empty, of another kind, or absurdly large.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
               Image.DecompressionBombError)


def read_lines(path: str, what: str, remedy: str) -> list[str]:
    """Read the non-empty lines of a text file, stripped.

    Raises:
        DataLayerError: missing, not text, or nothing in it.
    """
    try:
        with open(path, encoding="utf-8-sig") as stream:
            lines = [line.strip() for line in stream]
    except FileNotFoundError as error:
        folder = os.path.dirname(path)
        lists = sorted(name for name in os.listdir(folder) if name.endswith(".txt")) if os.path.isdir(folder) else []
        there = f"; there are {', '.join(lists[:12])}" if lists else ""
        raise DataLayerError(f"{what} '{path}' is missing{there}; {remedy}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataLayerError(f"{what} '{path}' cannot be read as text ({error}); "
                             f"{remedy}") from error
    lines = [line for line in lines if line]
    if not lines:
        raise DataLayerError(f"{what} '{path}' is empty; it wants one item a line; {remedy}")
    return lines


def read_ids(path: str, what: str, remedy: str) -> list[str]:
    """Read a list of ids as read_lines does; DataLayerError, too, where one leads out of its folder."""
    lines = read_lines(path, what, remedy)
    for line in lines:
        if os.path.isabs(line) or ".." in line.replace("\\", "/").split("/"):
            raise DataLayerError(f"{what} '{path}' has the item '{line}', which leads out of its folder; take it out")
    return lines


def read_image(path: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Read an image file as RGB, its pixels as stored (no turning by EXIF).

    Greyscale, palette, 16-bit grey and CMYK files are converted; transparency is dropped.

    Returns:
        the image in mode RGB, and warnings that name the file.

    Raises:
        DataLayerError: missing, broken, or of a kind that has no RGB reading.
    """
    image = open_image(path, "image")
    notes: tuple[str, ...] = ()
    turn = image.getexif().get(_EXIF_ORIENTATION, 1)
    if turn not in (0, 1):
        notes = (f"image '{path}' has EXIF orientation {turn}; its pixels are used as stored, as "
                 f"its label's are; rotate the file itself if the label was drawn upright",)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        high_bytes = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(high_bytes.astype(np.uint8))
    if image.mode not in _AS_RGB:
        raise DataLayerError(f"image '{path}' has mode {image.mode}; it wants 8-bit grey, palette, "
                             f"RGB, RGBA or CMYK; convert the file")
    if image.mode == "RGB":
        return image, notes
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette with transparency has no direct way to RGB
    return image.convert("RGB"), notes


def bgr_bytes(image: Image.Image) -> np.ndarray:
    """Give an RGB image as (3, H, W) uint8 in BGR order."""
    return np.stack([np.asarray(plane) for plane in reversed(image.split())])


def less_mean(in_bgr: np.ndarray, mean_bgr: np.ndarray, scale: float, out: np.ndarray) -> None:
    """Subtract the mean and multiply by `scale`, channel by channel.

    Args:
        in_bgr: (3, H, W) uint8.
        mean_bgr: (3,) float64, blue first.
        scale: as in Caffe's transform_param, 1 in all released nets.
        out: (3, H, W) float32. Bit for bit the release's: subtracted in double, rounded once.
    """
    for into, plane, mean in zip(out, in_bgr, mean_bgr):
        np.subtract(plane, mean, out=into, dtype=np.float64, casting="same_kind")
    if scale != 1:
        out *= np.float32(scale)


def read_label(path: str) -> np.ndarray:
    """Read a label image, a palette or grey PNG whose values are classes, as (H, W) integers.

    Raises:
        DataLayerError: missing, broken, or an image of colours in place of classes.
    """
    image = open_image(path, "label")
    if image.mode not in ("P", "L", "1", "I") and not image.mode.startswith("I;16"):
        raise DataLayerError(f"label '{path}' has {len(image.getbands())} channels (mode "
                             f"{image.mode}); it wants one: a palette or grey PNG whose values are "
                             f"class indices; map its colours to classes first")
    label = np.asarray(image)
    return label.astype(np.uint8) if label.dtype == bool else label


def check_label(label: np.ndarray, size: tuple[int, int], classes: int,
                path: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Check a label against its image and the number of classes.

    Args:
        label: (H, W) integers.
        size: (H, W) of the image.
        classes: values 0 ... classes - 1 and 255 (ignored) may occur.
        path: of the label, for errors.

    Returns:
        the label as (1, H, W) uint8 (the 1 is the channel axis that the loss needs), and warnings.

    Raises:
        DataLayerError: another size, or a value that is no class.
    """
    if label.shape != tuple(size):
        raise DataLayerError(f"label '{path}' has {_size(label.shape)} pixels, its image "
                             f"{_size(size)}; make the label for this very image, without resizing "
                             f"either")
    low, high = int(label.min()), int(label.max())
    if low < 0 or high > IGNORE:
        raise _wrong_values(path, [low] if low < 0 else [high], classes)
    label = label.astype(np.uint8, copy=False)
    counts = np.bincount(label.ravel(), minlength=IGNORE + 1)  # (256,)
    wrong = np.flatnonzero(counts[classes:IGNORE]) + classes
    if len(wrong):
        raise _wrong_values(path, wrong.tolist(), classes)
    notes: tuple[str, ...] = ()
    if counts[IGNORE] == label.size:
        notes = (f"label '{path}' is {IGNORE} (ignored) in every pixel: nothing is learned or "
                 f"scored from it",)
    return label[np.newaxis], notes


def open_image(path: str, what: str) -> Image.Image:
    """Read a whole image file as it is, closed again afterwards; `what` it is, for errors."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError as error:
        raise DataLayerError(f"{what} '{path}' is missing, though its id is in the list; bring the "
                             f"file, or take the id out") from error
    except _UNREADABLE as error:
        found = os.path.getsize(path) if os.path.isfile(path) else "no file,"
        raise DataLayerError(f"{what} '{path}' cannot be read ({found} bytes; {error}); it wants a "
                             f"whole image file; fetch or make it again") from error


def _wrong_values(path: str, values: list[int], classes: int) -> DataLayerError:
    listed = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    return DataLayerError(f"label '{path}' has values {listed}; it wants 0 to {classes - 1}, or "
                          f"{IGNORE} for ignored pixels; correct the label, or `classes` in "
                          f"param_str")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in reversed(shape))

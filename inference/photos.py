"""Pictures of any origin for a net, and names for what comes out of them.

In:   image files and folders as a user names them; a folder for the results.
Out:  paths, upright RGB arrays, an output stem for every input that no other has.
Not here: nets; reading images together with labels (layers/, which take pixels as stored).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm",
            ".pgm", ".pbm", ".pnm", ".jp2", ".tga"}
OUTPUTS = ("_label.png", "_overlay.png", "_panel.png", "_scores.npz", "_geo_label.png")
LONGEST_STEM = 200  # bytes; file systems take 255 with ending and temporary mark
# What PIL raises on files that are truncated, empty or of another kind.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
              Image.DecompressionBombError)
_TRANSPOSING = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_AS_RGB = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}


class PhotoError(ValueError):
    """A picture that cannot be used; the message names the file."""


def find_images(names: Sequence[str], out: Path) -> list[Path]:
    """Files as given, folders as their image files in order of name; each file once.

    Raises:
        PhotoError: nothing of that name, a folder without images, or one that is `out` itself.
    """
    found: dict[Path, Path] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise PhotoError(f"'{name}': is the folder of results, too; choose another --out")
            files = sorted(p for p in path.iterdir()
                           if p.suffix.lower() in SUFFIXES and p.is_file())
            if not files:
                raise PhotoError(f"'{name}': no images in this folder; known are "
                                 f"{' '.join(sorted(SUFFIXES))}")
        elif path.is_file():
            files = [path]
        else:
            raise PhotoError(f"'{name}': not a file that can be read again (a pipe, a device); save "
                             f"the picture as a file first" if os.path.exists(name)
                             else f"'{name}': no such file or folder")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def output_stems(images: Iterable[Path], out: Path) -> dict[Path, Path]:
    """Give every image a stem in `out` of its own, so that none overwrites another or any input.

    The first `x.jpg` gets `x`, the next image called x gets `x-2`, then `x-3`; a name so long that
    its results could not be written is cut.
    """
    images = list(images)
    inputs = {_folded(image) for image in images}
    stems: dict[Path, Path] = {}
    taken: set[str] = set()
    for image in images:
        number, stem = 1, _cut(image.stem)
        while stem.lower() in taken or inputs & {_folded(out / f"{stem}{end}") for end in OUTPUTS}:
            number += 1
            stem = f"{_cut(image.stem)}-{number}"
        taken.add(stem.lower())
        stems[image] = out / stem
    return stems


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of a picture once upright, from its header alone.

    Raises:
        PhotoError: missing, broken, or no image.
    """
    with _opened(path) as image:
        width, height = image.size
        try:
            # Not image.getexif(): of a PNG it reads all pixels, to find what comes after them.
            turn = Image.Image.getexif(image).get(_ORIENTATION, 1)
        except UNREADABLE as error:
            raise _unreadable(path, error) from error
    return (width, height) if turn in _TRANSPOSING else (height, width)


def read_photo(path: Path, max_side: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read a picture upright, as its EXIF orientation says, and made smaller where asked for.

    Greyscale, palette, 16-bit grey and CMYK files are converted; transparency is dropped, as the
    data layers do.

    Args:
        path: image file.
        max_side: longest side of the second array in pixels, or None.

    Returns:
        the whole picture (H, W, 3) and the one for the net (h, w, 3), uint8 RGB both; one and the
        same array unless max_side is less than the longest side.

    Raises:
        PhotoError: missing, broken, or of a mode that has no RGB reading.
    """
    with _opened(path) as image:
        try:
            image.load()
            upright = _to_rgb(ImageOps.exif_transpose(image), path)
        except UNREADABLE as error:
            raise _unreadable(path, error) from error
    whole = np.array(upright)
    longest = max(upright.size)
    if max_side is None or longest <= max_side:
        return whole, whole
    width, height = (max(1, round(side * max_side / longest)) for side in upright.size)
    small = upright.resize((width, height), Image.Resampling.BILINEAR)  # averages, no aliasing
    return whole, np.array(small)


def open_photo(path: Path) -> Image.Image:
    """Read an image file as it is stored, in whatever mode.

    Raises:
        PhotoError: missing, broken, or no image.
    """
    with _opened(path) as image:
        try:
            image.load()
        except UNREADABLE as error:
            raise _unreadable(path, error) from error
        return image


def enlarge_label(label: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a label map (h, w) to (height, width) by the nearest pixel."""
    rows = (np.arange(height) * 2 + 1) * label.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * label.shape[1] // (2 * width)
    return label[rows[:, np.newaxis], columns]


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", None)):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.mode not in _AS_RGB:
        raise PhotoError(f"'{path}': mode {image.mode}; want 8-bit grey, palette, RGB, RGBA or "
                         f"CMYK, or 16-bit grey; convert the file")
    if image.mode in ("P", "PA", "La", "RGBa"):
        image = image.convert({"La": "LA"}.get(image.mode, "RGBA"))  # no direct way to RGB
    return image if image.mode == "RGB" else image.convert("RGB")


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> PhotoError:
    if isinstance(error, PhotoError):
        return error
    if isinstance(error, Image.UnidentifiedImageError):
        return PhotoError(f"'{path}': not an image, or of a kind that is not known here")
    reason = getattr(error, "strerror", None) or str(error)
    return PhotoError(f"'{path}': cannot be read as an image ({reason}); fetch or save it again")


def _cut(stem: str) -> str:
    """At most LONGEST_STEM bytes of a file's name, whole characters."""
    return os.fsencode(stem)[:LONGEST_STEM].decode(errors="ignore") or "image"


def _folded(path: Path) -> str:
    return str(path.resolve()).lower()

"""Datum: one record of a database, as an array of channels x height x width.

In:   a Datum message: raw bytes, floats, or an encoded image file (JPEG, PNG and whatever else Pillow reads).
Out:  uint8 or float32 arrays; colours in the order blue, green, red, as OpenCV passes them to Caffe.
Not here: cropping, mirroring, means (data_transformer), databases (database).
Source: BVLC io.cpp (DecodeDatumToCVMat), caffe.proto; pixels as genuine Caffe decodes them with OpenCV and libpng.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import CaffeError

# What Pillow raises on files that are cut off, of another kind, or absurdly large.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
# Weights of blue, green and red in grey, and the bits to shift off: libpng rounds down, OpenCV to nearest.
_GREY_OF_PNG = (np.array([3737, 19234, 9797]), 0, 15)
_GREY = (np.array([1868, 9617, 4899]), 1 << 13, 14)


def datum_array(datum: Any, color: bool | None = None) -> np.ndarray:
    """Return a Datum as an array.

    Args:
        datum: raw, float or encoded.
        color: of encoded images: True for three channels, False for one, None for what the file has.

    Returns:
        (C, H, W) uint8, or float32 if the Datum holds floats; may be read-only.

    Raises:
        CaffeError: the number of values differs from the shape, or an image cannot be decoded.
    """
    if datum.encoded:
        return decode_image(datum.data, color)
    shape = (datum.channels, datum.height, datum.width)
    # Caffe: bytes win if a Datum has both. data_transformer.cpp
    if len(datum.data):
        values = np.frombuffer(datum.data, np.uint8)
    else:
        values = np.array(datum.float_data, np.float32)
    if min(shape) < 1 or values.size != shape[0] * shape[1] * shape[2]:
        # DEVIATION D44: Caffe reads beyond the end, or ignores what is left over.
        raise CaffeError(f"a Datum of {shape[0]} x {shape[1]} x {shape[2]} (channels x height x width) holds "
                         f"{values.size} values; write the record again (caffe.io.array_to_datum)")
    return values.reshape(shape)


def decode_image(data: bytes, color: bool | None = None) -> np.ndarray:
    """Decode an image file to (C, H, W) uint8: grey, BGR or BGRA; arguments and errors as in `datum_array`."""
    # DEVIATION D27: pixels as stored (newer OpenCV turns forced ones by EXIF), JPEG colours as Pillow upsamples them.
    try:
        with Image.open(io.BytesIO(data)) as image:
            if color is False and image.format == "JPEG":
                image.draft("L", image.size)  # the brightness in the file, without a detour through colours
            image.load()
            return _planes(image, color, _GREY_OF_PNG if image.format == "PNG" else _GREY)
    except UNREADABLE as problem:
        why = "of an unknown kind, or damaged" if isinstance(problem, UnidentifiedImageError) else problem
        raise CaffeError(f"Could not decode the encoded image ({len(data)} bytes): {why}") from problem


def _planes(image: Image.Image, color: bool | None, grey: tuple[np.ndarray, int, int]) -> np.ndarray:
    """Return a loaded image's channels, in OpenCV's order and number."""
    if color is None and (image.mode.startswith("I") or image.mode == "F"):
        raise CaffeError(f"Image data type must be unsigned byte; got an image of mode {image.mode}; "
                         f"force_color or force_gray takes the high bytes")
    image = _eight_bits(image)
    if color is None:
        color = image.mode != "L"
    else:
        image = image.convert("RGB" if image.mode == "RGBA" else image.mode)
    if image.mode == "L":
        only = np.asarray(image)[np.newaxis]
        return np.repeat(only, 3, axis=0) if color else only
    bands = image.split()
    bgr = np.stack([np.asarray(bands[i]) for i in (2, 1, 0, 3)[:len(bands)]])
    if color:
        return bgr
    shares, half, bits = grey
    return (np.tensordot(shares, bgr.astype(np.int64), 1) + half >> bits).astype(np.uint8)[np.newaxis]


def _eight_bits(image: Image.Image) -> Image.Image:
    """Bring an image of any mode to L, RGB or RGBA."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.mode in ("L", "RGB", "RGBA"):
        return image
    if image.mode == "CMYK":
        return _cmyk(image)
    if image.mode == "1":
        return image.convert("L")
    # A grey image with transparency also has four channels in OpenCV; a palette image only if it has transparency.
    return image.convert("RGBA" if image.mode in ("LA", "PA") or "transparency" in image.info else "RGB")


def _cmyk(image: Image.Image) -> Image.Image:
    """Convert four inks to RGB with OpenCV's integers."""
    inks = 255 - np.asarray(image).astype(np.int64)  # (H, W, 4): cyan, magenta, yellow, black; 255 means no ink
    black = inks[..., 3:]
    return Image.fromarray((black - ((255 - inks[..., :3]) * black >> 8)).astype(np.uint8))

"""Arrays of data layers in and out of Datums, without loss.

In:   (C, H, W) arrays: pixels or classes as uint8, anything else as float32.
Out:  the bytes of a Datum: an encoded picture (a JPEG file as it is, or PNG), raw bytes, or floats.
Not here: which array it is (source.py), databases (store.py).
Source: caffe.proto's Datum. Caffe decodes pictures to blue, green, red; so is the order of channels here.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from caffe.proto import caffe_pb2
from data.whole import DataError

IMAGE, LABEL, FLOATS = "image", "label", "floats"  # kinds of records
ENCODINGS = ("jpeg-as-is", "png", "raw")
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def pack(array: np.ndarray, encode: str, original: bytes | None = None) -> bytes:
    """Give the bytes of a Datum that holds `array`.

    Args:
        array: (3, H, W) or (1, H, W) uint8, or (C, H, W) float32 (always stored as floats).
        encode: jpeg-as-is, png or raw.
        original: file that may hold these very pixels. For jpeg-as-is it is stored untouched where it does, which
            is tried; a PNG is stored where it does not.
    """
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = array.shape
    if array.dtype != np.uint8:
        datum.float_data.extend(array.astype(np.float32).ravel())
    elif encode == "raw":
        datum.data = array.tobytes()
    else:
        datum.encoded = True
        as_is = encode == "jpeg-as-is" and original is not None and _holds(original, array)
        datum.data = original if as_is else _png(array)
    return bytes(datum.SerializeToString())


def unpack(value: Any, kind: str) -> np.ndarray:
    """Give the (C, H, W) array of a Datum's bytes (or view of them).

    Raises:
        DataError: no Datum, a picture that cannot be decoded, or another number of values than its shape says.
    """
    datum = parse(value)
    if datum.encoded:
        return _decode(datum.data, kind)
    shape = (datum.channels, datum.height, datum.width)
    flat = np.frombuffer(datum.data, np.uint8) if kind != FLOATS else np.array(datum.float_data, np.float32)
    if flat.size != np.prod(shape) or not flat.size:
        raise DataError(f"its Datum of {shape[0]} x {shape[1]} x {shape[2]} holds {flat.size} values")
    return flat.reshape(shape)


def parse(value: Any) -> Any:
    """Give the Datum of a value; DataError where it is none."""
    from google.protobuf.message import DecodeError

    try:
        return caffe_pb2.Datum.FromString(value if isinstance(value, bytes) else bytes(value))
    except DecodeError as error:
        raise DataError(f"it holds no Datum ({error})") from error


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    picture = array[0] if array.shape[0] == 1 else np.ascontiguousarray(array[::-1].transpose(1, 2, 0))
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def _decode(data: bytes, kind: str) -> np.ndarray:
    """Decode a picture: one channel of a label, else blue, green and red."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if kind == LABEL:
                if image.mode != "L":
                    raise DataError(f"its picture has mode {image.mode}; a label wants grey, of mode L")
                return np.asarray(image)[np.newaxis]
            bands = (image if image.mode == "RGB" else image.convert("RGB")).split()
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(f"its picture of {len(data)} bytes cannot be decoded ({error})") from error
    return np.stack([np.asarray(band) for band in reversed(bands)])


def _holds(original: bytes, array: np.ndarray) -> bool:
    """Tell whether a JPEG or PNG file holds these pixels, three channels of 8 bits as Caffe decodes it, too."""
    try:
        with Image.open(io.BytesIO(original)) as image:
            if image.format not in ("JPEG", "PNG") or image.mode != "RGB":
                return False
        return bool(np.array_equal(_decode(original, IMAGE), array))
    except (DataError, *_UNREADABLE):
        return False

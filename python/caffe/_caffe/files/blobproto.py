"""Read one blob out of a file: its shape and its numbers, packed or not, float or double.

In:   a buffer (mmap or bytes) and the span of one BlobProto in it.
Out:  BlobArray: shape and numpy views into the buffer.
Not here: files (caffemodel.py), the engine's own blobs (blob.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .wire import I32, I64, LEN, VARINT, WireError, check_kind, fields, read_field, read_varint

_RUN = 1 << 16  # unpacked numbers checked in one go


@dataclass(frozen=True)
class BlobArray:
    """One blob of a file.

    Attributes:
        shape: of the blob; four numbers if `legacy`.
        legacy: the file gives num, channels, height, width; a net's shape then matches when it is
            equal after leading ones are added to four axes.
        data: (count,) float32, or float64 from double_data; a read-only view into the file where
            possible; `array` has it in its shape.
        diff: likewise, or None if the file has none.
    """

    shape: tuple[int, ...]
    legacy: bool
    data: np.ndarray
    diff: np.ndarray | None = None

    @property
    def array(self) -> np.ndarray:
        """The data in its shape."""
        return self.data.reshape(self.shape)


_BLOB_KINDS = {1: (VARINT,), 2: (VARINT,), 3: (VARINT,), 4: (VARINT,), 5: (LEN, I32),
               6: (LEN, I32), 7: (LEN,), 8: (LEN, I64), 9: (LEN, I64)}


def decode_blob(buffer: Any, start: int, end: int) -> BlobArray:
    """Read the BlobProto in buffer[start:end]; WireError if it is not one.

    Its fields: 1-4 legacy shape, 5 data, 6 diff, 7 shape, 8 double_data, 9 double_diff.
    """
    old: dict[int, int] = {}
    dims: list[int] = []
    parts: dict[int, list[np.ndarray]] = {5: [], 6: [], 8: [], 9: []}
    while start < end:
        number, kind, a, b = read_field(buffer, start, end)
        start = b
        if number not in _BLOB_KINDS:
            continue
        check_kind(number, kind, _BLOB_KINDS[number], a)
        if kind == VARINT:
            old[number] = a
        elif number == 7:
            dims.extend(_dims(buffer, a, b))
        elif kind == LEN:
            parts[number].append(_packed(buffer, number, a, b))
        else:
            values, start = _unpacked(buffer, number, a, end)
            parts[number].append(values)
    # Caffe: any one of the legacy fields makes the shape legacy, whatever `shape` says.
    shape = tuple(old.get(n, 0) for n in (1, 2, 3, 4)) if old else tuple(dims)
    data = _joined(parts[8] or parts[5], shape)
    diff = _joined(parts[9] or parts[6], shape) if parts[9] or parts[6] else None
    return BlobArray(shape, bool(old), data, diff)


def _dims(buffer: Any, start: int, end: int) -> list[int]:
    dims = []
    for number, kind, a, b in fields(buffer, start, end):
        if number != 1:
            continue
        check_kind(number, kind, (LEN, VARINT), a)
        if kind == VARINT:
            dims.append(a)
        while kind == LEN and a < b:
            value, a = read_varint(buffer, a, b)
            dims.append(value)
    return dims


def _packed(buffer: Any, number: int, start: int, end: int) -> np.ndarray:
    dtype = np.dtype("<f4" if number < 8 else "<f8")
    if (end - start) % dtype.itemsize:
        raise WireError(f"byte {start}: {end - start} bytes are not a whole number of {dtype.name}")
    return np.frombuffer(buffer, dtype, (end - start) // dtype.itemsize, start)


def _unpacked(buffer: Any, number: int, start: int, end: int) -> tuple[np.ndarray, int]:
    """The run of numbers starting at `start`, each after its own one-byte tag."""
    dtype = np.dtype("<f4" if number < 8 else "<f8")
    step, first, pieces = 1 + dtype.itemsize, start - 1, []
    while (count := min((end - first) // step, _RUN)) > 0:
        table = np.frombuffer(buffer, np.uint8, count * step, first).reshape(count, step)
        other = table[:, 0] != buffer[start - 1]
        run = int(other.argmax()) if other.any() else count
        pieces.append(table[:run, 1:].copy().view(dtype).reshape(-1))
        first += run * step
        if run < count:
            break
    return np.concatenate(pieces), first


def _joined(parts: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    values = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, "<f4"), *parts])
    if math.prod(shape) != values.size or any(dim >= 1 << 31 for dim in shape):
        raise WireError(f"a blob of shape {shape} has {values.size} numbers")
    return values

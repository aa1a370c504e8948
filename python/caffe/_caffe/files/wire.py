"""Walk protobuf's wire format over a buffer, without building messages.

In:   a buffer (mmap or bytes) and the span of one message in it.
Out:  its fields one by one: (number, wire type, value or span); and what kind of file this is.
Not here: what the numbers mean (caffemodel.py).   Source: protobuf's encoding guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VARINT, I64, LEN, I32 = 0, 1, 2, 5

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"<!DOCTYPE", "a web page (a failed download?)"),
    (b"<html", "a web page (a failed download?)"),
)


class WireError(ValueError):
    """The bytes are not a protobuf message: says what is wrong at which offset."""


def sniff(head: bytes) -> str:
    """Name the kind of file that starts with `head`; empty if it is none of the known kinds."""
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes of a file are plain text, as of a prototxt given in place of it."""
    return bool(head.strip()) and all(byte >= 32 or byte in b"\t\r\n\f\v" for byte in head)


def read_varint(buffer: Any, pos: int, end: int) -> tuple[int, int]:
    """Read the varint at `pos`; returns its value and the position after it."""
    value = shift = 0
    while pos < end and shift < 70:
        byte = buffer[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
    raise WireError(f"byte {pos}: " + ("a number is cut off" if pos >= end else "not a number"))


def read_field(buffer: Any, pos: int, end: int) -> tuple[int, int, int, int]:
    """Read the field at `pos`: (number, wire type, a, b).

    For VARINT a is the value and b the position after it; for the other types a and b are the
    start and end of the bytes. In each case the next field starts at b.
    """
    start = pos
    head, pos = read_varint(buffer, pos, end)
    number, kind = head >> 3, head & 7
    if number == 0 or head >= 1 << 32:
        raise WireError(f"byte {start}: no field can have this tag ({head})")
    if kind == VARINT:
        value, pos = read_varint(buffer, pos, end)
        return number, kind, value, pos
    if kind == LEN:
        size, pos = read_varint(buffer, pos, end)
    elif kind in (I32, I64):
        size = 4 if kind == I32 else 8
    else:
        raise WireError(f"byte {start}: field {number} has wire type {kind}, unknown here")
    if size > end - pos:
        raise WireError(f"byte {start}: field {number} needs {size} bytes, has {end - pos}")
    return number, kind, pos, pos + size


def fields(buffer: Any, pos: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field of the message in buffer[pos:end], as read_field returns it."""
    while pos < end:
        found = read_field(buffer, pos, end)
        pos = found[3]
        yield found


def check_kind(number: int, kind: int, allowed: tuple[int, ...], at: int) -> None:
    """Raise WireError unless a field has one of the wire types that it can have."""
    if kind not in allowed:
        raise WireError(f"byte {at}: field {number} is of another kind (wire type {kind})")


def varint(value: int) -> bytes:
    """Encode an integer; negative ones take ten bytes, as protobuf's int32 and int64 do."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, kind: int) -> bytes:
    """Encode the tag of a field."""
    return varint(number << 3 | kind)

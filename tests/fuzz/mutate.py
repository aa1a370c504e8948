"""Damage to files: what goes wrong on disks, in downloads and in editors, and what a malicious file would hold.

In:   the bytes of a good file, another good file of any kind, a generator of random numbers.
Out:  the bytes of a damaged one.   Not here: which files (seeds), what reads them (targets).
"""

from __future__ import annotations

import random
import re

INTEGERS = ("0", "1", "2", "3", "4", "7", "20", "300", "65536", "1000000", "2147483647", "-1", "-2")
NUMBERS = (*INTEGERS, *INTEGERS, *INTEGERS, "2147483648", "-2147483648", "4294967295", "4294967296", "0.001", "-3.5",
           "9223372036854775807", "18446744073709551616", "1e-45", "1e38", "1e999", "nan", "-inf", "0x10", "010",
           "true", "'text'", "MAX", "{", "")
WORDS = ("Convolution", "Deconvolution", "Pooling", "InnerProduct", "ReLU", "Reshape", "Concat", "Slice", "LSTM", "SPP",
         "Softmax", "SoftmaxWithLoss", "Accuracy", "Eltwise", "Crop", "Scale", "Bias", "BatchNorm", "Flatten", "Tile",
         "ArgMax", "Reduction", "Embed", "LRN", "MVN", "Im2col", "Dropout", "DummyData", "Split", "data", "conv",
         "pool", "xavier", "gaussian", "bilinear", "", "/", "..", "\\x00", "\\377", "a" * 5000)
BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x10, 0x22)


def mutate(data: bytes, other: bytes, rng: random.Random, text: bool) -> bytes:
    """Damage a file once, or now and then several times."""
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 8))):
        kinds = TEXT if text and rng.random() < 0.9 else BINARY
        data = rng.choice(kinds)(data, other, rng)
    return data


def _flip(data: bytes, other: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[place:place + 1]) + data[place + 1:]


def _overwrite(data: bytes, other: bytes, rng: random.Random) -> bytes:
    place, count = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 64))
    return data[:place] + bytes(rng.choice(BYTES) for _ in range(count)) + data[place + count:]


def _insert(data: bytes, other: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 10, 300))) + data[place:]


def _cut(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[:rng.randrange(len(data) + 1)]


def _drop(data: bytes, other: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place + rng.choice((1, 2, 8, 100, 1000)):]


def _repeat(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    piece = data[start:start + rng.choice((1, 4, 40, 400))]
    return data[:start] + piece * rng.choice((2, 2, 3, 50)) + data[start + len(piece):]


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(other) + 1) for _ in range(2))
    place = rng.randrange(len(data) + 1)
    return data[:place] + other[start:end] + data[place:]


def _empty(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b"\0", b"\n", data[:1], bytes(len(data)), b"\xff" * 16))


def _number(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return _replaced(data, rb"(?<=[ :\[,])-?\d[\w.+-]*", rng.choice(NUMBERS), rng)


def _word(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return _replaced(data, rb'(?<=")[^"\n]*(?=")', rng.choice(WORDS), rng)


def _name(data: bytes, other: bytes, rng: random.Random) -> bytes:
    names = re.findall(rb"[a-z]\w+(?=\s*[:{])", other) or [b"name"]
    return _replaced(data, rb"[a-z]\w+(?=\s*[:{])", rng.choice(names).decode(), rng)


def _replaced(data: bytes, pattern: bytes, by: str, rng: random.Random) -> bytes:
    found = list(re.finditer(pattern, data))
    if not found:
        return data
    start, end = rng.choice(found).span()
    return data[:start] + by.encode() + data[end:]


def _lines(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Drop, double or move a line, or take one from the other file."""
    lines, theirs = data.split(b"\n"), other.split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    for new in rng.choice(([], [line], [line, line], [rng.choice(theirs)], [line, rng.choice(theirs)])):
        lines.insert(rng.randrange(len(lines) + 1), new)
    return b"\n".join(lines)


def _nest(data: bytes, other: bytes, rng: random.Random) -> bytes:
    depth = rng.choice((10, 1000, 20000))
    return data + rng.choice((b"layer {" * depth, b"{" * depth, b"x: [" * depth, b"layer { layer_param <" * depth))


BINARY = (_flip, _flip, _overwrite, _insert, _cut, _drop, _repeat, _splice, _empty)
TEXT = (*[_number] * 9, *[_word] * 4, *[_lines] * 2, _name, _nest)

"""Read weights, solver states and means from Caffe's binary files, without parsing whole messages.

In:   paths of .caffemodel, .solverstate and .binaryproto files of any age (V0, V1, current).
Out:  LayerBlobs, SolverStateData, BlobArray: names, shapes and numpy views into the mapped file.
Not here: how one blob is laid out (blobproto.py), how files are written (caffemodel_writer.py,
    whose functions are also offered here), matching names and shapes with a net (net.py), HDF5.

Only the name, type and blobs of a layer are read: forks of Caffe gave other fields the same
numbers, so nothing else in the file can be trusted. There is no limit on the size of a file.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import CaffeError, ProtoError
from .blobproto import BlobArray, decode_blob
from .caffemodel_writer import write_blob, write_net, write_solver_state
from .proto_pool import MESSAGES
from .upgrade_proto import v1_layer_type
from .upgrade_v0 import V0_TYPES
from .wire import LEN, VARINT, WireError, check_kind, fields, looks_like_text, sniff

__all__ = ["BlobArray", "LayerBlobs", "SolverStateData", "read_blob", "read_layers",
           "read_solver_state", "write_blob", "write_net", "write_solver_state"]


@dataclass(frozen=True)
class LayerBlobs:
    """Name, type string (empty if the file has none) and blobs of one layer of a file."""

    name: str
    type: str
    blobs: list[BlobArray] = field(default_factory=list)


@dataclass(frozen=True)
class SolverStateData:
    """What a .solverstate holds: iteration, path of the net, history blobs, step of multistep."""

    iter: int
    learned_net: str
    history: list[BlobArray]
    current_step: int


def read_layers(path: str | os.PathLike[str]) -> list[LayerBlobs]:
    """Read the layers of a .caffemodel, in their order, including those without blobs.

    Raises:
        ProtoError: the file is missing, empty, cut off, or not a .caffemodel.
    """
    file = _File(path, "a .caffemodel (binary NetParameter)")
    layers = file.guarded(lambda: list(_net_layers(file)))
    if not layers:
        raise file.error("it holds no layers")
    return layers


def read_solver_state(path: str | os.PathLike[str]) -> SolverStateData:
    """Read a .solverstate; ProtoError if it is missing, empty, cut off or something else."""
    file = _File(path, "a .solverstate (binary SolverState)")
    return file.guarded(lambda: _solver_state(file))


def read_blob(path: str | os.PathLike[str]) -> BlobArray:
    """Read a file of one blob, such as a mean .binaryproto; ProtoError if it is something else."""
    file = _File(path, "a .binaryproto (binary BlobProto)")
    blob = file.guarded(lambda: decode_blob(file.buffer, 0, len(file.buffer)))
    if blob.data.size == 0:
        raise file.error("it holds no numbers")
    return blob


class _File:
    """A mapped file with the checks that come before any reading, and errors that name it."""

    def __init__(self, path: str | os.PathLike[str], want: str) -> None:
        self.path, self.want = os.fspath(path), want
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    raise self.error("the file is empty")
                self.buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except CaffeError:
            raise
        except (OSError, ValueError) as error:  # the first words are what genuine pycaffe says; ValueError: a zero byte
            why = getattr(error, "strerror", None) or error
            raise ProtoError(f"Could not open file {self.path} ({why})") from error
        head = self.buffer[:256]
        kind = sniff(head) or ("text (a prototxt?)" if looks_like_text(head) else "")
        if kind:
            raise self.error(f"it is {kind}")

    def error(self, got: str) -> ProtoError:
        return ProtoError(f"{self.path}: {got}; want {self.want}. Was the file cut off, or is it "
                          "another kind of file?")

    def guarded(self, read: Any) -> Any:
        try:
            return read()
        except WireError as error:
            raise self.error(str(error)) from error

    def message(self, start: int, end: int, kinds: Mapping[int, tuple[int, ...]]) -> Iterator[Any]:
        """Fields of a message; those in `kinds` must have one of the wire types given there."""
        for number, kind, a, b in fields(self.buffer, start, end):
            if number in kinds:
                check_kind(number, kind, kinds[number], a)
                yield number, kind, a, b

    def text(self, start: int, end: int) -> str:
        return self.buffer[start:end].decode("utf-8", "replace")


def _net_layers(file: _File) -> Iterator[LayerBlobs]:
    # NetParameter: 1 name, 2 layers (V1 or V0), 100 layer; 3 to 7 only to notice other messages.
    kinds = {1: (LEN,), 2: (LEN,), 3: (LEN,), 5: (VARINT,), 6: (LEN,), 7: (VARINT,), 100: (LEN,)}
    for number, _, start, end in file.message(0, len(file.buffer), kinds):
        if number == 100:
            yield _layer(file, start, end)
        elif number == 2:
            yield _old_layer(file, start, end)


def _layer(file: _File, start: int, end: int) -> LayerBlobs:
    text, blobs = {1: "", 2: ""}, []
    for number, _, a, b in file.message(start, end, {1: (LEN,), 2: (LEN,), 7: (LEN,)}):
        if number == 7:
            blobs.append(decode_blob(file.buffer, a, b))
        else:
            text[number] = file.text(a, b)
    return LayerBlobs(text[1], text[2], blobs)


def _old_layer(file: _File, start: int, end: int) -> LayerBlobs:
    """A V1 layer (4 name, 5 type, 6 blobs), or the V0 layer (1 name, 2 type, 50 blobs) inside."""
    name, layer_type, blobs = "", "", []
    kinds = {1: (LEN,), 4: (LEN,), 5: (VARINT,), 6: (LEN,)}
    for number, _, a, b in file.message(start, end, kinds):
        if number == 1:
            return _v0_layer(file, a, b)
        if number == 6:
            blobs.append(decode_blob(file.buffer, a, b))
        elif number == 4:
            name = file.text(a, b)
        elif a in MESSAGES["V1LayerParameter"].LayerType.values():
            layer_type = v1_layer_type(a)
    return LayerBlobs(name, layer_type, blobs)


def _v0_layer(file: _File, start: int, end: int) -> LayerBlobs:
    text, blobs = {1: "", 2: ""}, []
    for number, _, a, b in file.message(start, end, {1: (LEN,), 2: (LEN,), 50: (LEN,)}):
        if number == 50:
            blobs.append(decode_blob(file.buffer, a, b))
        else:
            text[number] = file.text(a, b)
    v1_type = V0_TYPES.get(text[2], "NONE")
    value = MESSAGES["V1LayerParameter"].LayerType.Value(v1_type)
    return LayerBlobs(text[1], v1_layer_type(value), blobs)


def _solver_state(file: _File) -> SolverStateData:
    numbers, learned_net, history = {1: 0, 4: 0}, "", []
    kinds = {1: (VARINT,), 2: (LEN,), 3: (LEN,), 4: (VARINT,)}
    seen = set()
    for number, _, a, b in file.message(0, len(file.buffer), kinds):
        seen.add(number)
        if number in numbers:
            numbers[number] = a
        elif number == 2:
            learned_net = file.text(a, b)
        else:
            history.append(decode_blob(file.buffer, a, b))
    if 1 not in seen:
        raise WireError("it has no iteration number")
    return SolverStateData(numbers[1], learned_net, history, numbers[4])

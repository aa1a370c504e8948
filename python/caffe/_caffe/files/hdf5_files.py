"""HDF5 as Caffe lays it out: weights (.caffemodel.h5), solver states (.solverstate.h5), lists of data files.

In:   paths; arrays by layer.
Out:  files like Caffe's, group by group and type by type, complete or not at all; arrays read back.
Not here: which blobs a net has (net.py), when to snapshot (solver.py), data layers (layers/hdf5_data.py).
Source: BVLC util/hdf5.cpp, net.cpp (ToHDF5, CopyTrainedLayersFromHDF5), sgd_solver.cpp.

    weights:  /data/<layer>/<blob's number>, /diff/... with snapshot_diff; a group for every layer
    state:    /iter (1,) int32, /current_step (1,) int32, /learned_net fixed text, /history/<number>
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import CaffeError, ProtoError
from .blobproto import BlobArray
from .caffemodel import SolverStateData
from .caffemodel_writer import atomic_write

MAGIC = b"\x89HDF\r\n\x1a\n"
Numbered = Mapping[int, np.ndarray]  # a layer's blobs by their numbers


def is_hdf5(path: str) -> bool:
    """Return whether a file is HDF5, by its first bytes; False if it cannot be opened."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextlib.contextmanager
def reading(path: str) -> Iterator[Any]:
    """Open an HDF5 file to read.

    Raises:
        ProtoError: it is missing, damaged or not an HDF5 file, or what is read from it is not there.
    """
    import h5py  # late, to keep `import caffe` quick

    if not os.path.isfile(path):
        raise ProtoError(f"Could not open HDF5 file {path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as problem:
        if isinstance(problem, CaffeError):
            raise
        raise ProtoError(f"Failed to read HDF5 file {path}: {problem}; it is damaged, or not the expected file; "
                         "write it again") from problem


def write_net(path: str, layers: Sequence[tuple[str, Numbered]],
              diffs: Sequence[Numbered] | None = None) -> None:
    """Write weights.

    Args:
        path: file to write; replaced at once when complete.
        layers: every layer's name, in the net's order, with the blobs that are its own (not shared).
        diffs: every layer's gradients, or None to leave them out.

    Raises:
        ProtoError: two layers with the same name, or the file cannot be written.
    """
    names = [name for name, _ in layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProtoError(f"{path}: HDF5 has one place per name, but several layers are called {', '.join(twice)}; "
                         "rename them, or save as a binary caffemodel")
    with _writing(path) as file:
        # DEVIATION D30: a layer's name with a slash makes groups within groups; Caffe stops there.
        for kind, arrays in (("data", [blobs for _, blobs in layers]), ("diff", diffs)):
            if arrays is None:
                continue
            group = file.create_group(kind)
            for name, blobs in zip(names, arrays, strict=True):
                _write_numbered(group.require_group(name), blobs)


def read_net(path: str) -> list[tuple[str, Numbered]]:
    """Read weights: layers by name with their blobs by number, in the file's order.

    Raises:
        ProtoError: missing, or not a file of this kind.
    """
    with reading(path) as file:
        if "data" not in file:
            raise ProtoError(f"Error reading weights from {path}: no group /data")
        return list(_layers(file["data"], ""))


def write_solver_state(path: str, iteration: int, learned_net: str, history: Sequence[np.ndarray],
                       current_step: int) -> None:
    """Write a solver's state."""
    import h5py

    with _writing(path) as file:
        file.create_dataset("iter", data=np.array([iteration], np.int32))
        text = learned_net.encode() + b"\0"
        kind = h5py.h5t.C_S1.copy()  # Caffe: fixed text with its closing zero
        kind.set_size(len(text))
        place = h5py.h5d.create(file.id, b"learned_net", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        place.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(text, f"S{len(text)}"), mtype=kind)
        file.create_dataset("current_step", data=np.array([current_step], np.int32))
        _write_numbered(file.create_group("history"), dict(enumerate(history)))


def read_solver_state(path: str) -> SolverStateData:
    """Read a solver's state.

    Raises:
        ProtoError: missing, or not a file of this kind.
    """
    with reading(path) as file:
        history = _numbered(file["history"])
        learned_net = file["learned_net"][()] if "learned_net" in file else b""
        return SolverStateData(
            iter=int(file["iter"][0]), learned_net=learned_net.decode(), current_step=int(file["current_step"][0]),
            history=[BlobArray(value.shape, False, value.reshape(-1)) for _, value in sorted(history.items())])


def write_datasets(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write float32 datasets under their names."""
    with _writing(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, dtype=np.float32)


@contextlib.contextmanager
def _writing(path: str) -> Iterator[Any]:
    import h5py

    with atomic_write(path) as stream, h5py.File(stream, "w") as file:
        yield file


def _write_numbered(group: Any, blobs: Numbered) -> None:
    for number, array in blobs.items():
        group.create_dataset(str(number), data=array, dtype=np.float32)


def _layers(group: Any, prefix: str) -> Iterator[tuple[str, Numbered]]:
    import h5py

    for name, member in group.items():
        if isinstance(member, h5py.Group):
            yield prefix + name, _numbered(member)
            yield from _layers(member, f"{prefix}{name}/")


def _numbered(group: Any) -> dict[int, np.ndarray]:
    """Read the arrays of a group whose names are numbers."""
    return {int(name): np.asarray(member[()], np.float32) for name, member in group.items()
            if name.isdecimal() and hasattr(member, "shape")}

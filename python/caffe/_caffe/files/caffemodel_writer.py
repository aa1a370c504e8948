"""Write Caffe's binary files: headers from protobuf, numbers straight from the arrays.

In:   a NetParameter without blobs, and arrays; or the parts of a SolverState; or one array.
Out:  .caffemodel, .solverstate, .binaryproto, byte for byte as genuine Caffe writes them.
Not here: which layers and blobs a net has (net.py); reading (caffemodel.py).

Fields go out in the order of their numbers, as protobuf's serialiser writes them. A file appears
under its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ProtoError
from .proto_pool import MESSAGES
from .wire import LEN, VARINT, fields, tag, varint

Chunk = bytes | memoryview
Arrays = Sequence[np.ndarray]

_LAYER, _LAYER_BLOBS, _HISTORY = 100, 7, 3  # field numbers; in a net nothing comes after layer


def write_net(path: str | os.PathLike[str], net_param: Any,
              blobs: Mapping[str, Arrays] | Sequence[Arrays],
              diffs: Mapping[str, Arrays] | Sequence[Arrays] | None = None) -> None:
    """Write a .caffemodel.

    Args:
        path: file to write; replaced at once when complete.
        net_param: NetParameter in the current form; blobs in it are left out. Genuine Caffe saves
            the name, and the layers as built (filtered, splits in, phase set), nothing else.
        blobs: float32 arrays of each layer, by layer name or in the order of net_param.layer.
        diffs: likewise, or None to leave them out.

    Raises:
        ProtoError: the layers do not fit, or the file cannot be written.
    """
    data = _per_layer(net_param, blobs, "blobs")
    diff = _per_layer(net_param, diffs, "diffs") if diffs is not None else [()] * len(data)
    head = MESSAGES["NetParameter"]()
    head.CopyFrom(net_param)
    head.name = net_param.name  # Caffe: saved even when empty
    head.ClearField("layer")
    with atomic_write(path) as file:
        file.write(head.SerializeToString(deterministic=True))
        for layer, arrays, layer_diffs in zip(net_param.layer, data, diff, strict=True):
            _write_chunks(file, _LAYER, list(_layer_chunks(layer, arrays, layer_diffs)))


def write_solver_state(path: str | os.PathLike[str], iter: int, learned_net: str,
                       history: Iterable[np.ndarray], current_step: int) -> None:
    """Write a .solverstate: iteration, path of the net, history blobs, step of multistep."""
    head = MESSAGES["SolverState"](iter=iter, learned_net=learned_net).SerializeToString()
    with atomic_write(path) as file:
        file.write(head)
        for array in history:
            _write_chunks(file, _HISTORY, _blob_chunks(array))
        file.write(tag(4, VARINT) + varint(current_step))


def write_blob(path: str | os.PathLike[str], array: np.ndarray, legacy: bool = False) -> None:
    """Write a file of one blob, such as a mean .binaryproto.

    Args:
        path: file to write.
        array: numbers, written as float32.
        legacy: give the shape as num, channels, height, width (as compute_image_mean does); the
            array must then have at most four axes.
    """
    chunks = _blob_chunks(array)
    if legacy:
        if array.ndim > 4:
            raise ProtoError(f"{path}: {array.ndim} axes; a legacy blob has at most 4")
        names = ("num", "channels", "height", "width")
        dims = (1,) * (4 - array.ndim) + array.shape
        head = MESSAGES["BlobProto"](**dict(zip(names, dims, strict=True)))
        chunks = [head.SerializeToString(deterministic=True), *chunks[:2]]
    with atomic_write(path) as file:
        file.writelines(chunks)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a binary file that takes its name only when the block ends without an error.

    Raises:
        ProtoError: the file cannot be written (folder missing, read-only, disk full); what was
            at `path` stays.
    """
    name = os.fspath(path)
    part = f"{name}.{os.getpid()}.part"
    try:
        with open(part, "w+b") as file:  # HDF5 also reads what it writes
            yield file
        os.replace(part, name)
    except OSError as error:
        raise ProtoError(f"Could not write file {name}: {error.strerror or error}; what was there "
                         "before is unchanged") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)


def _per_layer(net_param: Any, given: Any, what: str) -> list[Arrays]:
    names = [layer.name for layer in net_param.layer]
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(names))
        if unknown or len(set(names)) < len(names):
            raise ProtoError(f"{what} given by layer name: " + (
                f"the net has no layer {unknown[0]!r}" if unknown else
                "two layers have the same name; give them in the order of the layers"))
        return [given.get(name, ()) for name in names]
    if len(given) != len(names):
        raise ProtoError(f"{what} of {len(given)} layers given, the net has {len(names)}")
    return list(given)


def _layer_chunks(layer: Any, arrays: Arrays, diffs: Arrays) -> Iterator[Chunk]:
    """A LayerParameter with its blobs in the order of field numbers."""
    if layer.blobs:
        bare = type(layer)()
        bare.CopyFrom(layer)
        bare.ClearField("blobs")
        layer = bare
    if diffs and len(diffs) != len(arrays):
        raise ProtoError(f"layer '{layer.name}': {len(arrays)} blobs but {len(diffs)} diffs")
    text = layer.SerializeToString(deterministic=True)
    cut = 0  # where the first field after `blobs` starts
    for number, _, _, after in fields(text, 0, len(text)):
        if number > _LAYER_BLOBS:
            break
        cut = after
    yield text[:cut]
    for i, array in enumerate(arrays):
        chunks = _blob_chunks(array, diffs[i] if diffs else None)
        yield tag(_LAYER_BLOBS, LEN) + varint(_size(chunks))
        yield from chunks
    yield text[cut:]


def _blob_chunks(array: np.ndarray, diff: np.ndarray | None = None) -> list[Chunk]:
    """A BlobProto: 5 data, 6 diff, 7 shape (left out if the blob has no axes, as in Caffe)."""
    if diff is not None and diff.shape != array.shape:
        raise ProtoError(f"a blob of shape {array.shape} has a diff of shape {diff.shape}")
    chunks: list[Chunk] = []
    for number, values in ((5, array), (6, diff)):
        if values is not None and values.size:
            raw = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
            chunks += [tag(number, LEN) + varint(raw.nbytes), raw.data.cast("B")]
    if array.ndim:
        shape = MESSAGES["BlobShape"](dim=array.shape).SerializeToString()
        chunks.append(tag(7, LEN) + varint(len(shape)) + shape)
    return chunks


def _size(chunks: Sequence[Chunk]) -> int:
    return sum(len(chunk) for chunk in chunks)


def _write_chunks(file: Any, number: int, chunks: Sequence[Chunk]) -> None:
    file.write(tag(number, LEN) + varint(_size(chunks)))
    file.writelines(chunks)

"""Arrays fed other than through blobs: more items than one batch holds, or a MemoryData layer's.

In:   a net; arrays of any number of items, by blob name.
Out:  copies of the blobs, one row per item.
Not here: one pass (net). Source: BVLC pycaffe.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from ..blob import Blob
from ..errors import NetError
from ..layer import Layer

if TYPE_CHECKING:
    from .net import Net

Arrays = dict[str, np.ndarray]


def assign(blobs: Mapping[str, Blob], arrays: Arrays, wanted: list[str], field: str) -> None:
    """Write arrays for all inputs (`field` data), or all outputs (diff), into their blobs.

    Raises:
        Exception: wrong names, or a wrong first axis. ValueError, TypeError: wrong shapes, or not numbers.
    """
    what = "Input" if field == "data" else "Diff"
    if set(arrays) != set(wanted):
        complaint = ("Input blob arguments do not match net inputs." if field == "data"
                     else "Top diff arguments do not match net outputs.")
        raise Exception(f"{complaint} Got {sorted(arrays)}, want {sorted(wanted)}")
    for name, array in arrays.items():
        blob = blobs[name]
        if np.shape(array)[:1] != blob.shape[:1]:
            raise Exception(f"{what} is not batch sized: '{name}' got shape {np.shape(array)}, want {blob.shape}; "
                            "reshape the blob first")
        try:
            getattr(blob, field)[...] = array
        except (TypeError, ValueError) as problem:
            raise type(problem)(f"{what} '{name}' wants numbers of shape {blob.shape}: {problem}") from problem


def forward_all(net: Net, blobs: list[str] | None, arrays: Arrays) -> Arrays:
    """Run forward over more items than one batch holds; the last batch is padded with zeros."""
    if not arrays:
        raise Exception(f"forward_all: got no arrays, want one for each net input: {net.inputs}")
    all_outs: dict[str, list[np.ndarray]] = {name: [] for name in union(net.outputs, blobs)}
    for batch in _batches(net, arrays):
        for name, out in net.forward(blobs=blobs, **batch).items():
            all_outs[name].extend(_rows(name, out))
    return _packed(net, all_outs, arrays)


def forward_backward_all(net: Net, blobs: list[str] | None, diffs: list[str] | None,
                         arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Run forward and backward over more items than one batch holds."""
    ins = {name: array for name, array in arrays.items() if name in net.inputs}
    grads = {name: array for name, array in arrays.items() if name not in ins}
    all_outs: dict[str, list] = {name: [] for name in union(net.outputs, blobs)}
    all_diffs: dict[str, list] = {name: [] for name in union(net.inputs, diffs)}
    if not ins:
        raise Exception(f"forward_backward_all: got no array for any net input: {net.inputs}")
    none: dict[str, Any] = {}
    for batch, grad in zip_longest(_batches(net, ins), _batches(net, grads) if grads else [], fillvalue=none):
        for name, out in net.forward(blobs=blobs, **batch).items():
            all_outs[name].extend(_rows(name, out))
        for name, out in net.backward(diffs=diffs, **grad).items():
            all_diffs[name].extend(_rows(name, out))
    return _packed(net, all_outs, ins), _packed(net, all_diffs, ins)


def set_input_arrays(layers: Sequence[Layer], data: np.ndarray, labels: np.ndarray) -> None:
    """Feed a net's first layer, a MemoryData layer.

    Args:
        layers: those of the net.
        data: (n, C, H, W) float32, C contiguous, n a multiple of the layer's batch_size; read when
            its turn comes, so changes made before then count.
        labels: (n,) or (n, 1, 1, 1) float32.

    Raises:
        NetError: the first layer is of another type, or an array is unsuitable.
    """
    first = layers[0] if layers else None
    reset = getattr(first, "reset", None)
    if first is None or first.type != "MemoryData" or reset is None:
        raise NetError("set_input_arrays may only be called if the first layer is a MemoryDataLayer")
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = np.ascontiguousarray(labels[:, np.newaxis, np.newaxis, np.newaxis])
    reset(data, labels)


def union(names: list[str], more: list[str] | None) -> list[str]:
    """Return names and more, each once, in this order."""
    if isinstance(more, str):
        raise TypeError(f"got the string {more!r}, want a list of blob names: [{more!r}]")
    return list(dict.fromkeys([*names, *(more or [])]))


def _packed(net: Net, all_rows: dict[str, list[np.ndarray]], arrays: Arrays) -> Arrays:
    """Stack rows, without those that padded the last batch."""
    # DEVIATION D16: Caffe's forward_backward_all leaves part of the longer dict as padded lists.
    padding = -len(next(iter(arrays.values()))) % _batch_size(net)
    return {name: np.asarray(rows[:len(rows) - padding]) for name, rows in all_rows.items()}


def _batches(net: Net, arrays: Arrays) -> Iterator[dict[str, Any]]:
    """Yield the arrays in batches as large as the net's first blob, the last one padded with zeros."""
    for name, array in arrays.items():
        if not np.ndim(array):
            raise TypeError(f"'{name}': got {array!r}, want an array of items along its first axis")
    size = _batch_size(net)
    items = len(next(iter(arrays.values())))
    for begin in range(0, items, size):
        part = {name: np.asarray(array)[begin:begin + size] for name, array in arrays.items()}
        lacking = size - len(next(iter(part.values())))
        yield {name: np.concatenate([a, np.zeros((lacking, *a.shape[1:]), a.dtype)]) if lacking else a
               for name, a in part.items()}


def _batch_size(net: Net) -> int:
    return net.wiring.named_blobs[0].blob.shape[0]


def _rows(name: str, array: np.ndarray) -> np.ndarray:
    if not array.shape:
        raise TypeError(f"blob '{name}' is one value per batch, not one per item, and cannot be collected over "
                        "batches; call forward once per batch")
    return array.copy()

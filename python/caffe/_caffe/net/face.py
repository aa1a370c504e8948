"""What scripts call on a Net: blobs and parameters by name, forward and backward with names and keywords.

In:   a Net's wiring (`_w`) and its forward_from_to, backward_from_to.
Out:  the Python side of pycaffe's Net. Not here: the running itself (net).
Source: BVLC pycaffe.py, _caffe.cpp.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from ..blob import Blob, BlobVec
from ..errors import NetError

if TYPE_CHECKING:
    from .build import Wiring


class NetFace:
    """The part of a Net that scripts see."""

    _w: Wiring

    # -- views ---------------------------------------------------------------------------------

    @property
    def blobs(self) -> OrderedDict[str, Blob]:
        """All blobs by name, in the net's order."""
        return self._once("_blobs_by_name", lambda: OrderedDict(zip(self._w.blob_names, self._w.blobs, strict=True)))

    @property
    def params(self) -> OrderedDict[str, BlobVec]:
        """The parameter blobs of every layer that has any, by layer name."""
        return self._once("_params_by_name", lambda: OrderedDict(
            (name, layer.blobs) for name, layer in zip(self._w.layer_names, self._w.layers, strict=True)
            if len(layer.blobs) > 0))

    @property
    def layer_dict(self) -> OrderedDict[str, Any]:
        """All layers by name."""
        return self._once("_layers_by_name", lambda: OrderedDict(zip(self._w.layer_names, self._w.layers, strict=True)))

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """The loss weight of every blob, by name."""
        return self._once("_weights_by_name", lambda: OrderedDict(
            zip(self._w.blob_names, self._w.blob_loss_weights, strict=True)))

    @property
    def inputs(self) -> list[str]:
        """Names of the blobs that Input layers make."""
        return [self._w.blob_names[i] for i in self._w.input_ids]

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs nobody consumes, in alphabetical order."""
        return [self._w.blob_names[i] for i in self._w.output_ids]

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's bottoms, by layer name."""
        return self._once("_bottoms_by_name", lambda: self._names_of(self._w.bottom_ids))

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's tops, by layer name."""
        return self._once("_tops_by_name", lambda: self._names_of(self._w.top_ids))

    def _names_of(self, ids: list[list[int]]) -> OrderedDict[str, list[str]]:
        return OrderedDict((name, [self._w.blob_names[i] for i in blob_ids])
                           for name, blob_ids in zip(self._w.layer_names, ids, strict=True))

    def _once(self, name: str, make: Any) -> Any:
        """Keep what does not change after construction."""
        if name not in self.__dict__:
            self.__dict__[name] = make()
        return self.__dict__[name]

    # -- running by name -----------------------------------------------------------------------

    def forward(self, blobs: list[str] | None = None, start: str | None = None, end: str | None = None,
                **kwargs: np.ndarray) -> dict[str, np.ndarray]:
        """Run layers `start` … `end` (names, both included; default all).

        Args:
            blobs: names of blobs to return besides the outputs.
            start: name of the first layer to run.
            end: name of the last layer to run.
            **kwargs: arrays for all net inputs, by blob name; the first axis must fit.

        Returns:
            Live float32 views by blob name: the net's outputs, or the tops of `end`, and `blobs`.

        Raises:
            Exception: kwargs are not exactly the inputs, or not batch sized. ValueError: unknown layer name.
        """
        names = self._w.layer_names
        first = names.index(start) if start is not None else 0
        last = names.index(end) if end is not None else len(names) - 1
        outputs = self.top_names[end] if end is not None else self.outputs
        if kwargs:
            self._fill(kwargs, self.inputs, "data", "Input blob arguments do not match net inputs.")
        self._forward(first, last)
        return {name: self.blobs[name].data for name in _union(outputs, blobs)}

    def backward(self, diffs: list[str] | None = None, start: str | None = None, end: str | None = None,
                 **kwargs: np.ndarray) -> dict[str, np.ndarray]:
        """Run backward from layer `start` (the later one) down to `end` (names, both included; default all).

        Args:
            diffs: names of blobs whose diff to return besides the inputs'.
            start: name of the layer to begin at.
            end: name of the layer to stop after.
            **kwargs: diffs for all net outputs, by blob name; the first axis must fit.

        Returns:
            Live float32 views by blob name: diffs of the net's inputs, or of the bottoms of `end`, and `diffs`.

        Raises:
            Exception: kwargs are not exactly the outputs, or not batch sized. ValueError: unknown layer name.
        """
        names = self._w.layer_names
        first = names.index(start) if start is not None else len(names) - 1
        last = names.index(end) if end is not None else 0
        outputs = self.bottom_names[end] if end is not None else self.inputs
        if kwargs:
            self._fill(kwargs, self.outputs, "diff", "Top diff arguments do not match net outputs.")
        self._backward(first, last)  # type: ignore[attr-defined]
        return {name: self.blobs[name].diff for name in _union(outputs, diffs)}

    def _fill(self, arrays: dict[str, np.ndarray], wanted: list[str], field: str, complaint: str) -> None:
        if set(arrays) != set(wanted):
            raise Exception(f"{complaint} Got {sorted(arrays)}, want {sorted(wanted)}")
        for name, array in arrays.items():
            if np.shape(array)[:1] != self.blobs[name].shape[:1]:
                raise Exception(f"{'Input' if field == 'data' else 'Diff'} is not batch sized: '{name}' got shape "
                                f"{np.shape(array)}, want {self.blobs[name].shape}; reshape the blob first")
            getattr(self.blobs[name], field)[...] = array

    def forward_all(self, blobs: list[str] | None = None, **kwargs: np.ndarray) -> dict[str, np.ndarray]:
        """Run over more items than one batch holds; the last batch is padded with zeros.

        Returns:
            Copies by blob name, one row an item.
        """
        if not kwargs:
            raise Exception(f"forward_all: got no arrays, want one for each net input: {self.inputs}")
        all_outs: dict[str, list[np.ndarray]] = {name: [] for name in _union(self.outputs, blobs)}
        for batch in self._batch(kwargs):
            for name, out in self.forward(blobs=blobs, **batch).items():
                all_outs[name].extend(_rows(name, out))
        return self._packed(all_outs, kwargs)

    def forward_backward_all(self, blobs: list[str] | None = None, diffs: list[str] | None = None,
                             **kwargs: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Run forward and backward over more items than one batch holds.

        Args:
            blobs: names of blobs to return besides the outputs.
            diffs: names of blobs whose diff to return besides the inputs'.
            **kwargs: arrays for inputs, and diffs for outputs, by blob name.

        Returns:
            Two dicts of copies, data and diffs, one row an item.
        """
        ins = {name: array for name, array in kwargs.items() if name in self.inputs}
        grads = {name: array for name, array in kwargs.items() if name not in ins}
        all_outs: dict[str, list] = {name: [] for name in _union(self.outputs, blobs)}
        all_diffs: dict[str, list] = {name: [] for name in _union(self.inputs, diffs)}
        if not ins:
            raise Exception(f"forward_backward_all: got no array for any net input: {self.inputs}")
        none: dict[str, Any] = {}
        for batch, grad in zip_longest(self._batch(ins), self._batch(grads) if grads else [], fillvalue=none):
            for name, out in self.forward(blobs=blobs, **batch).items():
                all_outs[name].extend(_rows(name, out))
            for name, out in self.backward(diffs=diffs, **grad).items():
                all_diffs[name].extend(_rows(name, out))
        return self._packed(all_outs, ins), self._packed(all_diffs, ins)

    def _packed(self, all_rows: dict[str, list[np.ndarray]], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Stack rows, without those that padded the last batch."""
        # DEVIATION D16: Caffe's forward_backward_all leaves some of the more numerous dict as padded lists.
        padding = -len(next(iter(arrays.values()))) % self._w.blobs[0].shape[0]
        return {name: np.asarray(rows[:len(rows) - padding]) for name, rows in all_rows.items()}

    def _batch(self, arrays: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
        """Yield the arrays in batches as large as the net's first blob, the last one padded with zeros."""
        size = self._w.blobs[0].shape[0]
        items = len(next(iter(arrays.values())))
        for begin in range(0, items, size):
            part = {name: np.asarray(array)[begin:begin + size] for name, array in arrays.items()}
            lacking = size - len(next(iter(part.values())))
            yield {name: np.concatenate([a, np.zeros((lacking, *a.shape[1:]), a.dtype)]) if lacking else a
                   for name, a in part.items()}

    # -- the C++ side's names ------------------------------------------------------------------

    def _forward(self, start: int, end: int) -> float:
        self._check_range(start, end)
        return self.forward_from_to(start, end)  # type: ignore[attr-defined]

    def _check_range(self, low: int, high: int) -> None:
        if not 0 <= low < len(self._w.layers) or not 0 <= high < len(self._w.layers):
            raise NetError(f"net: got layers {low} to {high}, want 0 to {len(self._w.layers) - 1}")

    @property
    def _blobs(self) -> list[Blob]:
        return self._w.blobs

    @property
    def _blob_names(self) -> list[str]:
        return self._w.blob_names

    @property
    def _layer_names(self) -> list[str]:
        return self._w.layer_names

    @property
    def _inputs(self) -> list[int]:
        return self._w.input_ids

    @property
    def _outputs(self) -> list[int]:
        return self._w.output_ids

    @property
    def _blob_loss_weights(self) -> list[float]:
        return self._w.blob_loss_weights

    def _bottom_ids(self, layer_id: int) -> list[int]:
        return self._w.bottom_ids[layer_id]

    def _top_ids(self, layer_id: int) -> list[int]:
        return self._w.top_ids[layer_id]

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Feed the net's first layer, a MemoryData layer.

        Args:
            data: (n, C, H, W) float32, C contiguous, n a multiple of the layer's batch_size; read when
                its turn comes, so changes until then count.
            labels: (n,) or (n, 1, 1, 1) float32.

        Raises:
            NetError: the first layer is another, or an array will not do.
        """
        first = self._w.layers[0] if self._w.layers else None
        reset = getattr(first, "reset", None)
        if first is None or first.type != "MemoryData" or reset is None:
            raise NetError("set_input_arrays may only be called if the first layer is a MemoryDataLayer")
        if isinstance(labels, np.ndarray) and labels.ndim == 1:
            labels = np.ascontiguousarray(labels[:, np.newaxis, np.newaxis, np.newaxis])
        reset(data, labels)

    _set_input_arrays = set_input_arrays


def _rows(name: str, array: np.ndarray) -> np.ndarray:
    if not array.shape:
        raise TypeError(f"blob '{name}' is one value a batch, not one an item, and cannot be collected over batches; "
                        "call forward once a batch")
    return array.copy()


def _union(names: list[str], more: list[str] | None) -> list[str]:
    return list(dict.fromkeys([*names, *(more or [])]))

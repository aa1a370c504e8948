"""Steps that run a layer's own forward, and values seen in another shape.

In, out: as every step (step).
Not here: layers that have a step of their own (sliding, pointwise, steps).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from ..blob import Blob
from .pointwise import Pointwise
from .space import Space, order
from .step import Place, Run, Step, Tensors


class ValueBlob:
    """Stands in for a blob of the net when a layer runs; its data is a value of the plan."""

    _data = SimpleNamespace(is_held=True)  # nothing about it may be cached

    def __init__(self, blob: Blob, tensor: torch.Tensor) -> None:
        self._blob, self._tensor = blob, tensor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blob, name)

    def read_data(self) -> torch.Tensor:
        """Return the value."""
        return self._tensor

    write_data = edit_data = read_data

    def host_data(self) -> None:
        """Return None: the host has no copy of the device's value."""

    def share_data(self, other: Any) -> None:
        """Take another blob's values."""
        self._tensor = other.read_data()

    def shares_data_with(self, other: Any) -> bool:
        """Whether the values are another blob's."""
        return self._tensor is other.read_data()


class ByLayer(Step):
    """A layer's own forward, over whole values.

    Args:
        node: the layer with its blobs.
        bottoms: values.
        tops: values.
        from_source: which bottoms' own blobs hold their values, because a source wrote them.
    """

    has_constant = False
    is_whole = True

    def __init__(self, node: Any, bottoms: tuple[int, ...], tops: tuple[int, ...], from_source: list[bool]) -> None:
        self.node, self.bottoms, self.tops = node, bottoms, tops
        self.layers = (node.layer,)
        self._from_source = from_source

    def lengths(self, below, top):
        """Return those of the top's blob."""
        return _spatial(self.node.tops[top].shape)

    def bind(self, place: Place) -> Run:
        """Run the layer between blobs that show values."""
        layer, last = self.node.layer, self.node.layer.forward_any_strides

        def run(*bottoms: torch.Tensor) -> Tensors:
            if layer.hides_nan:
                self.checks = _sum_of(bottoms)
            below = [blob if is_source else ValueBlob(blob, _as_layers_want(x, last)) for blob, x, is_source in zip(
                self.node.bottoms, bottoms, self._from_source, strict=True)]
            above = [ValueBlob(blob, _empty_like(blob.shape, last, bottoms[0].device)) for blob in self.node.tops]
            layer.forward(below, above)
            tops = [blob.read_data() for blob in above]
            return [top.clamp_min_(0) for top in tops] if self.relu else tops
        return run


class ElementByElement(Pointwise):
    """The forward of a layer whose values depend on no other place, over any part of its bottoms."""

    def __init__(self, node: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.node, self.bottoms, self.tops = node, bottoms, tops
        self.layers = (node.layer,)

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Run the layer."""
        if self.node.layer.hides_nan:
            self.checks = _sum_of(bottoms)
        below = [ValueBlob(blob, x.float()) for blob, x in zip(self.node.bottoms, bottoms, strict=True)]
        above = ValueBlob(self.node.tops[0], torch.empty_like(below[0].read_data()))
        self.node.layer.forward(below, [above])
        return (above.read_data(),)


class View(Step):
    """A value in the shape of another blob, over the same values in Caffe's order."""

    has_constant = False
    is_whole = True
    shares_memory = True

    def __init__(self, shape_of: Blob, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self._blob, self.bottoms, self.tops = shape_of, bottoms, tops

    def lengths(self, below, top):
        """Return those of the blob."""
        return _spatial(self._blob.shape)

    def bind(self, place: Place) -> Run:
        """Put the values in Caffe's order and view them in this shape."""
        return lambda x: (x.contiguous().view(self._blob.shape),)


def _sum_of(bottoms: Tensors) -> torch.Tensor:
    return torch.stack([x.sum(dtype=torch.float32) for x in bottoms]).sum()


def _spatial(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[2:] if len(shape) == 4 else ()


def _as_layers_want(x: torch.Tensor, any_strides: bool) -> torch.Tensor:
    return x.float() if any_strides else x.float().contiguous()


def _empty_like(shape: tuple[int, ...], any_strides: bool, device: torch.device) -> torch.Tensor:
    if any_strides and len(shape) == 4:
        return torch.empty(shape, device=device, memory_format=order(torch.float32))
    return torch.empty(shape, device=device)

"""Convolution and pooling as steps: their tops see their bottoms through a window.

In, out: as every step (step). A convolution absorbs the BatchNorm, Scale, Bias and ReLU that follow it.
Not here: upsampling (steps), how a convolution is computed (packing, winograd).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import common
from .packing import Packed
from .reach import Reach, Span, Window
from .step import Area, Place, Reaches, Run, Step, Tensors

MANY = 256  # from this many channels on, copying a part with its surroundings beats computing more of them
functional = torch.nn.functional
aten = torch.ops.aten


class Sliding(Step):
    """A step whose top sees its bottom through a window."""

    windows: tuple[Window, ...]

    def lengths(self, below: Sequence[Sequence[int]], top: int) -> tuple[int, ...]:
        """Return them as the layer rounds them."""
        raise NotImplementedError

    def reach(self, below: Sequence[Reaches]) -> Reaches | None:
        """Map it through the window; None if either axis is unknown."""
        lengths = self.lengths([[axis.length for axis in below[0]]], 0)
        found: list[Reach] = []
        for window, reach, length in zip(self.windows, below[0], lengths, strict=True):
            axis = window.reach(reach, length)
            if axis is None:
                return None
            found.append(axis)
        return tuple(found)

    def flat(self, below: Sequence[Sequence[Span]], lengths: Sequence[Sequence[int]]) -> Area:
        """Map it through the window."""
        return tuple(w.flat(span, length, above) for w, span, length, above in zip(
            self.windows, below[0], lengths[0], self.lengths(lengths, 0), strict=True))

    def reads(self, area: Area, below: Sequence[Reaches]) -> list[Area]:
        """Return what the window sees, clipped to the bottom; empty if all of it lies beyond."""
        seen = [w.reads(span) for w, span in zip(self.windows, area, strict=True)]
        return [tuple((min(max(begin, 0), r.length), min(max(end, 0), r.length))
                      for (begin, end), r in zip(seen, below[0], strict=True))]

    def beyond(self, area: Area, below: Reaches) -> list[tuple[int, int]]:
        """Return how far the window looks beyond the bottom, before and after, for rows and columns."""
        seen = [w.reads(span) for w, span in zip(self.windows, area, strict=True)]
        return [(max(min(end, 0) - begin, 0), max(end - max(begin, r.length), 0))
                for (begin, end), r in zip(seen, below, strict=True)]


class Convolve(Sliding):
    """Convolution; BatchNorm, Scale and Bias that follow it are folded into its weight, a ReLU follows in place."""

    def __init__(self, layers: Sequence[Any], bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.layers, self.bottoms, self.tops = layers, bottoms, tops
        layer = self.layer = layers[0]
        self.windows = tuple(
            Window(layer.dilation[i] * (layer.kernel[i] - 1) + 1, layer.stride[i], layer.pad[i], True) for i in (0, 1))
        self.strides = tuple(layer.stride)
        self.prefers_copies = layer.channels >= MANY
        self._packed: Packed | None = None

    def lengths(self, below, top):
        """Return them rounded down."""
        return self.layer.output_length(below[0][0], 0), self.layer.output_length(below[0][1], 1)

    @property
    def packed(self) -> list[torch.Tensor]:
        """The weight as the kernel on a device reads it."""
        return self.weights().on_device

    def pack(self) -> None:
        """Forget what was derived from earlier weights."""
        self._packed = None

    def weights(self) -> Packed:
        """Return the current weights, ready to convolve."""
        if self._packed is None:
            self._packed = Packed(self.layers)
        return self._packed

    def bind(self, place: Place) -> Run:
        """Convolve; padding is the kernel's own where all of the top is wanted, otherwise it is added around x."""
        around = self.beyond(place.area, place.below[0])
        sides = [end - begin for begin, end in place.area]
        is_whole = place.area == tuple((0, n) for n in self.lengths([[r.length for r in place.below[0]]], 0))
        is_whole = is_whole and all(begin < end for begin, end in place.reads[0])  # kernels refuse a bottom of no rows
        lies_inside = not any(around[0] + around[1])

        def run(x: torch.Tensor) -> Tensors:
            weights = self.weights()
            if weights.tiles_pay(sides):
                return (weights.by_tiles(x, around, sides, self.relu, place.space),)
            if is_whole:
                y = weights.convolve(x, self.layer.pad, sides, place.space)
            else:
                y = weights.convolve(x if lies_inside else functional.pad(x, [*around[1], *around[0]]), [0, 0], sides,
                                     place.space)
            return (y.clamp_min_(0) if self.relu else y,)  # oneDNN's own ReLU turns NaN into 0
        return run

    def constant(self, below: Tensors) -> Tensors:
        """Convolve a constant plane without an edge."""
        plane = below[0].view(1, -1, 1, 1).expand(1, -1, *(w.extent for w in self.windows))
        y = self.weights().convolve(plane, [0, 0], [1, 1], None)[0, :, 0, 0]
        return (y.clamp_min(0) if self.relu else y,)


class MaxPool(Sliding):
    """MAX pooling with windows that overlap or touch."""

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.layer, self.bottoms, self.tops = layer, bottoms, tops
        self.windows = tuple(Window(layer.kernel[i], layer.stride[i], layer.pad[i], False) for i in (0, 1))
        self.strides = tuple(layer.stride)

    def lengths(self, below, top):
        """Return them rounded up."""
        return self.layer.pooled_length(below[0][0], 0), self.layer.pooled_length(below[0][1], 1)

    def bind(self, place: Place) -> Run:
        """Pool; only what lies inside the bottom counts."""
        (above, under), (left, right) = self.beyond(place.area, place.below[0])
        sides = [end - begin for begin, end in place.area]
        # torch rounds up, so that a last window may reach beyond what is read; others do not
        fits = all((side - 1) * stride < min(end - begin, end - begin - kernel + stride)
                   for side, stride, kernel, (begin, end) in zip(sides, self.layer.stride, self.layer.kernel,
                                                                 place.reads[0], strict=True))
        lies_beyond = above or left or not fits
        window = self.layer.kernel, self.layer.stride, [0, 0], [1, 1], True

        def run(x: torch.Tensor) -> Tensors:
            if lies_beyond:
                x = functional.pad(x, [left, right, above, under], value=float("-inf"))
            if not common.on_host():  # CUDA's kernel writes in x's order, whatever the order of `out`
                y = aten.max_pool2d_with_indices(x, *window)[0]
            else:
                y = place.space.take((*x.shape[:2], *sides), x.dtype)
                places = place.space.take(y.shape, torch.int64)
                aten.max_pool2d_with_indices.out(x, *window, out=y, indices=places)
                place.space.give_back(places)
            return (y.clamp_min_(0) if self.relu else y,)
        return run

    def constant(self, below: Tensors) -> Tensors:
        """Return the same constants."""
        return (below[0].clamp_min(0) if self.relu else below[0],)

"""Convolution and pooling as steps: their tops see their bottoms through a window.

In, out: as of every step (step). A convolution takes in the ReLU in place that follows it.
Not here: upsampling (steps).
"""

from __future__ import annotations

from typing import Any

import torch

from .. import common
from ..kernels import autotune
from ..kernels.winograd import tiles
from .reach import Window, meet
from .space import order
from .step import Area, Reaches, Step

MANY = 256  # channels from which copying a part with its surroundings costs less than computing more of them
_PACKS = (torch.backends.mkldnn.is_available()
          and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
          and hasattr(torch.ops.mkldnn, "_convolution_pointwise_"))
functional = torch.nn.functional


class Sliding(Step):
    """A step whose top sees its bottom through a window."""

    windows: tuple[Window, ...]

    @property
    def stride(self):
        """Of the window."""
        return max(w.stride for w in self.windows)

    def lengths(self, below):
        """As the layer rounds them."""
        return self.layer.output_length(below[0][0], 0), self.layer.output_length(below[0][1], 1)

    def reach(self, below):
        """Through the window; None if either axis cannot tell."""
        lengths = self.lengths([[axis.length for axis in below[0]]])
        found = [w.reach(r, n) for w, r, n in zip(self.windows, below[0], lengths, strict=True)]
        return None if None in found else tuple(found)

    def flat(self, below, lengths):
        """Through the window."""
        return tuple(w.flat(span, length, above) for w, span, length, above in zip(
            self.windows, below[0], lengths[0], self.lengths(lengths), strict=True))

    def reads(self, area, below):
        """What the window sees, without what lies beyond the bottom."""
        return [tuple(meet(w.reads(span), r.whole) for w, span, r in zip(self.windows, area, below[0], strict=True))]

    def beyond(self, area: Area, below: Reaches) -> list[tuple[int, int]]:
        """How far the window looks beyond the bottom, before and after, rows and columns."""
        seen = [w.reads(span) for w, span in zip(self.windows, area, strict=True)]
        return [(max(-begin, 0), max(end - r.length, 0)) for (begin, end), r in zip(seen, below, strict=True)]


class Convolve(Sliding):
    """Convolution, with the ReLU in place that follows it."""

    def __init__(self, layer: Any, below: int, above: int) -> None:
        self.layer, self.below, self.above = layer, (below,), above
        self.relu = False
        self.windows = tuple(
            Window(layer.dilation[i] * (layer.kernel[i] - 1) + 1, layer.stride[i], layer.pad[i], True) for i in (0, 1))
        self.wide = layer.channels >= MANY
        self._dtype = torch.float32
        self._plain: torch.Tensor | None = None  # the weight in this type, where it may be used as it is
        self._packed: torch.Tensor | None = None
        self._filtering: tiles.Tiled | None = None
        self._pixel = False  # every place is a product of its own

    def pack(self) -> None:
        """Take the present weights."""
        weight = self.layer.blobs[0].read_data()
        self._dtype = torch.bfloat16 if common.precision() == "bf16" else torch.float32
        plain = [*self.layer.stride, *self.layer.dilation, self.layer.group] == [1] * 5
        self._plain = self._packed = self.packed = self._filtering = None
        self._pixel = False
        if not common.on_host():
            self._plain = self.packed = weight.to(self._dtype).contiguous(memory_format=order(self._dtype))
            return
        if plain and tiles.serves(weight, self._dtype):
            self._filtering = tiles.ready(weight, self._dtype)
        self._pixel = plain and tiles.HAS_LINEAR and [*self.layer.kernel, *self.layer.pad] == [1, 1, 0, 0]
        if self._pixel:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(self._dtype).flatten(1))
        elif self._filtering is None and _PACKS and weight.numel() >= 1 << 10:
            size = [1, self.layer.channels, *(w.extent + 31 for w in self.windows)]  # any will do, but none is slow
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                weight.to(self._dtype), [0, 0], self.layer.stride, self.layer.dilation, self.layer.group, size)
        elif self._filtering is None or not self._filtering.always_pays:
            self._plain = weight.to(self._dtype)

    def run(self, area, below, fetch, space):
        """Convolve; padding is the kernel's own where all of the top is wanted, else it is laid around."""
        x, pad = fetch(self.below[0], self.reads(area, below)[0]), [0, 0]
        sides = [end - begin for begin, end in area]
        if self._filtering is not None and self._filtering.pays(*sides):
            out = space.take((x.shape[0], self.layer.num_output, *sides), self._dtype)
            self._filtering.convolve(x, self.beyond(area, below[0]), self._bias(), self.relu, out)
            return out
        if area == tuple((0, n) for n in self.lengths([[r.length for r in below[0]]])):
            pad = self.layer.pad
        else:
            rows, columns = self.beyond(area, below[0])
            if any(rows + columns):
                x = functional.pad(x, [*columns, *rows])
        out = None
        if self._packed is not None and self.windows[0].extent > 1:
            out = space.take((x.shape[0], self.layer.num_output, *sides), self._dtype)
        return self._convolve(x, pad, out)

    def _bias(self) -> torch.Tensor | None:
        blobs = self.layer.blobs
        return blobs[1].read_data().to(self._dtype) if len(blobs) > 1 else None

    def _convolve(self, x: torch.Tensor, pad: list[int], out: torch.Tensor | None = None) -> torch.Tensor:
        y = self._sums(x.to(self._dtype).contiguous(memory_format=order(self._dtype)), pad, out)
        return y.clamp_min_(0) if self.relu else y  # oneDNN's own ReLU makes 0 of NaN

    def _sums(self, x: torch.Tensor, pad: list[int], out: torch.Tensor | None) -> torch.Tensor:
        layer, bias = self.layer, self._bias()
        if self._pixel:
            places = x.permute(0, 2, 3, 1)
            y = torch.ops.mkldnn._linear_pointwise(places.reshape(-1, x.shape[1]), self._packed, bias, "none", [], "")
            return y.view(*places.shape[:3], -1).permute(0, 3, 1, 2)
        if self._packed is not None and out is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, self._packed, bias, pad, layer.stride, layer.dilation, layer.group, "none", [], "")
        if out is not None:  # the kernel that writes where it is told to adds to what is there; 1 x 1 it is slow
            return torch.ops.mkldnn._convolution_pointwise_.binary(
                out.zero_(), x, self._packed, bias, pad, layer.stride, layer.dilation, layer.group, "add", 1.0, None,
                [], "")
        weight = self._plain if self._plain is not None else layer.blobs[0].read_data().to(self._dtype)
        window = layer.stride, pad, layer.dilation, False, [0, 0], layer.group
        return (autotune.convolution(layer, x, weight, bias, *window) if x.is_cuda
                else torch.convolution(x, weight, bias, *window))

    def constant(self, below):
        """The convolution of a constant plane, without an edge."""
        extents = [w.extent for w in self.windows]
        return self._convolve(below[0].view(1, -1, 1, 1).expand(1, -1, *extents), [0, 0])[0, :, 0, 0]


class Pool(Sliding):
    """MAX pooling."""

    def __init__(self, layer: Any, below: int, above: int) -> None:
        self.layer, self.below, self.above = layer, (below,), above
        self.windows = tuple(Window(layer.kernel[i], layer.stride[i], layer.pad[i], False) for i in (0, 1))

    def lengths(self, below):
        """As the layer rounds them."""
        return self.layer.pooled_length(below[0][0], 0), self.layer.pooled_length(below[0][1], 1)

    def run(self, area, below, fetch, space):
        """Pool; only what lies inside the bottom counts."""
        x = fetch(self.below[0], self.reads(area, below)[0])
        rows, columns = self.beyond(area, below[0])
        if rows[0] or columns[0]:
            x = functional.pad(x, [*columns, *rows], value=float("-inf"))
        if not common.on_host():  # CUDA's kernel writes in x's order, whatever that of the tensor it is given
            return torch.ops.aten.max_pool2d_with_indices(x, self.layer.kernel, self.layer.stride, [0, 0], [1, 1],
                                                          True)[0]
        out = space.take((*x.shape[:2], *(end - begin for begin, end in area)), x.dtype)
        places = space.take(out.shape, torch.int64)
        torch.ops.aten.max_pool2d_with_indices.out(x, self.layer.kernel, self.layer.stride, [0, 0], [1, 1], True,
                                                   out=out, indices=places)
        space.give_back(places)
        return out

    def constant(self, below):
        """The same."""
        return below[0]

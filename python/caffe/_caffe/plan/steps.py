"""The other layers as steps: crop, upsampling, pooling of a whole plane.

In, out: as every step (step).
Not here: windows that slide (sliding), what sees its bottoms at the same place (pointwise).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..kernels import autotune, upsampling
from .step import Place, Run, Step, Tensors


class Crop(Step):
    """Crop of rows and columns."""

    has_constant = False
    shares_memory = True

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...],
                 like: Callable[[], tuple[int, ...]]) -> None:
        self.bottoms, self.tops, self._like = bottoms[:1], tops, like
        self._offset = layer.offset[2 - layer.axis:]

    def lengths(self, below, top):
        """Return those of the blob it is cropped to."""
        return self._like()

    def reads(self, area, below):
        """Return the same part, from the offset on."""
        return [tuple((a + o, b + o) for (a, b), o in zip(area, self._offset, strict=True))]

    def bind(self, place: Place) -> Run:
        """Return the part that is read."""
        return lambda x: (x,)


class PoolPlane(Step):
    """MAX or AVE pooling of whole planes."""

    has_constant = False
    is_whole = True

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.bottoms, self.tops, self._is_max = bottoms, tops, layer.is_max

    def lengths(self, below, top):
        """Return one place."""
        return 1, 1

    def bind(self, place: Place) -> Run:
        """Return the maximum or the mean of each plane."""
        def run(x: torch.Tensor) -> Tensors:
            x = x.float()
            y = x.amax((2, 3), keepdim=True) if self._is_max else x.mean((2, 3), keepdim=True)
            return (y.clamp_min_(0) if self.relu else y,)
        return run


class Upsample(Step):
    """Deconvolution: as products where there is one kernel per channel, else as torch does it."""

    has_constant = False

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.layers, self.layer, self.bottoms, self.tops = (layer,), layer, bottoms, tops
        self._kernels: torch.Tensor | None = None
        self._is_packed = False

    def pack(self):
        """Forget what was found out about the weight."""
        self._kernels, self._is_packed = None, False

    def lengths(self, below, top):
        """Return them as the layer computes them."""
        return self.layer.output_length(below[0][0], 0), self.layer.output_length(below[0][1], 1)

    def reads(self, area, below):
        """Return what reaches the part; everything, where kernels leave gaps."""
        layer, spans = self.layer, []
        for i, ((begin, end), r) in enumerate(zip(area, below[0], strict=True)):
            kernel, stride, pad = layer.kernel[i], layer.stride[i], layer.pad[i]
            span = -(-(begin + pad - kernel + 1) // stride), (end - 1 + pad) // stride + 1
            span = min(max(span[0], 0), r.length), min(max(span[1], 0), r.length)
            spans.append(span if kernel >= stride and layer.dilation[i] == 1 else r.whole)
        return [tuple(spans)]

    def bind(self, place: Place) -> Run:
        """Compute only the wanted part."""
        layer, read = self.layer, place.reads[0]
        first = [span[0] - r[0] * stride + pad  # of the part, in what the part of x makes without pad
                 for span, r, stride, pad in zip(place.area, read, layer.stride, layer.pad, strict=True)]
        height, width = (end - begin for begin, end in place.area)

        def run(x: torch.Tensor) -> Tensors:
            if not self._is_packed:
                self._kernels, self._is_packed = layer.own_kernels(layer.read_param(0)), True
            x, bias = x.float().contiguous(), layer._bias()
            if self._kernels is None:
                window = layer.stride, [0, 0], layer.dilation, True, [0, 0], layer.group
                weight = layer.read_param(0)
                y = (autotune.convolution(layer, x, weight, bias, *window) if x.is_cuda
                     else torch.convolution(x, weight, bias, *window))
                y = y[:, :, first[0]:first[0] + height, first[1]:first[1] + width]
            else:
                self.checks = x.sum()  # Inf or NaN times the zeros left out would be NaN
                y = place.space.take((1, 1, 1, x.shape[0] * layer.num_output * height * width), x.dtype)
                y = y.view(x.shape[0], layer.num_output, height, width)
                upsampling.upsample(x, self._kernels, layer.stride, first, y)
                y = y if bias is None else y.add_(bias.view(-1, 1, 1))
            return (y.clamp_min_(0) if self.relu else y,)
        return run

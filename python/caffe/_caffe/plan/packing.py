"""The weights of a convolution in a plan: folded, converted and ordered once, for as long as they do not change.

In:   a Convolution layer and the BatchNorm, Scale and Bias layers after it.
Out:  the convolution of all of them.
Not here: the ReLU after them, padding around parts (sliding), which weights have changed (weights).

oneDNN orders weights for one size of the bottom. Given any other order, it reorders them on every pass: 1 x 1,
1024 to 1024 channels of 7 x 7, 98 ms instead of 0.9; 5 x 5, 144 to 144 of 9 x 9, 24 instead of 0.6. So weights are
ordered for the first size at once, and for any other when it comes a second time. Until then it uses them in Caffe's
order, from which reordering is cheap (1.3 and 1.1 ms).
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

from .. import common
from ..kernels import autotune, onednn
from ..kernels.winograd import tiles
from .pointwise import compose
from .space import LARGE, Space, order

mkldnn = torch.ops.mkldnn
CAN_PACK = (torch.backends.mkldnn.is_available()
            and hasattr(mkldnn, "_reorder_convolution_weight") and hasattr(mkldnn, "_convolution_pointwise_"))
KEPT_SIZES = 3  # of the bottom, for which ordered weights are kept
# With fewer products in a pass, torch's kernel is faster than oneDNN's with a packed weight, whose call alone takes
# 25 us, torch's 5; not with a single channel: 20 x 1 x 5 x 5 over 28 x 28 takes 57 and 36 us.
SMALL = 1 << 20
FEW = 4  # up to so many channels, a small bottom is best in Caffe's order: 28 x 3 x 3 x 3 over 24 x 24, 40 to 16 us


class Packed:
    """A weight and a bias, ready to convolve with.

    Args:
        layers: the Convolution, then layers that have a `channel_affine`.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        layer = self._layer = layers[0]
        weight, bias = _folded(layers)
        few = weight.new_empty(1, layer.channels, 1, 1)  # only its channels matter
        errs = onednn.bf16_kernel_errs("convolve", layer._slides, few, layer.num_output)
        self._dtype = torch.float32 if errs else common.compute_type()
        self._bias = None if bias is None else bias.to(self._dtype)
        self._by_size: OrderedDict[tuple, torch.Tensor | None] = OrderedDict()  # None: seen once
        self._tiled: tiles.TiledWeight | None = None
        self._linear: torch.Tensor | None = None  # made on first use, as are the others below
        self._with_channels_last: torch.Tensor | None = None
        plain = layer._slides.is_plain
        self._is_pixel = plain and tiles.HAS_LINEAR and layer._slides.is_pixel
        if not common.on_host():
            self._weight = weight.to(self._dtype).contiguous(memory_format=order(self._dtype))
            return
        self._weight = weight.to(self._dtype)
        if plain and tiles.serves(weight, self._dtype):
            self._tiled = tiles.ready(weight, self._dtype)

    @property
    def on_device(self) -> list[torch.Tensor]:
        """What kernels on a device read."""
        return [] if common.on_host() else [self._weight]

    def tiles_pay(self, sides: Sequence[int]) -> bool:
        """Return whether tiles are faster for a top of this height and width."""
        return self._tiled is not None and self._tiled.pays(*sides)

    def by_tiles(self, x: torch.Tensor, around: Sequence[tuple[int, int]], sides: Sequence[int], relu: bool,
                 space: Space) -> torch.Tensor:
        """Convolve by tiles, with zeros around x; rectify if asked to."""
        assert self._tiled is not None
        out = space.take((x.shape[0], self._layer.num_output, *sides), self._dtype)
        self._tiled.convolve(x, around, self._bias, relu, out)
        return out

    def convolve(self, x: torch.Tensor, pad: Sequence[int], sides: Sequence[int], space: Space | None) -> torch.Tensor:
        """Convolve, in memory of `space` where the top is large."""
        layer = self._layer
        x = x if x.dtype == self._dtype else x.to(self._dtype)
        if not common.on_host():
            return self._on_device(x.contiguous(memory_format=order(self._dtype)), pad)
        shape = x.shape[0], layer.num_output, *sides
        count = math.prod(shape)
        if layer.channels > 1 and self._weight.numel() * count < SMALL * layer.num_output:
            return self._by_torch(x if layer.channels <= FEW else _with_channels_last(x), pad)
        x = _with_channels_last(x)
        is_large = space is not None and count * self._dtype.itemsize >= LARGE
        if self._is_pixel and not is_large:
            return self._at_each_place(x)
        weight = None
        if CAN_PACK and not onednn.packed_kernel_errs(layer.channels, layer.num_output, layer.kernel, sides[1]):
            x, pad = onednn.prepared(x, pad, layer.stride, layer.dilation)
            weight = self._ordered(x, pad)
        if weight is None:
            return self._by_torch(x, pad)
        window = pad, layer.stride, layer.dilation, layer.group
        if not is_large:
            return mkldnn._convolution_pointwise(x, weight, self._bias, *window, "none", [], "")
        assert space is not None
        out = space.take(shape, self._dtype).zero_()  # the variant that takes an output adds to it
        return mkldnn._convolution_pointwise_.binary(out, x, weight, self._bias, *window, "add", 1.0, None, [], "")

    def _on_device(self, x: torch.Tensor, pad: Sequence[int]) -> torch.Tensor:
        convolution = functools.partial(autotune.convolution, self._layer) if x.is_cuda else torch.convolution
        return convolution(x, self._weight, self._bias, *self._geometry(pad))

    def _by_torch(self, x: torch.Tensor, pad: Sequence[int]) -> torch.Tensor:
        """Convolve by torch's kernel, with the weight in x's memory format: otherwise torch converts it every time."""
        layer = self._layer
        x, pad = onednn.prepared(x, pad, layer.stride, layer.dilation)
        weight = self._weight
        if layer.group == 1 and not x.is_contiguous():
            if self._with_channels_last is None:
                self._with_channels_last = _with_channels_last(weight)
            weight = self._with_channels_last
        return _with_channels_last(torch.convolution(x, weight, self._bias, *self._geometry(pad)))

    def _geometry(self, pad: Sequence[int]) -> tuple[Any, ...]:
        layer = self._layer
        return layer.stride, pad, layer.dilation, False, [0, 0], layer.group

    def _at_each_place(self, x: torch.Tensor) -> torch.Tensor:
        if self._linear is None:
            self._linear = mkldnn._reorder_linear_weight(self._weight.flatten(1))
        places = x.permute(0, 2, 3, 1)
        y = mkldnn._linear_pointwise(places.reshape(-1, x.shape[1]), self._linear, self._bias, "none", [], "")
        return y.view(*places.shape[:3], -1).permute(0, 3, 1, 2)

    def _ordered(self, x: torch.Tensor, pad: Sequence[int]) -> torch.Tensor | None:
        """Return the weight ordered for a bottom of this size, or None where it is used as it is."""
        key = (*x.shape, *pad)
        if key not in self._by_size:
            self._by_size[key] = None
            if len(self._by_size) > KEPT_SIZES:
                self._by_size.popitem(last=False)
            if len(self._by_size) > 1:
                return None  # the very first most likely recurs
        if self._by_size[key] is None:
            layer = self._layer
            self._by_size[key] = mkldnn._reorder_convolution_weight(
                self._weight, pad, layer.stride, layer.dilation, layer.group, list(x.shape))
        self._by_size.move_to_end(key)
        return self._by_size[key]


def _with_channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def _folded(layers: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return weight and bias of a convolution that computes all the layers."""
    layer, *rest = layers
    weight = layer.read_param(0)
    bias = layer.read_param(1) if len(layer.param_shapes) > 1 else None
    if not rest:
        return weight, bias
    factor, offset = compose(rest)
    if factor is not None:
        weight = weight * factor.view(-1, *[1] * (weight.dim() - 1))
        bias = None if bias is None else bias * factor
    if offset is not None:
        bias = offset if bias is None else bias + offset
    return weight, bias

"""BatchNorm: bring every channel to mean 0 and deviation 1; no scale, no shift. Source: BVLC batch_norm_layer.cpp."""

from __future__ import annotations

from math import prod

import torch

from .. import common
from ..blob import Blob
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("BatchNorm")
class BatchNormLayer(Layer):
    """(x - mean) / sqrt(variance + eps) of each channel, by statistics of the batch (TRAIN) or the kept ones (TEST).

    Parameters: sums of means (C), of variances (C), and their weight (1); they never learn by
    gradient. May run in place. Source: Ioffe and Szegedy 2015.
    """

    exact_num_bottom = 1
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Make the three blobs, and keep the solver away from them."""
        param = self.layer_param.batch_norm_param
        self.eps, self.fraction = param.eps, param.moving_average_fraction
        self.use_global_stats = self.phase == 1
        if param.HasField("use_global_stats"):
            self.use_global_stats = param.use_global_stats
        self.channels = bottom[0].shape[1] if len(bottom[0].shape) > 1 else 1
        if not self.blobs:
            self.blobs.extend((Blob(self.channels), Blob(self.channels), Blob(1)))
        self.param_shapes = [(self.channels,), (self.channels,), (1,)]
        specs = self.layer_param.param
        for i in range(len(self.blobs)):
            if i == len(specs):
                specs.add(lr_mult=0)
            elif specs[i].lr_mult != 0:
                self.fail(f"Cannot configure batch normalization statistics as layer parameters: param {i} has "
                          f"lr_mult {specs[i].lr_mult:g}; want 0")
        # The top of the last forward with batch statistics, which in-place layers may overwrite; memory for backward.
        self._normed = self._work = None
        self._shape = None

    @property
    def is_pure(self):
        """Kept statistics do not change."""
        return self.use_global_stats

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        shape = bottom[0].shape
        top[0].reshape_like(bottom[0])
        if shape == self._shape:
            return
        if len(shape) > 1 and shape[1] != self.channels:
            self.fail(f"{self.channels} channels at setup; got shape {shape}")
        self._shape = shape
        self.size = prod(shape) // self.channels if self.channels else 0  # values per channel
        axes = max(len(shape), 2)  # DEVIATION D47: fewer than 2: one channel; Caffe stops at the missing axis.
        self._view = shape if len(shape) > 1 else (shape[0] if shape else 1, 1)
        self._per_channel = (1, self.channels, *[1] * (axes - 2))
        self._others = (0, *range(2, axes))

    def forward(self, bottom, top):
        """Top = (x - mean) / sqrt(variance + eps); in TRAIN the kept sums are updated."""
        x, y = self._by_channel(bottom[0].read_data()), self._by_channel(top[0].write_data())
        if self.use_global_stats:
            means, variances = self._kept()
            self._root = self._root_of(variances)
            torch.sub(x, means.view(self._per_channel), out=y).div_(self._root)
            return
        self._normed, self._work = _like(x, self._normed), _like(x, self._work)
        mean = x.mean(self._others)
        apart = torch.sub(x, mean.view(self._per_channel), out=self._normed)
        variance = torch.mul(apart, apart, out=self._work).mean(self._others)
        self._keep(mean, variance)
        self._root = self._root_of(variance)
        y.copy_(apart.div_(self._root))

    def _by_channel(self, tensor):
        """View values with the channels on axis 1."""
        return tensor if tensor.dim() > 1 else tensor.view(self._view)

    def _kept(self):
        """Return the kept means and variances: their sums divided by their weight, 0 where that is 0."""
        means, variances, weight = self.read_param(0), self.read_param(1), self.read_param(2)
        if common.on_host():
            weight = float(weight)
            factor = 1 / weight if weight else 0.0
        else:  # without waiting for the device
            factor = torch.where(weight == 0, 0.0, 1 / weight)
        return means * factor, variances * factor

    def _root_of(self, variance):
        return (variance + self.eps).sqrt_().view(self._per_channel)

    def _keep(self, mean, variance):
        """Scale what is kept by moving_average_fraction, and add this batch's."""
        unbiased = self.size / (self.size - 1) if self.size > 1 else 1
        for i, value in enumerate((mean, variance * unbiased, 1.0)):
            self.edit_param(i).mul_(self.fraction).add_(value)

    def plan_step(self, bottom, top):
        """Return `affine` with kept statistics."""
        return "affine" if self.use_global_stats and len(bottom[0].shape) > 1 else "layer"

    def channel_affine(self):
        """Return factor and offset (C) of each channel, with kept statistics: top = bottom * factor + offset."""
        means, variances = self._kept()
        factor = (variances + self.eps).rsqrt()
        return factor, -means * factor

    def backward(self, top, propagate_down, bottom):
        """(dy - mean(dy) - y mean(y dy)) / sqrt(variance + eps); with kept statistics dy / sqrt(...)."""
        # Caffe: whatever propagate_down says.
        dy, dx = self._by_channel(top[0].read_diff()), self._by_channel(bottom[0].write_diff())
        if self.use_global_stats:
            torch.div(dy, self._root, out=dx)
            return
        y, work = self._normed, self._work
        along = torch.mul(y, dy, out=work).mean(self._others, keepdim=True)
        mean = dy.mean(self._others, keepdim=True)
        torch.mul(y, along, out=work).add_(mean)
        torch.sub(dy, work, out=dx).div_(self._root)


def _like(x, kept):
    """Return memory laid out like x: the kept memory, if it is."""
    return kept if kept is not None and kept.shape == x.shape and kept.stride() == x.stride() else torch.empty_like(x)

"""Dropout: zero a random share of the values while training. Source: BVLC dropout_layer.cpp."""

from __future__ import annotations

import torch

from .. import common
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Dropout")
class DropoutLayer(Layer):
    """TRAIN: x * mask / (1 - dropout_ratio); TEST: x. May run in place."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Read the ratio."""
        self.ratio = self.layer_param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            self.fail(f"dropout_ratio must be at least 0 and less than 1; got {self.ratio:g}")
        self._mask = None  # 0 or 1 / (1 - ratio), of the bottom's shape

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def plan_step(self, bottom, top):
        """Return `same`: nothing is dropped when testing."""
        return "same"

    def forward(self, bottom, top):
        """Draw a new mask and apply it; copy when testing."""
        x = bottom[0].read_data()
        if self.phase == common.TRAIN:
            self._mask = self._draw(x)
            torch.mul(x, self._mask, out=top[0].write_data())
        elif top[0] is not bottom[0]:
            top[0].write_data().copy_(x)

    def backward(self, top, propagate_down, bottom):
        """Pass the gradient where the mask did."""
        if not propagate_down[0]:
            return
        dy = top[0].read_diff()
        if self.phase == common.TRAIN:
            torch.mul(dy, self._mask, out=bottom[0].write_diff())
        elif top[0] is not bottom[0]:
            bottom[0].write_diff().copy_(dy)

    def _draw(self, x):
        scale = 1.0 / (1.0 - self.ratio)
        if x.device.type == "cpu":
            # Caffe: a value stays if one 32-bit draw falls below 1 - ratio. math_functions.cpp, rng_bernoulli.
            kept = torch.from_numpy(common.rng().bernoulli(1.0 - self.ratio, x.numel()))
            return kept.to(torch.float32).mul_(scale).view(x.shape)
        # DEVIATION D14: Caffe's GPU draws from cuRAND, seeded separately; no engine repeats those masks.
        return torch.empty_like(x).bernoulli_(1.0 - self.ratio).mul_(scale)

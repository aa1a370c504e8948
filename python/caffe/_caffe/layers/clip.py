"""Clip: x cut to [min, max]. Source: BVLC clip_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Clip")
class ClipLayer(Layer):
    """max(min(x, max), min), elementwise; may run in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read the two ends, both of which must be given."""
        param = self.layer_param.clip_param
        if not (param.HasField("min") and param.HasField("max")):
            self.fail("clip_param needs min and max")
        self.min, self.max = param.min, param.max

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = x cut to [min, max]."""
        torch.clamp(bottom[0].read_data(), self.min, self.max, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Pass the gradient where min <= x <= max."""
        if propagate_down[0]:
            x = bottom[0].read_data()
            inside = (x >= self.min) & (x <= self.max)
            torch.mul(top[0].read_diff(), inside, out=bottom[0].write_diff())

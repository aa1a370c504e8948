"""Exp: base ^ (shift + scale x). Source: BVLC exp_layer.cpp."""

from __future__ import annotations

import math

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Exp")
class ExpLayer(Layer):
    """base ^ (shift + scale x), elementwise; base -1, the default, is e. May run in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Fold base, scale and shift into two factors: outer * exp(inner x)."""
        param = self.layer_param.exp_param
        if param.base != -1 and param.base <= 0:
            self.fail(f"base must be strictly positive, or -1 for e; got {param.base:g}")
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        self.inner = log_base * param.scale
        self.outer = math.exp(log_base * param.shift)

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = outer * exp(inner x)."""
        y = torch.mul(bottom[0].read_data(), self.inner, out=top[0].write_data()).exp_()
        if self.outer != 1:
            y.mul_(self.outer)

    def backward(self, top, propagate_down, bottom):
        """Gradient times inner * y."""
        if propagate_down[0]:
            dx = torch.mul(top[0].read_data(), top[0].read_diff(), out=bottom[0].write_diff())
            if self.inner != 1:
                dx.mul_(self.inner)

"""Log: the logarithm of shift + scale x. Source: BVLC log_layer.cpp."""

from __future__ import annotations

import math

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Log")
class LogLayer(Layer):
    """log_base(shift + scale x), elementwise; base -1, the default, is e.

    Caffe: may run in place, but not backward: the gradient from above is then overwritten before
    it is used. log_layer.cpp, Backward_cpu.
    """

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read the three numbers."""
        param = self.layer_param.log_param
        if param.base != -1 and param.base <= 0:
            self.fail(f"base must be strictly positive, or -1 for e; got {param.base:g}")
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        if log_base == 0:
            self.fail("base 1 has no logarithm; want another positive base, or -1 for e")
        self.scale, self.shift = param.scale, param.shift
        self.factor = 1 / log_base

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = log(shift + scale x) / log(base)."""
        y = self._inside(bottom[0].read_data(), top[0].write_data()).log_()
        if self.factor != 1:
            y.mul_(self.factor)

    def backward(self, top, propagate_down, bottom):
        """Gradient times scale / log(base) / (shift + scale x)."""
        if not propagate_down[0]:
            return
        dy = top[0].read_diff()
        dx = self._inside(bottom[0].read_data(), bottom[0].write_diff()).reciprocal_()
        if self.scale * self.factor != 1:
            dx.mul_(self.scale * self.factor)
        dx.mul_(dy)  # in place dx is dy, and the gradient from above is gone

    def _inside(self, x, out):
        """Write shift + scale x."""
        torch.mul(x, self.scale, out=out)
        return out.add_(self.shift) if self.shift else out

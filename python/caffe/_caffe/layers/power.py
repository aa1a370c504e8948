"""Power: (shift + scale x) ^ power. Source: BVLC power_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Power")
class PowerLayer(Layer):
    """(shift + scale x) ^ power, elementwise.

    Caffe: may run in place, but not backward: the gradient from above is then overwritten before
    it is used. power_layer.cpp, Backward_cpu.
    """

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read the three numbers."""
        param = self.layer_param.power_param
        self.power, self.scale, self.shift = param.power, param.scale, param.shift
        self.diff_scale = self.power * self.scale

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = (shift + scale x) ^ power; a constant, whatever x, where scale * power is 0."""
        if self.diff_scale == 0:
            value = torch.pow(torch.tensor(self.shift), self.power) if self.power else 1.0
            top[0].write_data().fill_(value)
            return
        x = bottom[0].read_data()
        y = top[0].write_data()
        if self.scale != 1:
            torch.mul(x, self.scale, out=y)
        elif y is not x:
            y.copy_(x)
        if self.shift != 0:
            y.add_(self.shift)
        if self.power != 1:
            y.pow_(self.power)

    def backward(self, top, propagate_down, bottom):
        """Gradient times scale * power * (shift + scale x) ^ (power - 1)."""
        if not propagate_down[0]:
            return
        if top[0] is not bottom[0] and self.power == 1 and self.scale != 0:
            torch.mul(top[0].read_diff(), self.diff_scale, out=bottom[0].write_diff())
            return
        dy = top[0].read_diff()
        dx = bottom[0].write_diff()
        self._slope(bottom[0].read_data(), top[0].read_data(), dx)
        if self.diff_scale != 0:
            dx.mul_(dy)  # in place dx is dy, and the gradient from above is gone

    def _slope(self, x, y, dx):
        """Write dy/dx."""
        if self.diff_scale == 0 or self.power == 1:
            dx.fill_(self.diff_scale)
        elif self.power == 2:
            torch.mul(x, self.diff_scale * self.scale, out=dx).add_(self.diff_scale * self.shift)
        else:  # Caffe: power * scale * y / (shift + scale x), so 0 / 0 is nan
            torch.mul(x, self.scale, out=dx).add_(self.shift)
            torch.div(y, dx, out=dx).mul_(self.diff_scale)

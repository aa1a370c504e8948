"""Reduction: sum, absolute sum, sum of squares or mean of the last axes. Source: BVLC reduction_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis, count


@register_layer("Reduction")
class ReductionLayer(Layer):
    """coeff times SUM, ASUM, SUMSQ or MEAN over all axes from `axis` (0) on."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Read the operation."""
        self.param = self.layer_param.reduction_param
        self.operation = self.param.operation

    def reshape(self, bottom, top):
        """Shape the top as the axes that stay."""
        shape = bottom[0].shape
        axis = canonical_axis(self, bottom[0], self.param.axis) if shape or self.param.axis else 0
        self.view = (count(shape, 0, axis), count(shape, axis))
        self.coeff = self.param.coeff
        if self.operation == self.param.MEAN:
            self.coeff /= max(1, self.view[1])
        top[0].reshape(*shape[:axis])

    def forward(self, bottom, top):
        """Top = coeff times the operation's value."""
        x = bottom[0].read_data().view(self.view)
        if self.operation == self.param.ASUM:
            x = x.abs()
        elif self.operation == self.param.SUMSQ:
            x = x.square()
        y = torch.sum(x, 1, out=top[0].write_data().view(-1))
        if self.coeff != 1:
            y.mul_(self.coeff)

    def backward(self, top, propagate_down, bottom):
        """Gradient times coeff, and the sign of x (ASUM) or 2 x (SUMSQ)."""
        if not propagate_down[0]:
            return
        dy = (top[0].read_diff() * self.coeff).view(-1, 1)
        x, dx = bottom[0].read_data().view(self.view), bottom[0].write_diff().view(self.view)
        if self.operation == self.param.ASUM:
            torch.mul(x.sign(), dy, out=dx)
        elif self.operation == self.param.SUMSQ:
            torch.mul(x, dy * 2, out=dx)
        else:
            dx.copy_(dy)

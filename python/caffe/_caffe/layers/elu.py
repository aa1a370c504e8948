"""ELU: x, or alpha (exp(x) - 1) below 0. Source: BVLC elu_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("ELU")
class ELULayer(Layer):
    """x where x > 0, else alpha (exp(x) - 1), elementwise; may run in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read alpha."""
        self.alpha = self.layer_param.elu_param.alpha

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = max(x, 0) + alpha (exp(min(x, 0)) - 1)."""
        x = bottom[0].read_data()
        below = x.clamp_max(0).expm1_().mul_(self.alpha)
        torch.add(x.clamp_min(0), below, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Gradient, times y + alpha below 0."""
        if propagate_down[0]:
            # Caffe: x is read at backward time; in place it is y, of the same sign where alpha > 0.
            slope = torch.where(bottom[0].read_data() > 0, 1.0, top[0].read_data() + self.alpha)
            torch.mul(top[0].read_diff(), slope, out=bottom[0].write_diff())

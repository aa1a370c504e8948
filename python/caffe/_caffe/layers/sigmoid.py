"""Sigmoid: 1 / (1 + exp(-x)). Source: BVLC sigmoid_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Sigmoid")
class SigmoidLayer(Layer):
    """1 / (1 + exp(-x)), elementwise; may run in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = 1 / (1 + exp(-x))."""
        # Caffe: 0.5 tanh(0.5 x) + 0.5 in double precision, so exactly 0 below -38, and 8e-9, not 0, at -18.6.
        y = bottom[0].read_data().to(torch.float64)
        top[0].write_data().copy_(y.mul_(0.5).tanh_().mul_(0.5).add_(0.5))

    def backward(self, top, propagate_down, bottom):
        """Gradient times y (1 - y)."""
        if propagate_down[0]:
            torch.ops.aten.sigmoid_backward.grad_input(
                top[0].read_diff(), top[0].read_data(), grad_input=bottom[0].write_diff()
            )

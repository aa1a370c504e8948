"""TanH: the hyperbolic tangent. Source: BVLC tanh_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("TanH")
class TanHLayer(Layer):
    """tanh(x), elementwise; may run in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = tanh(x)."""
        torch.tanh(bottom[0].read_data(), out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Gradient times 1 - y²."""
        if propagate_down[0]:
            torch.ops.aten.tanh_backward.grad_input(
                top[0].read_diff(), top[0].read_data(), grad_input=bottom[0].write_diff()
            )

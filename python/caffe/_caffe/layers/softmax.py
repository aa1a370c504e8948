"""Softmax: scores to probabilities along an axis. Source: BVLC softmax_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis


@register_layer("Softmax")
class SoftmaxLayer(Layer):
    """exp(x) / sum exp(x) along `axis` (default 1); may run in place."""

    is_pure = True
    forward_any_strides = True
    exact_num_bottom = 1
    exact_num_top = 1

    @property
    def pointwise(self):
        """Along the channels a value depends only on the others at its place."""
        return self.axis == 1

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        self.axis = canonical_axis(self, bottom[0], self.layer_param.softmax_param.axis)
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Compute the probabilities."""
        x = bottom[0].read_data()
        if top[0] is bottom[0]:
            x = x.clone()
        torch.softmax(x, self.axis, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Bottom diff = p (dy - sum p dy)."""
        if not propagate_down[0]:
            return
        p, dy = top[0].read_data(), top[0].read_diff()
        if top[0] is bottom[0]:
            dy = dy.clone()
        torch.ops.aten._softmax_backward_data.out(dy, p, self.axis, torch.float32, grad_input=bottom[0].write_diff())

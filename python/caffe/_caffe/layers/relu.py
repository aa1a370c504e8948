"""ReLU: max(x, 0), with a leak for negative values. Source: BVLC relu_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("ReLU")
class ReLULayer(Layer):
    """max(x, 0) + negative_slope * min(x, 0), elementwise; may run in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Read the slope."""
        self.negative_slope = self.layer_param.relu_param.negative_slope

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def plan_step(self, bottom, top):
        """Return `relu`."""
        return "relu"

    def forward(self, bottom, top):
        """Top = max(x, 0) + slope * min(x, 0)."""
        x = bottom[0].read_data()
        if self.negative_slope == 0:
            torch.clamp_min(x, 0, out=top[0].write_data())
        else:
            torch.ops.aten.leaky_relu.out(x, self.negative_slope, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Pass the gradient where x > 0, times the slope elsewhere."""
        if not propagate_down[0]:
            return
        # Caffe: reads the bottom at backward time; in place that is the output, whose sign is the same (slope 0).
        x, dy = bottom[0].read_data(), top[0].read_diff()
        if self.negative_slope == 0:
            torch.ops.aten.threshold_backward.grad_input(dy, x, 0, grad_input=bottom[0].write_diff())
        else:
            torch.ops.aten.leaky_relu_backward.grad_input(
                dy, x, self.negative_slope, False, grad_input=bottom[0].write_diff())

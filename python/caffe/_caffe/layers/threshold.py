"""Threshold: 1 where x is above a threshold, else 0. Source: BVLC threshold_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Threshold")
class ThresholdLayer(Layer):
    """1 where x > threshold, else 0, elementwise; may run in place; no gradient."""

    is_pure = True
    hides_nan = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read the threshold."""
        self.threshold = self.layer_param.threshold_param.threshold

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = 1 where x > threshold, else 0."""
        torch.gt(bottom[0].read_data(), self.threshold, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Fail: a step has no gradient."""
        self.fail("Not Implemented Yet: a Threshold layer has no gradient; do not put a loss with learned layers "
                  "or force_backward around it")

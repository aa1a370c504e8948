"""AbsVal: |x|. Source: BVLC absval_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("AbsVal")
class AbsValLayer(Layer):
    """|x|, elementwise; not in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = |x|."""
        torch.abs(bottom[0].read_data(), out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Gradient times the sign of x, 0 at 0."""
        if propagate_down[0]:
            torch.mul(top[0].read_diff(), bottom[0].read_data().sign(), out=bottom[0].write_diff())

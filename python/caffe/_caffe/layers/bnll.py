"""BNLL: log(1 + exp(x)), the binomial normal log likelihood. Source: BVLC bnll_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer

THRESHOLD = 50  # Caffe: exp(min(x, 50)) in backward


@register_layer("BNLL")
class BNLLLayer(Layer):
    """log(1 + exp(x)), elementwise; may run in place."""

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = max(x, 0) + log(1 + exp(-|x|))."""
        x = bottom[0].read_data()
        tail = x.abs().neg_().exp_().log1p_()
        torch.add(x.clamp_min(0), tail, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Gradient times exp(x) / (1 + exp(x))."""
        if propagate_down[0]:
            # Caffe: reads the bottom at backward time, which in place is the output.
            exp = bottom[0].read_data().clamp_max(THRESHOLD).exp_()
            torch.mul(top[0].read_diff(), exp.div_(exp + 1), out=bottom[0].write_diff())

"""Swish: x sigmoid(beta x). Source: BVLC swish_layer.cpp; Ramachandran et al. 2017."""

from __future__ import annotations

import torch

from ..blob import Blob
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Swish")
class SwishLayer(Layer):
    """x sigmoid(beta x), elementwise; may run in place."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read beta."""
        self.beta = self.layer_param.swish_param.beta
        self.gate = Blob()  # sigmoid(beta x) of the last forward

    def reshape(self, bottom, top):
        """Shape the top and the gate as the bottom."""
        top[0].reshape_like(bottom[0])
        self.gate.reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = x sigmoid(beta x)."""
        x, gate = bottom[0].read_data(), self.gate.write_data()
        torch.mul(x, self.beta, out=gate).sigmoid_()
        torch.mul(x, gate, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Gradient times beta y + sigmoid(beta x) (1 - beta y)."""
        if propagate_down[0]:
            y = top[0].read_data() * self.beta
            slope = y + self.gate.read_data() * (1 - y)
            torch.mul(top[0].read_diff(), slope, out=bottom[0].write_diff())

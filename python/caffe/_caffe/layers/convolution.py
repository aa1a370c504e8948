"""Convolution: filters slid over the bottom. Source: BVLC conv_layer.cpp."""

from __future__ import annotations

from ..base_convolution import BaseConvolutionLayer
from ..layer_factory import register_layer


@register_layer("Convolution")
class ConvolutionLayer(BaseConvolutionLayer):
    """Weight (num_output, channels / group, kernel...); output rounded down."""

    def output_length(self, length, axis):
        """Return (length + 2 pad - extent) / stride + 1, rounded down; 0 where the kernel does not fit."""
        extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (length + 2 * self.pad[axis] - extent) // self.stride[axis] + 1

"""Convolution: filters slid over the bottom. Source: BVLC conv_layer.cpp."""

from __future__ import annotations

from ..layer_factory import register_layer
from .base.base_convolution import BaseConvolutionLayer
from .base.im2col import window_count


@register_layer("Convolution")
class ConvolutionLayer(BaseConvolutionLayer):
    """Weight (num_output, channels / group, kernel...); output rounded down."""

    def output_length(self, length, axis):
        """Return (length + 2 pad - extent) / stride + 1, rounded down; 0 where the kernel does not fit."""
        return window_count(length, self.kernel[axis], self.stride[axis], self.pad[axis], self.dilation[axis])

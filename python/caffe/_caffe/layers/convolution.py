"""Convolution: filters slid over the bottom. Source: BVLC conv_layer.cpp."""

from __future__ import annotations

from .. import pointwise
from ..base_convolution import BaseConvolutionLayer
from ..im2col import window_count
from ..layer_factory import register_layer


@register_layer("Convolution")
class ConvolutionLayer(BaseConvolutionLayer):
    """Weight (num_output, channels / group, kernel...); output rounded down."""

    def setup(self, bottom, top):
        """Read the parameters, create weight and bias unless they are there."""
        super().setup(bottom, top)
        self._is_pointwise = (self.kernel == self.stride == [1, 1] and self.pad == [0, 0] and self.group == 1
                              and self.channel_axis == 1)

    def output_length(self, length, axis):
        """Return (length + 2 pad - extent) / stride + 1, rounded down; 0 where the kernel does not fit."""
        return window_count(length, self.kernel[axis], self.stride[axis], self.pad[axis], self.dilation[axis])

    def convolve(self, x, weight, bias, out):
        """Write the convolution of one bottom into `out`."""
        if self._is_pointwise and pointwise.serves(weight, x, out):
            pointwise.convolve(x, weight, bias, out)
        else:
            super().convolve(x, weight, bias, out)

    def weight_gradient(self, dy, x, weight):
        """Return the gradient of the weight."""
        if self._is_pointwise and pointwise.serves(weight, dy, x):
            return pointwise.weight_gradient(dy, x)
        return super().weight_gradient(dy, x, weight)

    def data_gradient(self, dy, x, weight, out):
        """Write the gradient of a bottom into `out`; x gives only the shape."""
        if self._is_pointwise and pointwise.serves(weight, dy, out):
            pointwise.data_gradient(dy, weight, out)
        else:
            super().data_gradient(dy, x, weight, out)

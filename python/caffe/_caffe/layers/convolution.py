"""Convolution: filters slid over the bottom. Source: BVLC conv_layer.cpp."""

from __future__ import annotations

import torch

from .. import bf16, products, strips, written
from ..base_convolution import BaseConvolutionLayer
from ..im2col import window_count
from ..layer_factory import register_layer
from ..winograd import learning


@register_layer("Convolution")
class ConvolutionLayer(BaseConvolutionLayer):
    """Weight (num_output, channels / group, kernel...); output rounded down."""

    def setup(self, bottom, top):
        """Read the parameters, create weight and bias unless they are there."""
        super().setup(bottom, top)
        self._window = products.Window(self.kernel, self.dilation, self.pad, self.stride, self.group)

    def output_length(self, length, axis):
        """Return (length + 2 pad - extent) / stride + 1, rounded down; 0 where the kernel does not fit."""
        return window_count(length, self.kernel[axis], self.stride[axis], self.pad[axis], self.dilation[axis])

    def convolve(self, x, weight, bias, out):
        """Write the convolution of one bottom into `out`."""
        if self._tiles(weight, x, out):
            learning.convolve(self._window, x, weight, bias, out, self._dtype())
            return
        way = self._way(weight, x, out, written.serves)
        if way is None:
            super().convolve(x, weight, bias, out)
        elif self._in_bf16():
            y = bf16.room("y", out)
            way.convolve(self._window, bf16.copy("x", x), bf16.copy("weight", weight),
                         None if bias is None else bias.to(torch.bfloat16), y)
            out.copy_(y)
        else:
            way.convolve(self._window, x, weight, bias, out)

    def add_weight_gradient(self, dy, x, weight, out):
        """Add the gradient of the weight to `out`."""
        if self._tiles(weight, x, dy):
            learning.add_weight_gradient(self._window, dy, x, out, self._dtype())
        elif self.any_strides and products.serves(self._window, weight, x, dy):
            if self._in_bf16():
                dy, x = bf16.copy("y", dy), bf16.copy("x", x)
            products.add_weight_gradient(self._window, dy, x, out)
        elif self.any_strides and self._in_bf16() and strips.serves(self._window, weight, x, dy):
            strips.add_weight_gradient(self._window, dy, x, out)
        else:
            super().add_weight_gradient(dy, x, weight, out)

    def data_gradient(self, dy, x, weight, out):
        """Write the gradient of a bottom into `out`; x gives only the shape."""
        if self._tiles(weight, out, dy):
            learning.data_gradient(self._window, dy, weight, out, self._dtype())
            return
        way = self._way(weight, out, dy, written.serves_data_gradient)
        if way is None:
            super().data_gradient(dy, x, weight, out)
        elif self._in_bf16():
            dx = bf16.room("x", out)
            way.data_gradient(self._window, bf16.copy("y", dy), bf16.copy("weight", weight), dx)
            out.copy_(dx)
        else:
            way.data_gradient(self._window, dy, weight, out)

    def _way(self, weight, x, y, is_written):
        """Return what convolves faster than the usual kernel, over a bottom and a top or their gradients."""
        if not self.any_strides:
            return None
        if products.serves(self._window, weight, x, y):
            return products
        return written if is_written(self._window, weight, x, y) else None

    def _tiles(self, weight, x, y):
        """Tell whether tiles convolve fastest, over a bottom and a top or their gradients."""
        return (self.any_strides and learning.serves(self._window, weight, x, y, self._dtype())
                and not products.serves(self._window, weight, x, y))

    def _dtype(self):
        return torch.bfloat16 if self._in_bf16() else torch.float32

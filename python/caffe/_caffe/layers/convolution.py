"""Convolution: filters slid over the bottom. Source: BVLC conv_layer.cpp."""

from __future__ import annotations

import torch

from ..kernels import bf16, in_place, matmul, strips
from ..kernels.winograd import learning
from ..layer_factory import register_layer
from .base.base_convolution import BaseConvolutionLayer
from .base.im2col import window_count


@register_layer("Convolution")
class ConvolutionLayer(BaseConvolutionLayer):
    """Weight (num_output, channels / group, kernel...); output rounded down."""

    def setup(self, bottom, top):
        """Read the parameters, create weight and bias unless they are there."""
        super().setup(bottom, top)
        self._window = matmul.Window(self.kernel, self.dilation, self.pad, self.stride, self.group)

    def output_length(self, length, axis):
        """Return (length + 2 pad - extent) / stride + 1, rounded down; 0 where the kernel does not fit."""
        return window_count(length, self.kernel[axis], self.stride[axis], self.pad[axis], self.dilation[axis])

    def convolve(self, x, weight, bias, out):
        """Write the convolution of one bottom into `out`."""
        if self._tiles(weight, x, out):
            learning.convolve(self._window, x, weight, bias, out, self._dtype())
            return
        way = self._way(weight, x, out, in_place.serves)
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
        elif self.any_strides and matmul.serves(self._window, weight, x, dy):
            if self._in_bf16():
                dy, x = bf16.copy("y", dy), bf16.copy("x", x)
            matmul.add_weight_gradient(self._window, dy, x, out)
        elif self.any_strides and self._in_bf16() and strips.serves(self._window, weight, x, dy):
            strips.add_weight_gradient(self._window, dy, x, out)
        else:
            super().add_weight_gradient(dy, x, weight, out)

    def data_gradient(self, dy, x, weight, out):
        """Write the gradient of a bottom into `out`; x gives only the shape."""
        if self._tiles(weight, out, dy):
            learning.data_gradient(self._window, dy, weight, out, self._dtype())
            return
        way = self._way(weight, out, dy, in_place.serves_data_gradient)
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
        if matmul.serves(self._window, weight, x, y):
            return matmul
        return in_place if is_written(self._window, weight, x, y) else None

    def _tiles(self, weight, x, y):
        """Tell whether tiles convolve fastest, over a bottom and a top or their gradients."""
        return (self.any_strides and learning.serves(self._window, weight, x, y, self._dtype())
                and not matmul.serves(self._window, weight, x, y))

    def _dtype(self):
        return torch.bfloat16 if self._in_bf16() else torch.float32

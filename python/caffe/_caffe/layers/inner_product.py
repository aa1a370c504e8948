"""InnerProduct: a fully connected layer. Source: BVLC inner_product_layer.cpp."""

from __future__ import annotations

from math import prod

import torch

from ..blob import Blob
from ..filler import fill
from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis, count


@register_layer("InnerProduct")
class InnerProductLayer(Layer):
    """x W^T + b over all axes from `axis` on; weight (num_output, K), or (K, num_output) if `transpose`."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Fix K, create weight and bias unless they exist."""
        param = self.layer_param.inner_product_param
        if param.num_output < 1:
            self.fail("num_output must be given and greater than 0")
        self.num_output, self.transpose = param.num_output, param.transpose
        self.axis = canonical_axis(self, bottom[0], param.axis)
        self.length = count(bottom[0].shape, self.axis)
        shapes = [(self.length, self.num_output) if self.transpose else (self.num_output, self.length)]
        if param.bias_term:
            shapes.append((self.num_output,))
        if not self.blobs:
            self.blobs.extend(Blob(*shape) for shape in shapes)
            fill(self.blobs[0], param.weight_filler)
            if param.bias_term:
                fill(self.blobs[1], param.bias_filler)
        elif [blob.count for blob in self.blobs] != [prod(shape) for shape in shapes]:
            self.fail(f"got weights of shapes {[blob.shape for blob in self.blobs]}, want {shapes}")
        self.param_shapes = shapes
        self.param_propagate_down = [True] * len(self.blobs)

    def reshape(self, bottom, top):
        """Top: the axes before `axis`, then num_output."""
        shape = bottom[0].shape
        length = count(shape, self.axis)
        if length != self.length:
            self.fail(f"Input size incompatible with inner product parameters; got {shape} "
                      f"({length} values from axis {self.axis} on), want {self.length}; a net of fixed size "
                      f"must be cast to convolutions to take others")
        self._rows = count(shape, 0, self.axis)
        top[0].reshape(*shape[: self.axis], self.num_output)

    def _weight(self):
        weight = self.read_param(0)
        return weight if self.transpose else weight.t()  # (K, num_output)

    def forward(self, bottom, top):
        """Top = x W^T + b."""
        x = bottom[0].read_data().view(self._rows, self.length)
        out = top[0].write_data().view(self._rows, self.num_output)
        if len(self.param_shapes) > 1:
            torch.addmm(self.read_param(1), x, self._weight(), out=out)
        else:
            torch.mm(x, self._weight(), out=out)

    def backward(self, top, propagate_down, bottom):
        """Add to the parameters' diff, overwrite the bottom's."""
        dy = top[0].read_diff().view(self._rows, self.num_output)
        if self.param_propagate_down[0]:
            x = bottom[0].read_data().view(self._rows, self.length)
            left, right = (x, dy) if self.transpose else (dy, x)
            self.edit_param_diff(0).addmm_(left.t(), right)
        if len(self.param_shapes) > 1 and self.param_propagate_down[1]:
            self.edit_param_diff(1).add_(dy.sum(0))
        if propagate_down[0]:
            torch.mm(dy, self._weight().t(), out=bottom[0].write_diff().view(self._rows, self.length))

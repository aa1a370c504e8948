"""ArgMax: indices (or values) of the largest scores. Source: BVLC argmax_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis, count


@register_layer("ArgMax")
class ArgMaxLayer(Layer):
    """The `top_k` largest along `axis`, or of all values of an item; no gradient.

    Without `axis` the top is (N, 1, top_k), or (N, 2, top_k) with the values after the indices
    if `out_max_val`; with `axis`, values replace the indices.
    """

    is_pure = True
    hides_nan = True
    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Check top_k."""
        param = self.layer_param.argmax_param
        self.top_k, self.out_max_val = param.top_k, param.out_max_val
        if self.top_k < 1:
            self.fail(f"top k must not be less than 1; got {self.top_k}")

    def reshape(self, bottom, top):
        """Shape the top."""
        param, shape = self.layer_param.argmax_param, bottom[0].shape
        self.has_axis = param.HasField("axis")
        axis = canonical_axis(self, bottom[0], param.axis) if self.has_axis else 1
        inner = count(shape, axis + 1) if self.has_axis else 1
        length = shape[axis] if self.has_axis else count(shape, 1)
        self.view = (count(shape, 0, axis), length, inner)
        if self.top_k > length:
            self.fail(f"top_k must be less than or equal to the number of classes; got {self.top_k} of {length}")
        if self.has_axis:
            top[0].reshape(*shape[:axis], self.top_k, *shape[axis + 1:])
        else:
            # Caffe: at least three axes, as many as the bottom has.
            ones = (1,) * (max(3, len(shape)) - 3)
            top[0].reshape(shape[0], 2 if self.out_max_val else 1, self.top_k, *ones)

    def forward(self, bottom, top):
        """Write the indices, largest score first."""
        # Caffe: pairs (value, index) in descending order, so of equal values the later index comes first.
        backwards = bottom[0].read_data().view(self.view).flip(1)
        values, places = torch.sort(backwards, dim=1, descending=True, stable=True)
        values = values[:, : self.top_k]
        places = self.view[1] - 1 - places[:, : self.top_k]
        y = top[0].write_data()
        if self.has_axis:
            y.view(-1, self.top_k, self.view[2]).copy_(values if self.out_max_val else places)
        elif self.out_max_val:
            y.view(-1, 2, self.top_k).copy_(torch.stack((places[..., 0].to(values.dtype), values[..., 0]), 1))
        else:
            y.view(-1, self.top_k).copy_(places[..., 0])

    def backward(self, top, propagate_down, bottom):
        """Fail: indices have no gradient."""
        self.fail("Not Implemented Yet: an ArgMax layer has no gradient; use it in TEST nets, or outside the loss")

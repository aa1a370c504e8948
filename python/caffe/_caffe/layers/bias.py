"""Bias: add a smaller blob, learned or given, repeated over the other axes.

Source: BVLC bias_layer.cpp.
"""

from __future__ import annotations

import torch

from ..blob import Blob
from ..filler import fill
from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import broadcast_shape, canonical_axis


@register_layer("Bias")
class BiasLayer(Layer):
    """bottom[0] + bias, where the bias spans `num_axes` axes from `axis`.

    The bias is bottom[1] or parameter 0. May run in place.
    """

    is_pure = True
    min_num_bottom = 1
    max_num_bottom = 2
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Make and fill the learned bias."""
        self._shapes = None
        if len(bottom) > 1 or self.blobs:
            return
        param = self.layer_param.bias_param
        axis, num_axes = canonical_axis(self, bottom[0], param.axis), param.num_axes
        if num_axes < -1:
            self.fail(
                "num_axes must be non-negative, or -1 to extend to the end of bottom[0]; "
                f"got {num_axes}"
            )
        shape = bottom[0].shape
        end = len(shape) if num_axes == -1 else axis + num_axes
        if end > len(shape):
            self.fail(
                "bias blob's shape extends past bottom[0]'s shape when applied starting with "
                f"bottom[0] axis = {axis}; num_axes {num_axes}, shape {shape}"
            )
        bias = Blob(*shape[axis:end])
        fill(bias, param.filler)
        self.blobs.append(bias)

    def reshape(self, bottom, top):
        """Check that the bias fits; shape the top as bottom[0]."""
        shape, bias = bottom[0].shape, (bottom[1] if len(bottom) > 1 else self.blobs[0]).shape
        if (shape, bias) != self._shapes:
            self._broadcast = broadcast_shape(self, bottom[0], bias, self.layer_param.bias_param.axis, "bias")
            self._shapes = shape, bias
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = bottom[0] + bias."""
        bias = (bottom[1] if len(bottom) > 1 else self.blobs[0]).read_data().view(self._broadcast)
        x, y = bottom[0].read_data(), top[0].write_data()
        # in place, the bias may share the memory that is written
        torch.add(x, bias.clone() if bias.data_ptr() == y.data_ptr() else bias, out=y)

    def plan_step(self, bottom, top):
        """Return `affine` for one learned number per channel."""
        per_channel = bottom[0].shape[1:2]
        is_learned = len(bottom) == 1 and self.blobs[0].shape == per_channel == self._broadcast[1:2]
        return "affine" if is_learned else "layer"

    def channel_affine(self):
        """Return no factor, and the offset (C) of each channel."""
        return None, self.blobs[0].read_data().view(-1)

    def backward(self, top, propagate_down, bottom):
        """Pass the gradient on; its sum over the other axes is the bias's."""
        dy = top[0].read_diff()
        if propagate_down[0] and top[0] is not bottom[0]:
            bottom[0].write_diff().copy_(dy)
        if len(bottom) > 1:
            if propagate_down[1]:
                bottom[1].write_diff().view(self._broadcast).copy_(dy.sum_to_size(self._broadcast))
        elif self.param_propagate_down[0]:
            self.blobs[0].edit_diff().view(self._broadcast).add_(dy.sum_to_size(self._broadcast))

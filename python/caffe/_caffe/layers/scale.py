"""Scale: multiply by a smaller blob, learned or given, and perhaps add a bias.

Source: BVLC scale_layer.cpp.
"""

from __future__ import annotations

from math import prod

import torch

from ..blob import Blob
from ..filler import fill
from ..layer import Layer
from ..layer_factory import create_layer, register_layer
from .base.axes import broadcast_shape, canonical_axis


@register_layer("Scale")
class ScaleLayer(Layer):
    """bottom[0] * scale (+ bias), where both span `num_axes` axes from `axis`.

    The scale is bottom[1] or parameter 0; the bias is the last parameter (1, or 0 with two
    bottoms). May run in place.
    """

    is_pure = True
    min_num_bottom = 1
    max_num_bottom = 2
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Make and fill the parameters; an inner Bias layer adds the bias."""
        param = self.layer_param.scale_param
        if len(bottom) == 1 and not self.blobs:
            self.blobs.append(self._new_scale(bottom[0], param))
        self._saved = None  # bottom[0] of an in-place pass
        self._shapes = None
        self.bias_layer = self._new_bias(bottom, top) if param.bias_term else None

    def _new_scale(self, data, param):
        axis, num_axes = canonical_axis(self, data, param.axis), param.num_axes
        if num_axes < -1:
            self.fail(
                "num_axes must be non-negative, or -1 to extend to the end of bottom[0]; "
                f"got {num_axes}"
            )
        end = len(data.shape) if num_axes == -1 else axis + num_axes
        if end > len(data.shape):
            self.fail(
                "scale blob's shape extends past bottom[0]'s shape when applied starting with "
                f"bottom[0] axis = {axis}; num_axes {num_axes}, shape {data.shape}"
            )
        scale = Blob(*data.shape[axis:end])
        if param.HasField("filler"):
            fill(scale, param.filler)
        else:
            scale.fill_data(1)  # Caffe: a scale without a filler is 1, not the filler's own default 0
        return scale

    def _new_bias(self, bottom, top):
        """Return the Bias layer, whose parameter is this layer's last."""
        param = self.layer_param.scale_param
        num_axes = len(bottom[1].shape) if len(bottom) > 1 else param.num_axes
        layer = create_layer(type(self.layer_param)(name=self.name, type="Bias", phase=self.phase, bias_param={
            "axis": param.axis, "num_axes": num_axes, "filler": param.bias_filler}))
        have = len(self.blobs) + len(bottom) >= 3
        if have:
            layer.blobs.append(self.blobs[-1])
        layer.setup(bottom[:1], top)
        if not have:
            self.blobs.append(layer.blobs[0])
        layer.param_propagate_down = [True]
        return layer

    def reshape(self, bottom, top):
        """Check that the scale fits; shape the top as bottom[0]."""
        shape, scale = bottom[0].shape, self._scale(bottom).shape
        if (shape, scale) != self._shapes:
            axis = self.layer_param.scale_param.axis
            self._broadcast = broadcast_shape(self, bottom[0], scale, axis, "scale")
            self._outer = prod(shape[:canonical_axis(self, bottom[0], axis)]) if scale else 1
            self._shapes = shape, scale
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])
        if self.bias_layer is not None:
            self.bias_layer.reshape(top, top)

    def _scale(self, bottom):
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def forward(self, bottom, top):
        """Top = bottom[0] * scale (+ bias)."""
        x = bottom[0].read_data()
        if top[0] is bottom[0] and self.need_backward:
            self._save(x)
        scale, y = self._scale(bottom).read_data().view(self._broadcast), top[0].write_data()
        # in place, the scale may share the memory that is written
        torch.mul(x, scale.clone() if scale.data_ptr() == y.data_ptr() else scale, out=y)
        if self.bias_layer is not None:
            self.bias_layer.forward(top, top)

    def _save(self, x):
        if self._saved is None or self._saved.shape != x.shape or self._saved.stride() != x.stride():
            self._saved = torch.empty_like(x)
        self._saved.copy_(x)

    def plan_step(self, bottom, top):
        """Return `affine` for one learned number per channel, `weighed` for a given one per channel of each item."""
        per_channel = bottom[0].shape[1:2]
        if len(bottom) == 2:
            per_item = bottom[1].shape == bottom[0].shape[:2] and self._broadcast == (*bottom[1].shape, 1, 1)
            return "weighed" if per_item and self.bias_layer is None else "layer"
        is_learned = self.blobs[0].shape == per_channel == self._broadcast[1:2]
        return "affine" if is_learned else "layer"

    def channel_affine(self):
        """Return factor and offset (C) of each channel; the offset None without a bias."""
        return self.blobs[0].read_data().view(-1), self.bias_layer.channel_affine()[1] if self.bias_layer else None

    def backward(self, top, propagate_down, bottom):
        """Gradient times scale; the scale's is the sum of gradient times bottom[0]."""
        if self.bias_layer is not None and self.param_propagate_down[-1]:
            self.bias_layer.backward(top, [False], top)
        learned = len(bottom) == 1
        if self.param_propagate_down[0] if learned else propagate_down[1]:
            self._backward_scale(top, bottom, learned)
        if propagate_down[0]:
            scale = self._scale(bottom).read_data().view(self._broadcast)
            torch.mul(top[0].read_diff(), scale, out=bottom[0].write_diff())

    def _backward_scale(self, top, bottom, learned):
        in_place = top[0] is bottom[0]
        x, dy = self._saved if in_place else bottom[0].read_data(), top[0].read_diff()
        scale = self._scale(bottom)
        if scale.count == dy.numel():  # Caffe: with nothing to sum over, the product is the diff, and overwrites it
            torch.mul(dy.view(scale.shape), x.view(scale.shape), out=scale.write_diff())
            return
        # Caffe: the product lands in bottom[0]'s diff even if nobody asked for that; in place, in the saved input.
        product = torch.mul(dy, x, out=x if in_place else bottom[0].write_diff())
        total = product.sum_to_size(self._broadcast)
        # Caffe: with nothing to sum over outside, a learned scale's diff is overwritten, not added
        # to, unless the scale is one number. scale_layer.cpp, Backward_cpu.
        if learned and (self._outer > 1 or scale.count == 1):
            scale.edit_diff().add_(total.view(scale.shape))
        else:
            scale.write_diff().copy_(total.view(scale.shape))

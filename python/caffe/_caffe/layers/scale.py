"""Scale: multiply by a smaller blob, learned or given, and perhaps add a bias.

Source: BVLC scale_layer.cpp.
"""

from __future__ import annotations

import torch

from ..blob import Blob
from ..filler import fill
from ..layer import Layer
from ..layer_factory import create_layer, register_layer
from .base.axes import canonical_axis, sandwiched


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

    def setup(self, bottom, top):
        """Make and fill the parameters; an inner Bias layer adds the bias."""
        param = self.layer_param.scale_param
        if len(bottom) == 1 and not self.blobs:
            self.blobs.append(self._new_scale(bottom[0], param))
        self.saved = Blob()  # bottom[0] of an in-place pass
        self._shapes = None
        self.bias_layer = self._new_bias(bottom, top) if param.bias_term else None

    def _new_scale(self, data, param):
        axis = canonical_axis(self, data, param.axis)
        if param.num_axes < -1:
            self.fail(
                "num_axes must be non-negative, or -1 to extend to the end of bottom[0]; "
                f"got {param.num_axes}"
            )
        end = len(data.shape) if param.num_axes == -1 else axis + param.num_axes
        if end > len(data.shape):
            self.fail(
                "scale blob's shape extends past bottom[0]'s shape when applied starting with "
                f"bottom[0] axis = {axis}; num_axes {param.num_axes}, shape {data.shape}"
            )
        scale = Blob(*data.shape[axis:end])
        if param.HasField("filler"):
            fill(scale, param.filler)
        else:
            scale.data.fill(
                1
            )  # Caffe: a scale without a filler is 1, not the filler's own default 0
        return scale

    def _new_bias(self, bottom, top):
        """Return the Bias layer, whose parameter is this layer's last."""
        param = self.layer_param.scale_param
        inner = type(self.layer_param)(name=self.name, type="Bias", phase=self.phase)
        inner.bias_param.axis = param.axis
        inner.bias_param.num_axes = len(bottom[1].shape) if len(bottom) > 1 else param.num_axes
        inner.bias_param.filler.CopyFrom(param.bias_filler)
        layer = create_layer(inner)
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
            self.view = sandwiched(self, bottom[0], scale, self.layer_param.scale_param.axis, "scale")
            self._shapes = shape, scale
        if top[0] is bottom[0]:
            self.saved.reshape(*shape)
        else:
            top[0].reshape(*shape)
        if self.bias_layer is not None:
            self.bias_layer.reshape(top, top)

    def _scale(self, bottom):
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def forward(self, bottom, top):
        """Top = bottom[0] * scale (+ bias)."""
        x = bottom[0].read_data()
        if top[0] is bottom[0]:
            self.saved.write_data().copy_(x)
        scale = self._scale(bottom).read_data().view(1, -1, 1)
        torch.mul(x.view(self.view), scale, out=top[0].write_data().view(self.view))
        if self.bias_layer is not None:
            self.bias_layer.forward(top, top)

    def plan_step(self, bottom, top):
        """Return `affine` for one learned number per channel."""
        is_channels = self.view[1] == bottom[0].shape[1] and len(self.blobs[0].shape) == 1 if self.blobs else False
        return "affine" if len(bottom) == 1 and is_channels and self._axis_of(bottom[0]) == 1 else "layer"

    def _axis_of(self, data):
        return canonical_axis(self, data, self.layer_param.scale_param.axis)

    def channel_affine(self):
        """Return factor and offset (C) of each channel; the offset None without a bias."""
        return self.blobs[0].read_data().view(-1), self.blobs[1].read_data().view(-1) if self.bias_layer else None

    def backward(self, top, propagate_down, bottom):
        """Gradient times scale; the scale's is the sum of gradient times bottom[0]."""
        if self.bias_layer is not None and self.param_propagate_down[-1]:
            self.bias_layer.backward(top, [False], top)
        learned = len(bottom) == 1
        if self.param_propagate_down[0] if learned else propagate_down[1]:
            self._backward_scale(top, bottom, learned)
        if propagate_down[0]:
            scale = self._scale(bottom).read_data().view(1, -1, 1)
            torch.mul(
                top[0].read_diff().view(self.view),
                scale,
                out=bottom[0].write_diff().view(self.view),
            )

    def _backward_scale(self, top, bottom, learned):
        in_place = top[0] is bottom[0]
        x, dy = (self.saved.edit_data() if in_place else bottom[0].read_data()), top[0].read_diff()
        scale = self._scale(bottom)
        outer, size, inner = self.view
        if outer == inner == 1:  # Caffe: with nothing to sum over, the product is the diff, and overwrites it
            torch.mul(dy.view(scale.shape), x.view(scale.shape), out=scale.write_diff())
            return
        # Caffe: the product lands in bottom[0]'s diff even if nobody asked for that; in
        # place, in the saved input.
        product = torch.mul(dy, x, out=x if in_place else bottom[0].write_diff())
        total = product.view(self.view).sum((0, 2))
        # Caffe: with nothing to sum over outside, a learned scale's diff is overwritten, not added
        # to, unless the scale is one number. scale_layer.cpp, Backward_cpu.
        if learned and (outer > 1 or size == 1):
            scale.edit_diff().view(-1).add_(total)
        else:
            scale.write_diff().view(-1).copy_(total)

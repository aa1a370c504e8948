"""PReLU: max(x, 0) with a learned leak per channel. Source: BVLC prelu_layer.cpp; He et al. 2015."""

from __future__ import annotations

from math import prod

import torch

from ..blob import Blob
from ..filler import fill
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("PReLU")
class PReLULayer(Layer):
    """max(x, 0) + slope * min(x, 0); parameter 0 is a slope per channel (axis 1), or one for all.

    May run in place.
    """

    is_pure = True
    forward_any_strides = True
    pointwise = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Make and fill the slopes."""
        param = self.layer_param.prelu_param
        if len(bottom[0].shape) < 2:
            self.fail(f"Number of axes of bottom blob must be >= 2; got shape {bottom[0].shape}")
        self.shared = param.channel_shared
        self.param_shapes = [() if self.shared else bottom[0].shape[1:2]]
        if not self.blobs:
            self.blobs.append(Blob(*self.param_shapes[0]))
            if param.HasField("filler"):
                fill(self.blobs[0], param.filler)
            else:
                self.blobs[0].data.fill(0.25)
        elif self.blobs[0].count != (1 if self.shared else bottom[0].shape[1]):
            self.fail(f"slopes of shape {self.blobs[0].shape} do not fit bottom of shape {bottom[0].shape}")
        self.saved = Blob()  # the input of an in-place pass

    def reshape(self, bottom, top):
        """Shape the top as the bottom."""
        shape = bottom[0].shape
        if len(shape) < 2:
            self.fail(f"Number of axes of bottom blob must be >= 2; got shape {shape}")
        if not self.shared and shape[1:2] != self.param_shapes[0]:
            self.fail(f"{self.param_shapes[0][0]} slopes do not fit bottom of shape {shape}")
        top[0].reshape(*shape)
        if top[0] is bottom[0]:
            self.saved.reshape(*shape)
        self.view = (shape[0], 1, prod(shape[1:])) if self.shared else (shape[0], shape[1], prod(shape[2:]))

    def forward(self, bottom, top):
        """Top = max(x, 0) + slope * min(x, 0)."""
        x = bottom[0].read_data()
        if top[0] is bottom[0] and self.need_backward:
            self.saved.write_data().copy_(x)
        slope = self.read_param(0).view(-1, *[1] * (x.dim() - 2))
        below = x.clamp_max(0)  # before x may be overwritten
        torch.clamp_min(x, 0, out=top[0].write_data()).addcmul_(below, slope)

    def backward(self, top, propagate_down, bottom):
        """Gradient, times the slope below 0; the slope's own is the sum of gradient times x there."""
        source = self.saved if top[0] is bottom[0] else bottom[0]
        x, dy = source.read_data().view(self.view), top[0].read_diff().view(self.view)
        if self.param_propagate_down[0]:
            slope = self.edit_param_diff(0).view(-1)
            slope.add_((dy * x.clamp_max(0)).sum((0, 2)))
        if propagate_down[0]:
            torch.mul(dy, torch.where(x > 0, 1.0, self._slope()), out=bottom[0].write_diff().view(self.view))

    def _slope(self):
        return self.read_param(0).view(1, -1, 1)

"""MVN: subtract the mean, divide by the standard deviation. Source: BVLC mvn_layer.cpp."""

from __future__ import annotations

import torch

from ..blob import Blob
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("MVN")
class MVNLayer(Layer):
    """(x - mean) / (deviation + eps) of each channel of each item, or of each item (across_channels).

    The top has Caffe's four legacy axes. Without normalize_variance only the mean is subtracted.
    """

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read the settings."""
        self.param = self.layer_param.mvn_param
        self.deviation = Blob()  # + eps, of the last forward

    def reshape(self, bottom, top):
        """Shape the top with four axes."""
        n, c, h, w = shape = (bottom[0].num, bottom[0].channels, bottom[0].height, bottom[0].width)
        top[0].reshape(*shape)
        self.view = (n, c * h * w) if self.param.across_channels else (n * c, h * w)
        self.deviation.reshape(self.view[0], 1)

    def forward(self, bottom, top):
        """Top = (x - mean) / (deviation + eps)."""
        x, y = bottom[0].read_data().view(self.view), top[0].write_data().view(self.view)
        torch.sub(x, x.mean(1, keepdim=True), out=y)
        if self.param.normalize_variance:
            deviation = self.deviation.write_data()
            torch.mean(y.square(), 1, keepdim=True, out=deviation)
            y.div_(deviation.sqrt_().add_(self.param.eps))

    def backward(self, top, propagate_down, bottom):
        """(dy - mean(dy) - y mean(y dy)) / (deviation + eps); the mean's share alone without normalize_variance."""
        # Caffe: whatever propagate_down says; deviation + eps counts as the deviation itself.
        dy, dx = top[0].read_diff().view(self.view), bottom[0].write_diff().view(self.view)
        if not self.param.normalize_variance:
            torch.sub(dy, dy.mean(1, keepdim=True), out=dx)
            return
        y = top[0].read_data().view(self.view)
        # Caffe: in place dx is dy from here on, and the gradient is wrong.
        torch.mul(y, dy, out=dx)
        torch.mul(y, dx.sum(1, keepdim=True), out=dx)
        dx.add_(dy.sum(1, keepdim=True))
        torch.sub(dy, dx, alpha=1 / self.view[1], out=dx)
        dx.div_(self.deviation.read_data())

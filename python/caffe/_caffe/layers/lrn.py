"""LRN: local response normalisation, across channels or within each. Source: BVLC lrn_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("LRN")
class LRNLayer(Layer):
    """ACROSS_CHANNELS: x (k + alpha/n sum x^2)^-beta; WITHIN_CHANNEL: x (1 + alpha avg x^2)^-beta."""

    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read the parameters; local_size must be odd."""
        param = self.layer_param.lrn_param
        if param.local_size % 2 == 0:
            self.fail(f"LRN only supports odd values for local_size; got {param.local_size}")
        self.size, self.alpha, self.beta = param.local_size, param.alpha, param.beta
        self.across = param.norm_region == param.ACROSS_CHANNELS
        # Caffe: WITHIN_CHANNEL is built of other layers, with 1 in the place of k.
        self.k = param.k if self.across else 1.0
        self._scale = None  # k + alpha * mean of squares, of the last forward

    def reshape(self, bottom, top):
        """Shape the top as the bottom, which has 4 axes."""
        if len(bottom[0].shape) != 4:
            self.fail(f"Input must have 4 axes, corresponding to (num, channels, height, width); "
                      f"got {bottom[0].shape}")
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Divide by the local energy to the power of beta."""
        x = bottom[0].read_data()
        self._scale = self._mean(x * x).mul_(self.alpha).add_(self.k)
        torch.mul(x, self._scale.pow(-self.beta), out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Bottom diff = dy scale^-beta - 2 alpha beta x mean(dy x scale^(-beta - 1))."""
        # Caffe: across channels the gradient is computed even where none is asked for.
        if not (self.across or propagate_down[0]):
            return
        x, dy = bottom[0].read_data(), top[0].read_diff()
        power = self._scale.pow(-self.beta)
        # Caffe: across channels reads the top's data, within a channel the bottom's.
        ratio = top[0].read_data() / self._scale if self.across else x * power / self._scale
        spread = self._mean(ratio.mul_(dy)).mul_(x).mul_(-2 * self.alpha * self.beta)
        torch.addcmul(spread, dy, power, out=bottom[0].write_diff())

    def _mean(self, x):
        """Return sums over windows of local_size, zero outside, divided by the window's size."""
        reach = (self.size - 1) // 2
        if self.across:
            kernel, border = (self.size, 1, 1), [0, 0, 0, 0, reach, reach]
        else:
            # Caffe: pools with the padding counted, which at stride 1 makes every window full.
            kernel, border = (1, self.size, self.size), [reach] * 4 + [0, 0]
        padded = torch.nn.functional.pad(x.unsqueeze(1), border)  # (N, 1, C, H, W)
        return torch.nn.functional.avg_pool3d(padded, kernel, 1).squeeze(1)

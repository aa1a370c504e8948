"""LRN: local response normalisation, across channels or within each. Source: BVLC lrn_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("LRN")
class LRNLayer(Layer):
    """ACROSS_CHANNELS: x (k + alpha/n sum x^2)^-beta; WITHIN_CHANNEL: x (1 + alpha avg x^2)^-beta."""

    is_pure = True
    forward_any_strides = True
    exact_num_bottom = 1
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Read the parameters; local_size must be odd."""
        param = self.layer_param.lrn_param
        if param.local_size % 2 == 0:
            self.fail(f"LRN only supports odd values for local_size; got {param.local_size}")
        self.size, self.alpha, self.beta = param.local_size, param.alpha, param.beta
        self.across = param.norm_region == param.ACROSS_CHANNELS
        # Caffe: WITHIN_CHANNEL is built from other layers, with 1 in place of k.
        self.k = param.k if self.across else 1.0
        self._window = self.size if self.across else self.size ** 2
        self._scale = self._power = None  # of the last forward: k + alpha * mean of squares; its -beta

    @property
    def pointwise(self):
        """Across channels a value depends only on the others at its place."""
        return self.across

    def reshape(self, bottom, top):
        """Shape the top as the bottom, which has 4 axes."""
        if len(bottom[0].shape) != 4:
            self.fail(f"Input must have 4 axes, corresponding to (num, channels, height, width); "
                      f"got {bottom[0].shape}")
        top[0].reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Divide by the local energy to the power of beta."""
        x = bottom[0].read_data()
        self._scale = self._sum(x * x).mul_(self.alpha / self._window).add_(self.k)
        self._power = _to_minus(self._scale, self.beta)
        # DEVIATION D45: on the CPU Caffe overwrites a bottom in place before it divides it.
        torch.mul(x, self._power, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Bottom diff = dy scale^-beta - 2 alpha beta x mean(dy x scale^(-beta - 1))."""
        # Caffe: across channels the gradient is computed even if none is asked for.
        if not (self.across or propagate_down[0]):
            return
        x, dy = bottom[0].read_data(), top[0].read_diff()
        # Caffe: across channels reads the top's data, within a channel the bottom's.
        ratio = top[0].read_data() / self._scale if self.across else x * self._power / self._scale
        factor = -2 * self.alpha * self.beta / self._window
        spread = self._sum(ratio.mul_(dy)).mul_(x).mul_(factor)
        torch.addcmul(spread, dy, self._power, out=bottom[0].write_diff())

    def _sum(self, x):
        """Return sums over windows of local_size, zero outside."""
        reach = (self.size - 1) // 2
        if not self.across:
            # Caffe: pools with the padding counted, which at stride 1 makes every window full.
            padded = torch.nn.functional.pad(x, [reach] * 4)
            return torch.nn.functional.avg_pool2d(padded, self.size, 1, divisor_override=1)
        total = x.clone()  # shifted sums: a third of the time of pooling over three axes
        for step in range(1, min(reach, x.shape[1] - 1) + 1):
            total[:, step:] += x[:, :-step]
            total[:, :-step] += x[:, step:]
        return total


def _to_minus(scale, beta):
    """Return scale^-beta; roots are several times faster than powers, and 0.75 is the beta of all published nets."""
    if beta == 0.75:
        root = scale.rsqrt()
        return root.sqrt().mul_(root)
    return scale.pow(-beta)

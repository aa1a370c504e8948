"""SPP: pooling into 1, 4, 16 ... bins per channel, whatever the image's size. Source: BVLC spp_layer.cpp.

Source: He et al. 2014, spatial pyramid pooling.
"""

from __future__ import annotations

import torch

from ..blob import Blob
from ..layer import Layer
from ..layer_factory import create_layer, register_layer


@register_layer("SPP")
class SPPLayer(Layer):
    """(N, C, H, W) to (N, sum over levels l of C * 4^l): a Pooling layer into 2^l x 2^l bins for each level."""

    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Check the height of the pyramid."""
        self.height = self.layer_param.spp_param.pyramid_height
        if self.height < 1:
            self.fail(f"pyramid_height must be given and positive; got {self.height}")
        self._shape = None

    def reshape(self, bottom, top):
        """Make the levels' Pooling layers for this size; shape the top."""
        shape = bottom[0].shape
        if len(shape) != 4:
            self.fail(f"Input must have 4 axes, corresponding to (num, channels, height, width); got {shape}")
        if shape[2:] != (self._shape or shape[:0])[2:]:
            self.pools = [self._pooling(level, shape[2:]) for level in range(self.height)]
            self.below = [Blob(*shape) for _ in self.pools]
            self.above = [Blob() for _ in self.pools]
            for pool, one, other in zip(self.pools, self.below, self.above, strict=True):
                pool.setup([one], [other])
        self._shape = shape
        for pool, one, other in zip(self.pools, self.below, self.above, strict=True):
            one.reshape(*shape)
            one.share_data(bottom[0])
            pool.reshape([one], [other])
        if self.height == 1:  # Caffe: a single level is not flattened
            top[0].reshape(*shape[:2], 1, 1)
        else:
            top[0].reshape(shape[0], sum(blob.count for blob in self.above) // max(1, shape[0]))

    def _pooling(self, level, size):
        bins = 2 ** level
        inner = type(self.layer_param)(name=self.name, type="Pooling", phase=self.phase)
        param = inner.pooling_param
        param.pool = self.layer_param.spp_param.pool
        kernel = [-(-length // bins) for length in size]
        param.kernel_h, param.kernel_w = param.stride_h, param.stride_w = kernel
        param.pad_h, param.pad_w = [(k * bins - length + 1) // 2 for k, length in zip(kernel, size, strict=True)]
        if any(pad >= k for pad, k in zip((param.pad_h, param.pad_w), kernel, strict=True)):
            self.fail(f"level {level} wants {bins} bins of {size}; use a lower pyramid_height or a larger bottom")
        return create_layer(inner)

    def forward(self, bottom, top):
        """Pool each level and join them."""
        for pool, one, other in zip(self.pools, self.below, self.above, strict=True):
            pool.forward([one], [other])
        flat = [blob.read_data().reshape(top[0].shape[0], -1) for blob in self.above]
        torch.cat(flat, 1, out=top[0].write_data().view(top[0].shape[0], -1))

    def backward(self, top, propagate_down, bottom):
        """Pass each level its part of the gradient; the bottom's is the levels' sum."""
        if not propagate_down[0]:
            return
        dy, start = top[0].read_diff().view(top[0].shape[0], -1), 0
        dx = bottom[0].write_diff().zero_()
        for pool, one, other in zip(self.pools, self.below, self.above, strict=True):
            length = other.count // max(1, top[0].shape[0])
            other.write_diff().view(top[0].shape[0], -1).copy_(dy.narrow(1, start, length))
            pool.backward([other], [True], [one])
            dx.add_(one.read_diff())
            start += length

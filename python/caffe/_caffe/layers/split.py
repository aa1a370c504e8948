"""Split: pass one blob to several layers; their gradients add up. Source: BVLC split_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Split")
class SplitLayer(Layer):
    """Tops share the bottom's data; each has a diff of its own."""

    is_pure = True
    exact_num_bottom = 1
    min_num_top = 1
    any_strides = True

    def reshape(self, bottom, top):
        """Shape every top as the bottom and share its data."""
        # DEVIATION D13: Caffe shares at forward only; sharing here as well keeps tops readable in between.
        for blob in top:
            if blob is bottom[0]:
                self.fail("Split Layer does not allow in-place computation.")
            blob.reshape_like(bottom[0])
        self.forward(bottom, top)

    def plan_step(self, bottom, top):
        """Return `same`."""
        return "same"

    def forward(self, bottom, top):
        """Share the bottom's data with every top."""
        for blob in top:
            if not blob.shares_data_with(bottom[0]):
                blob.share_data(bottom[0])

    def backward(self, top, propagate_down, bottom):
        """Add up the tops' gradients."""
        if not propagate_down[0]:
            return
        dx = bottom[0].write_diff()
        if len(top) == 1:
            dx.copy_(top[0].read_diff())
            return
        torch.add(top[0].read_diff(), top[1].read_diff(), out=dx)
        for blob in top[2:]:
            dx.add_(blob.read_diff())

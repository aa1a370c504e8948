"""Silence: consume blobs that nobody reads, so that they are not outputs of the net.

Source: BVLC silence_layer.cpp.
"""

from __future__ import annotations

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Silence")
class SilenceLayer(Layer):
    """No tops; the gradient of every bottom is zero."""

    is_pure = True
    min_num_bottom = 1
    exact_num_top = 0

    def plan_step(self, bottom, top):
        """Return `none`."""
        return "none"

    def forward(self, bottom, top):
        """Do nothing."""

    def backward(self, top, propagate_down, bottom):
        """Zero the gradients."""
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                blob.write_diff().zero_()

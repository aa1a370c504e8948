"""Flatten: make several axes one. Source: BVLC flatten_layer.cpp."""

from __future__ import annotations

from math import prod

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis


@register_layer("Flatten")
class FlattenLayer(Layer):
    """Axes from `axis` (1) to `end_axis` (-1, the last) become one; nothing is copied."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1

    def reshape(self, bottom, top):
        """Shape the top and share the bottom's data."""
        if top[0] is bottom[0]:
            self.fail("Flatten Layer does not allow in-place computation.")
        param = self.layer_param.flatten_param
        shape = bottom[0].shape
        start = canonical_axis(self, bottom[0], param.axis)
        end = canonical_axis(self, bottom[0], param.end_axis) + 1
        if start > end:
            self.fail(
                f"axis {param.axis} comes after end_axis {param.end_axis} "
                f"for bottom of shape {shape}"
            )
        top[0].reshape(*shape[:start], prod(shape[start:end]), *shape[end:])
        self.forward(bottom, top)  # DEVIATION D13: Caffe shares at forward only.

    def plan_step(self, bottom, top):
        """Return `none`: the top shares the bottom's memory."""
        return "none"

    def forward(self, bottom, top):
        """Share the bottom's data."""
        if not top[0].shares_data_with(bottom[0]):
            top[0].share_data(bottom[0])

    def backward(self, top, propagate_down, bottom):
        """Share the top's diff.

        Caffe: from now on the bottom's diff is the top's, whatever propagate_down says.
        """
        bottom[0].share_diff(top[0])

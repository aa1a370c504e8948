"""Concat: join blobs along an axis. Source: BVLC concat_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis


@register_layer("Concat")
class ConcatLayer(Layer):
    """Bottoms of equal shape except for one axis, joined along it.

    A single bottom is shared, data and diff.
    """

    is_pure = True
    forward_any_strides = True
    min_num_bottom = 1
    exact_num_top = 1
    any_strides = True

    def setup(self, bottom, top):
        """Check the parameter and that no bottom is the top."""
        param = self.layer_param.concat_param
        if param.HasField("axis") and param.HasField("concat_dim"):
            self.fail("Either axis or concat_dim should be specified; not both.")
        # DEVIATION D5: Caffe overwrites the bottom it still reads.
        if len(bottom) > 1 and any(blob is top[0] for blob in bottom):
            self.fail("Concat Layer does not allow in-place computation.")

    def reshape(self, bottom, top):
        """Shape the top: the bottoms' lengths along the axis add up."""
        first = bottom[0].shape
        self.axis = axis = self._concat_axis(bottom[0])
        length = 0
        for i, blob in enumerate(bottom):
            shape = blob.shape
            if len(shape) != len(first):
                self.fail(
                    f"All inputs must have the same #axes; bottom 0 has {first}, "
                    f"bottom {i} has {shape}"
                )
            if shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :]:
                self.fail(
                    f"All inputs must have the same shape, except at concat_axis {axis}; "
                    f"bottom 0 has {first}, bottom {i} has {shape}"
                )
            length += shape[axis]
        top[0].reshape(*first[:axis], length, *first[axis + 1 :])
        if len(bottom) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _concat_axis(self, blob):
        param = self.layer_param.concat_param
        if not param.HasField("concat_dim"):
            return canonical_axis(self, blob, param.axis)
        if param.concat_dim >= len(blob.shape):
            self.fail(
                f"concat_dim out of range: got {param.concat_dim}, "
                f"bottom 0 has {len(blob.shape)} axes"
            )
        return param.concat_dim

    def plan_step(self, bottom, top):
        """Return `concat` along the channels of planes; a single bottom shares its memory."""
        if len(bottom) == 1:
            return "none"
        return "concat" if self.axis == 1 and len(bottom[0].shape) == 4 else "layer"

    def forward(self, bottom, top):
        """Join."""
        if len(bottom) > 1:
            torch.cat([blob.read_data() for blob in bottom], self.axis, out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Pass each bottom its part."""
        if len(bottom) == 1:
            return
        dy = top[0].read_diff()
        start = 0
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            length = blob.shape[self.axis]
            if wanted:
                blob.write_diff().copy_(dy.narrow(self.axis, start, length))
            start += length

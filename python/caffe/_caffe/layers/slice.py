"""Slice: cut a blob into parts along an axis. Source: BVLC slice_layer.cpp."""

from __future__ import annotations

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis


@register_layer("Slice")
class SliceLayer(Layer):
    """Equal parts, or cuts at slice_point; a single top is shared, data and diff."""

    is_pure = True
    forward_any_strides = True
    exact_num_bottom = 1
    min_num_top = 1

    def setup(self, bottom, top):
        """Check the parameter and that no top is the bottom."""
        param = self.layer_param.slice_param
        if param.HasField("axis") and param.HasField("slice_dim"):
            self.fail("Either axis or slice_dim should be specified; not both.")
        # DEVIATION D5: Caffe shrinks the bottom it still reads.
        if len(top) > 1 and any(blob is bottom[0] for blob in top):
            self.fail("Slice Layer does not allow in-place computation.")
        self.points = list(param.slice_point)

    def reshape(self, bottom, top):
        """Shape the tops as the parts."""
        shape = bottom[0].shape
        self.axis = axis = self._slice_axis(bottom[0])
        self.lengths = self._cut(shape[axis], len(top))
        for blob, length in zip(top, self.lengths, strict=True):
            blob.reshape(*shape[:axis], length, *shape[axis + 1 :])
        if len(top) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _slice_axis(self, blob):
        param = self.layer_param.slice_param
        if not param.HasField("slice_dim"):
            return canonical_axis(self, blob, param.axis)
        if param.slice_dim >= len(blob.shape):
            self.fail(
                f"slice_dim out of range: got {param.slice_dim}, "
                f"bottom 0 has {len(blob.shape)} axes"
            )
        return param.slice_dim

    def _cut(self, total, parts):
        """Return the length of each part."""
        if not self.points:
            if total % parts:
                self.fail(
                    f"Number of top blobs ({parts}) should evenly divide input slice axis ({total})"
                )
            return [total // parts] * parts
        if len(self.points) != parts - 1:
            self.fail(f"got {len(self.points)} slice_point(s) for {parts} tops, want {parts - 1}")
        edges = [0, *self.points, total]
        lengths = [after - before for before, after in zip(edges, edges[1:], strict=False)]
        # Caffe: points must grow, there may not be more tops than slices; only the last part may
        # be empty.
        if parts > total or min(lengths[:-1]) <= 0 or lengths[-1] < 0:
            self.fail(
                f"slice_point {self.points} must grow strictly from above 0 to at most the "
                f"input slice axis ({total}), with at most {total} tops"
            )
        return lengths

    def plan_step(self, bottom, top):
        """Return `slice` along the channels of planes; a single top shares the bottom's memory."""
        if len(top) == 1:
            return "none"
        return "slice" if self.axis == 1 and len(bottom[0].shape) == 4 else "layer"

    def forward(self, bottom, top):
        """Copy the parts out."""
        if len(top) > 1:
            parts = bottom[0].read_data().split(self.lengths, self.axis)
            for blob, part in zip(top, parts, strict=True):
                blob.write_data().copy_(part)

    def backward(self, top, propagate_down, bottom):
        """Join the parts' gradients."""
        if propagate_down[0] and len(top) > 1:
            parts = bottom[0].write_diff().split(self.lengths, self.axis)
            for blob, part in zip(top, parts, strict=True):
                part.copy_(blob.read_diff())

"""Reshape: same values, another shape. Source: BVLC reshape_layer.cpp."""

from __future__ import annotations

from math import prod

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Reshape")
class ReshapeLayer(Layer):
    """Axes from `axis`, `num_axes` of them, take a given shape; data and diff are shared.

    In the shape, 0 copies the bottom's axis at that position, and one -1 takes what is left.
    """

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1

    def setup(self, bottom, top):
        """Read and check the shape."""
        self.dims = list(self.layer_param.reshape_param.shape.dim)
        if self.dims.count(-1) > 1:
            self.fail(
                "new shape contains multiple -1 dims; at most a single (1) value of -1 "
                "may be specified"
            )
        if any(dim < -1 for dim in self.dims):
            self.fail(f"got shape {self.dims}, want lengths >= 0, or one -1")

    def reshape(self, bottom, top):
        """Work out the top's shape, and share the bottom's data and diff."""
        if top[0] is bottom[0]:
            self.fail("Reshape Layer does not allow in-place computation.")
        top[0].reshape(*self._top_shape(bottom[0].shape))
        if top[0].count != bottom[0].count:
            self.fail(
                f"output count must match input count; got {top[0].shape} ({top[0].count}) "
                f"for {bottom[0].shape} ({bottom[0].count})"
            )
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def _window(self, rank):
        """Return the first of the bottom's axes to replace, and the one after the last."""
        param = self.layer_param.reshape_param
        start = param.axis if param.axis >= 0 else rank + param.axis + 1
        if not 0 <= start <= rank:
            self.fail(f"axis {param.axis} out of range for {rank}-D input blob")
        if param.num_axes < -1:
            self.fail(f"num_axes must be >= 0, or -1 for all; got {param.num_axes}")
        end = rank if param.num_axes == -1 else start + param.num_axes
        if end > rank:
            self.fail(
                f"end_axis = axis + num_axes is out of range; got {end}, input blob has {rank} axes"
            )
        return start, end

    def _top_shape(self, shape):
        start, end = self._window(len(shape))
        dims = list(self.dims)
        for i, dim in enumerate(dims):
            if dim == 0:
                if start + i >= len(shape):
                    self.fail(
                        "new shape contains a 0, but there was no corresponding bottom axis "
                        "to copy; "
                        f"shape {self.dims} at axis {start} of {shape}"
                    )
                dims[i] = shape[start + i]
        if -1 in dims:
            at = dims.index(-1)
            known = prod(dims[:at] + dims[at + 1 :]) * prod(shape[:start]) * prod(shape[end:])
            if known == 0 or prod(shape) % known:
                self.fail(
                    f"bottom count ({prod(shape)}) must be divisible by the product of the "
                    f"specified dimensions ({known}); shape {self.dims} for bottom {shape}"
                )
            dims[at] = prod(shape) // known
        return [*shape[:start], *dims, *shape[end:]]

    def plan_step(self, bottom, top):
        """Return `none`: the top shares the bottom's memory."""
        return "none"

    def forward(self, bottom, top):
        """Nothing: data is shared."""

    def backward(self, top, propagate_down, bottom):
        """Nothing: diff is shared."""

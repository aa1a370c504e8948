"""Crop: cut a window of bottom[1]'s size out of bottom[0]. Source: BVLC crop_layer.cpp."""

from __future__ import annotations

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis


@register_layer("Crop")
class CropLayer(Layer):
    """Axes from `axis` on take bottom[1]'s lengths, from `offset` on; bottom[1] gets no gradient."""

    is_pure = True
    forward_any_strides = True
    exact_num_bottom = 2
    exact_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Read axis and offsets: none (0), one for all axes, or one for each from `axis` on."""
        param = self.layer_param.crop_param
        axes = len(bottom[0].shape)
        self.axis = canonical_axis(self, bottom[0], param.axis)
        given = list(param.offset) or [0]
        if len(given) > 1 and len(given) + self.axis != axes:
            self.fail(f"number of offset values specified must be equal to the number of dimensions following axis; "
                      f"got {len(given)} offsets, want 1 or {axes - self.axis} (bottom[0] {bottom[0].shape}, axis "
                      f"{self.axis})")
        self.offset = given * (axes - self.axis) if len(given) == 1 else given
        self._shapes = None

    def reshape(self, bottom, top):
        """Shape the top; the window must lie within bottom[0]."""
        shapes = bottom[0].shape, bottom[1].shape
        if shapes != self._shapes:
            self._windows = self._cut(*shapes)
            self._top_shape = shapes[0][: self.axis] + tuple(length for _, _, length in self._windows)
            self._shapes = shapes
        top[0].reshape(*self._top_shape)

    def _cut(self, have, want):
        if len(have) != self.axis + len(self.offset) or len(want) < len(have):
            self.fail(f"cannot crop bottom[0] {have} to bottom[1] {want} from axis {self.axis}; want equally many axes")
        windows = []
        for axis, offset in enumerate(self.offset, self.axis):
            if have[axis] - offset < want[axis]:
                self.fail(f"the crop for dimension {axis} is out-of-bounds: offset {offset} + size {want[axis]} "
                          f"exceeds {have[axis]}; bottom[0] is {have}, bottom[1] {want}; lower crop_param.offset or "
                          f"enlarge bottom[0] (in an FCN: the pad of the first convolution)")
            windows.append((axis, offset, want[axis]))
        return windows

    def _window(self, tensor):
        for axis, offset, length in self._windows:
            tensor = tensor.narrow(axis, offset, length)
        return tensor

    def plan_step(self, bottom, top):
        """Return `crop` if only rows and columns are cropped."""
        return "crop" if self.axis == 2 and len(bottom[0].shape) == 4 else "layer"

    def forward(self, bottom, top):
        """Copy the window."""
        top[0].write_data().copy_(self._window(bottom[0].read_data()))

    def backward(self, top, propagate_down, bottom):
        """Put the gradient into the window, 0 around it."""
        if propagate_down[0]:
            dx = bottom[0].write_diff().zero_()
            self._window(dx).copy_(top[0].read_diff())

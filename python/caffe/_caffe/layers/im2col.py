"""Im2col: every window of an image as a column. Source: BVLC im2col_layer.cpp."""

from __future__ import annotations

from math import prod

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis, count
from .base.im2col import col2im, im2col, window_count
from .base.window import window


@register_layer("Im2col")
class Im2colLayer(Layer):
    """(N..., C, spatial...) to (N..., C * kernel, windows...), zeros around; any number of spatial axes."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Read the window."""
        self.channel_axis = canonical_axis(self, bottom[0], self.layer_param.convolution_param.axis)
        self.window = window(self, len(bottom[0].shape) - self.channel_axis - 1)

    def reshape(self, bottom, top):
        """Shape the top: a channel for each channel and position in the kernel."""
        shape, axis = bottom[0].shape, self.channel_axis
        spatial = shape[axis + 1:]
        if len(spatial) != len(self.window[0]):
            self.fail(f"bottom num_axes may not change; got shape {shape}")
        windows = [window_count(*numbers) for numbers in zip(spatial, *self.window, strict=True)]
        if any(length < 1 for length in windows):
            self.fail(f"bottom {shape} gives an output of {windows}; kernel {self.window[0]} wants a larger bottom")
        self.view = (count(shape, 0, axis), shape[axis], *spatial)
        self.columns = (*self.view[:2], *self.window[0], *windows)
        top[0].reshape(*shape[:axis], shape[axis] * prod(self.window[0]), *windows)

    def forward(self, bottom, top):
        """Copy the windows."""
        top[0].write_data().view(self.columns).copy_(im2col(bottom[0].read_data().view(self.view), *self.window))

    def backward(self, top, propagate_down, bottom):
        """Add up the columns' gradients where they were taken from."""
        # Caffe: whatever propagate_down says.
        dx = col2im(top[0].read_diff().view(self.columns), self.view[2:], *self.window)
        bottom[0].write_diff().view(self.view).copy_(dx)

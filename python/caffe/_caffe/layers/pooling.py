"""Pooling: maximum, average or a random pick of windows, in Caffe's shapes. Source: BVLC pooling_layer.cpp."""

from __future__ import annotations

import torch

from .. import common
from ..layer import Layer
from ..layer_factory import register_layer
from .base import stochastic_pooling
from .base.window import check_int

LOWEST = torch.finfo(torch.float32).min  # Caffe: -FLT_MAX starts a maximum, and is never beaten by NaN
WIDE = 8  # from this many channels on, the CPU pools faster with channels last
aten = torch.ops.aten
functional = torch.nn.functional


@register_layer("Pooling")
class PoolingLayer(Layer):
    """MAX, AVE or STOCHASTIC over 2-D windows; a second top of MAX holds the position (h * W + w) of each maximum."""

    is_pure = True
    hides_nan = True  # MAX ignores NaN
    forward_any_strides = True
    exact_num_bottom = 1
    min_num_top = 1
    may_run_in_place = False

    @property
    def max_num_top(self):
        """Two tops for MAX, otherwise one."""
        param = self.layer_param.pooling_param
        return 2 if param.pool == param.MAX else 1

    @property
    def any_strides(self):
        """Not STOCHASTIC, whose draws follow Caffe's order."""
        return not self.is_stochastic

    # -- setup ---------------------------------------------------------------------------------

    def setup(self, bottom, top):
        """Read and check the window."""
        param = self.layer_param.pooling_param
        self.is_max, self.is_stochastic = param.pool == param.MAX, param.pool == param.STOCHASTIC
        self.round_up = param.round_mode == param.CEIL
        self.global_pooling = param.global_pooling
        self.pad, self.stride = self._pair("pad", 0), self._pair("stride", 1)
        self.kernel = [] if self.global_pooling else self._kernel()
        if self.global_pooling:
            if any(param.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
                self.fail("With Global_pooling: true Filter size cannot specified")
            if self.pad != [0, 0] or self.stride != [1, 1]:
                self.fail(f"With Global_pooling: true; only pad = 0 and stride = 1; got pad {self.pad}, "
                          f"stride {self.stride}")
        elif any(pad >= kernel for pad, kernel in zip(self.pad, self.kernel, strict=True)):
            self.fail(f"pad {self.pad} must be less than kernel {self.kernel}")
        check_int(self, self.kernel, self.pad, self.stride)
        if self.is_stochastic and self.pad != [0, 0]:
            self.fail(f"Padding implemented only for average and max pooling; got pad {self.pad}")
        if 0 in self.stride:
            self.fail(f"stride must be nonzero; got {self.stride}")
        self._shape = None
        self._index = None  # position in its plane of each maximum, or pick, of the last forward

    def _kernel(self):
        param = self.layer_param.pooling_param
        sides = param.HasField("kernel_h"), param.HasField("kernel_w")
        if param.HasField("kernel_size") == all(sides):
            self.fail("Filter size is kernel_size OR kernel_h and kernel_w; not both, and not neither")
        kernel = [param.kernel_size] * 2 if param.HasField("kernel_size") else [param.kernel_h, param.kernel_w]
        if 0 in kernel:
            self.fail(f"Filter dimensions cannot be zero; got {kernel}")
        return kernel

    def _pair(self, once, default):
        param = self.layer_param.pooling_param
        sides = [param.HasField(f"{once}_{side}") for side in "hw"]
        if any(sides) and (param.HasField(once) or not all(sides)):
            self.fail(f"{once} is {once} OR {once}_h and {once}_w are required")
        if all(sides):
            return [getattr(param, f"{once}_h"), getattr(param, f"{once}_w")]
        return [getattr(param, once) if param.HasField(once) else default] * 2

    # -- shapes --------------------------------------------------------------------------------

    def reshape(self, bottom, top):
        """Shape the tops for a bottom (N, C, H, W)."""
        if bottom[0].shape != self._shape:
            self._reshape_for(bottom[0].shape)
        for blob in top:
            blob.reshape(*self._top_shape)

    def _reshape_for(self, shape):
        if len(shape) != 4:
            self.fail(f"Input must have 4 axes, corresponding to (num, channels, height, width); got {shape}")
        if self.global_pooling:
            self.kernel = list(shape[2:])
        self._pooled = [self.pooled_length(shape[2 + i], i) for i in (0, 1)]
        if min(self._pooled) < 1:
            self.fail(f"bottom {shape} gives an output of {self._pooled}; kernel {self.kernel}, pad {self.pad}, "
                      f"stride {self.stride} want a larger bottom")
        self._top_shape = (*shape[:2], *self._pooled)
        # torch serves pads up to half the kernel and windows that start inside; the rest is padded here.
        self._native = all(
            2 * pad <= kernel and (out - 1) * stride < length + pad
            for pad, kernel, out, stride, length in zip(self.pad, self.kernel, self._pooled, self.stride, shape[2:],
                                                        strict=True))
        self._border = []  # of torch's pad: last axis first; negative cuts
        for i in (1, 0):
            reach = (self._pooled[i] - 1) * self.stride[i] + self.kernel[i]
            self._border += [self.pad[i], reach - self.pad[i] - shape[2 + i]]
        self._shape = shape

    def pooled_length(self, length, i):
        """Return the number of windows along axis i.

        Caffe: rounds up, then drops a last window that starts beyond the bottom and its pad, but only
        where any pad is given. pooling_layer.cpp, Reshape.
        """
        span = length + 2 * self.pad[i] - self.kernel[i]
        pooled = (-(-span // self.stride[i]) if self.round_up else span // self.stride[i]) + 1
        if any(self.pad) and (pooled - 1) * self.stride[i] >= length + self.pad[i]:
            pooled -= 1
        return pooled

    # -- the two passes ------------------------------------------------------------------------

    def plan_step(self, bottom, top):
        """Return `max_pooling` if its windows overlap or touch, `global_pooling` for a maximum or average of all."""
        if len(top) > 1 or self.is_stochastic:
            return "layer"
        if self.global_pooling:
            return "global_pooling"
        touch = all(stride <= kernel for stride, kernel in zip(self.stride, self.kernel, strict=True))
        return "max_pooling" if self.is_max and self.round_up and touch else "layer"

    def forward(self, bottom, top):
        """Pool."""
        x, y = bottom[0].read_data(), top[0].write_data()
        if self.is_stochastic:
            if self.phase == 0:
                self._index = stochastic_pooling.sample(x, self.kernel, self.stride, y)
            else:
                stochastic_pooling.average(x, self.kernel, self.stride, y)
            return
        if not self.is_max:
            self._average(x, y)
            return
        self._maximum(x, y)
        if len(top) > 1:
            top[1].write_data().copy_(self._index)

    def backward(self, top, propagate_down, bottom):
        """Pass the gradient to the position of the maximum, or evenly to the window."""
        if not propagate_down[0]:
            return
        dy, dx = top[0].read_diff(), bottom[0].write_diff()
        if self.is_stochastic:
            if self._index is None:  # Caffe: TEST has no gradient; it would read positions that no pass has picked
                self.fail("STOCHASTIC pooling has a gradient in phase TRAIN only, after a forward pass")
            stochastic_pooling.scatter(dy, self._index, dx)
            return
        if not self.is_max:
            self._average_back(dy, bottom[0].read_data(), dx)
            return
        if self._native and len(top) == 1:
            aten.max_pool2d_with_indices_backward.grad_input(
                dy, bottom[0].read_data(), *self._window(), self._index, grad_input=dx)
            return
        # Caffe: with a second top the positions are read from there.
        index = top[1].read_data().to(torch.int64) if len(top) > 1 else self._index
        n, c, h, w = dx.shape
        inside = index >= 0  # DEVIATION D18: where nothing beat -FLT_MAX, Caffe writes out of bounds.
        grad = torch.zeros(n * c, h * w, device=dx.device).scatter_add_(
            1, index.clamp_min(0).reshape(n * c, -1), (dy * inside).reshape(n * c, -1))
        dx.copy_(grad.view(dx.shape))

    def _maximum(self, x, y):
        if self._native and common.device() is not common.CPU:
            self._maximum_unseen(x, y)
            return
        if self._native:
            # Channels last is 3 times faster on the CPU, copies included: 8 x 454 x 390 in 1.2 instead of 3.3 ms.
            last = x.device.type == "cpu" and x.shape[1] >= WIDE
            given = x.contiguous(memory_format=torch.channels_last) if last else x
            if given is x:
                pooled, index = y, self._room_for_index(y)
                aten.max_pool2d_with_indices.out(x, *self._window(), out=pooled, indices=index)
            else:
                pooled, index = aten.max_pool2d_with_indices(given, *self._window())
                y.copy_(pooled)
                index = index.contiguous()
            if bool(torch.isfinite(pooled.sum())):
                self._index = index
                return
        # Caffe: NaN and -inf never win. Set to -FLT_MAX, like the border, they only show where nothing else does.
        padded = functional.pad(torch.nan_to_num(x, nan=LOWEST, posinf=float("inf"), neginf=LOWEST),
                                self._border, value=LOWEST)
        pooled, index = aten.max_pool2d_with_indices(padded, self.kernel, self.stride)
        width = padded.shape[3]
        row, column = index.div(width, rounding_mode="floor") - self.pad[0], index % width - self.pad[1]
        self._index = (row * x.shape[3] + column).masked_fill_(pooled <= LOWEST, -1)
        y.copy_(pooled)

    def _maximum_unseen(self, x, y):
        """Do what the rest of `_maximum` does without looking at the values, for which the host would have to wait."""
        index = self._room_for_index(y)
        known = torch.nan_to_num(x, nan=LOWEST, posinf=float("inf"), neginf=LOWEST)
        aten.max_pool2d_with_indices.out(known, *self._window(), out=y, indices=index)
        index.masked_fill_(y <= LOWEST, -1)

    def _window(self):
        return self.kernel, self.stride, self.pad, [1, 1], self.round_up

    def _room_for_index(self, y):
        """Return the last index, to be overwritten, if it is laid out like y: fresh memory is expensive."""
        index = self._index
        if index is None or index.shape != y.shape or index.stride() != y.stride() or index.device != y.device:
            index = self._index = torch.empty_like(y, dtype=torch.int64)
        return index

    def _average(self, x, y):
        if self.kernel == list(x.shape[2:]) and self.pad == [0, 0]:  # torch's sum of a whole plane is more exact
            torch.mean(x, (2, 3), keepdim=True, out=y)
            return
        if self._native:
            aten.avg_pool2d.out(x, self.kernel, self.stride, self.pad, self.round_up, True, out=y)
            return
        sums = aten.avg_pool2d(functional.pad(x, self._border), self.kernel, self.stride, [0, 0], False, True, 1)
        torch.div(sums, self._divisor(x), out=y)

    def _average_back(self, dy, x, dx):
        if self._native:
            aten.avg_pool2d_backward.grad_input(dy, x, self.kernel, self.stride, self.pad, self.round_up, True, None,
                                                grad_input=dx)
            return
        left, right, upper, lower = self._border
        padded = functional.pad(x, self._border)
        grad = aten.avg_pool2d_backward(dy / self._divisor(x), padded, self.kernel, self.stride, [0, 0], False, True, 1)
        dx.copy_(functional.pad(grad, [-left, -right, -upper, -lower]))

    def _divisor(self, x):
        """Return the window sizes (pooled H, pooled W), each window clipped to the padded bottom."""
        sizes = []
        for i in (0, 1):
            start = torch.arange(self._pooled[i], device=x.device) * self.stride[i] - self.pad[i]
            end = (start + self.kernel[i]).clamp_max(x.shape[2 + i] + self.pad[i])
            sizes.append(end - start)  # Caffe: 0 for a window wholly outside, which then divides 0 by 0
        return torch.outer(*sizes).to(torch.float32)

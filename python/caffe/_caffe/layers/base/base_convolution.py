"""What Convolution and Deconvolution share: parameters, checks, shapes and gradients.

In:   convolution_param; bottoms of one shape (leading axes, channels, spatial axes); any number of spatial axes.
Out:  tops (leading axes, num_output, spatial axes); blobs[0] the weight, blobs[1] the bias.
Not here: output lengths of either layer (layers/), faster ways to convolve than torch's own (kernels/choose).
Source: BVLC base_conv_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ... import common
from ...blob import Blob
from ...filler import fill
from ...kernels import choose, onednn
from ...kernels.convolution import Convolution, Operation
from ...layer import Layer
from . import nd_convolution
from .axes import canonical_axis, count
from .window import window

TORCH_SPATIAL_AXES = 3  # that torch has kernels for


class BaseConvolutionLayer(Layer):
    """The shared base; a subclass says which way it runs and how long its output is."""

    min_num_bottom = 1
    min_num_top = 1
    may_run_in_place = False
    equal_num_bottom_top = True
    is_pure = True
    transposed = False

    @property
    def any_strides(self) -> bool:  # type: ignore[override]
        """Whether blobs may be stored channels last: planar ones, which gain from it."""
        return self.num_spatial_axes == 2 and self.channel_axis == 1

    def plan_step(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> str:
        """Return which kind of step computes this layer: a planar one has a step of its own."""
        planar = len(bottom) == 1 and self.num_spatial_axes == 2 and self.channel_axis == 1
        return self.type.lower() if planar else "layer"

    # -- setup ---------------------------------------------------------------------------------

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters, create weight and bias unless they exist."""
        param = self.layer_param.convolution_param
        self._shape: tuple[int, ...] | None = None
        self.channel_axis = canonical_axis(self, bottom[0], param.axis)
        self.channels = bottom[0].shape[self.channel_axis]
        self.num_spatial_axes = len(bottom[0].shape) - self.channel_axis - 1
        self.kernel, self.stride, self.pad, self.dilation = window(self, self.num_spatial_axes)
        self.num_output, self.group = param.num_output, param.group
        self._check_numbers()
        self._create_blobs(param)
        axes = (self.kernel, self.dilation, self.pad, self.stride) if self.num_spatial_axes else ([1], [1], [0], [1])
        self._slides = Convolution(*axes, self.group, self.transposed, layer=object())

    def _check_numbers(self) -> None:
        if self.num_output < 1:
            self.fail("num_output must be given and greater than 0")
        if self.group < 1 or self.channels % self.group:
            self.fail(f"channels of the bottom ({self.channels}) should be a multiple of group ({self.group})")
        if self.num_output % self.group:
            self.fail(f"Number of output should be multiples of group; got {self.num_output} and {self.group}")

    def _create_blobs(self, param) -> None:
        outer, inner = self.num_output, self.channels
        if self.transposed:
            outer, inner = inner, outer
        shapes = [(outer, inner // self.group, *self.kernel)]
        if param.bias_term:
            shapes.append((self.num_output,))
        if not self.blobs:
            self.blobs.extend(Blob(*shape) for shape in shapes)
            fill(self.blobs[0], param.weight_filler)
            if param.bias_term:
                fill(self.blobs[1], param.bias_filler)
        elif len(self.blobs) != len(shapes):
            self.fail(f"Incorrect number of weight blobs; got {len(self.blobs)}, want {len(shapes)}")
        for blob, shape, word in zip(self.blobs, shapes, ("weight", "bias"), strict=False):
            if blob.shape != shape:
                self.fail(f"Incorrect {word} shape: expected shape {shape}; instead, shape was {blob.shape}")
        self.param_propagate_down = [True] * len(self.blobs)
        self.param_shapes = shapes

    # -- shapes --------------------------------------------------------------------------------

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Shape the tops; bottoms must have one shape, with the channels seen at setup."""
        if bottom[0].shape != self._shape:
            self._reshape_for(bottom[0].shape)
        for i, (below, above) in enumerate(zip(bottom, top, strict=True)):
            if below.shape != self._shape:
                self.fail(f"shape mismatch - bottom[0]: {self._shape} vs. bottom[{i}]: {below.shape}")
            above.reshape(*self._top_shape)

    def _reshape_for(self, shape: tuple[int, ...]) -> None:
        axis = self.channel_axis
        if len(shape) != axis + 1 + self.num_spatial_axes:
            self.fail(f"bottom num_axes may not change; got shape {shape}, "
                      f"want {axis + 1 + self.num_spatial_axes} axes")
        if shape[axis] != self.channels:
            self.fail(f"Input size incompatible with convolution kernel; got {shape[axis]} channels "
                      f"in {shape}, want {self.channels}")
        spatial = shape[axis + 1:]
        out = tuple(self.output_length(length, i) for i, length in enumerate(spatial))
        if any(length < 1 for length in out):  # DEVIATION D17: Caffe rounds towards zero here.
            self.fail(f"bottom {shape} gives an output of {out}; kernel {self.kernel}, pad {self.pad}, stride "
                      f"{self.stride}, dilation {self.dilation} want a larger bottom or more pad")
        self._top_shape = (*shape[:axis], self.num_output, *out)
        batch = count(shape, 0, axis)
        padded = spatial or (1,)  # no spatial axis at all: one of length 1
        self._x_view = (batch, self.channels, *padded)
        self._y_view = (batch, self.num_output, *(out or (1,)))
        self._viewed = self._x_view != shape
        self._shape = shape

    def output_length(self, length: int, axis: int) -> int:
        """Return the length of the output on a spatial axis of this length."""
        raise NotImplementedError

    # -- what the kernels take -----------------------------------------------------------------

    def _like_x(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.view(self._x_view) if self._viewed else tensor

    def _like_y(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.view(self._y_view) if self._viewed else tensor

    def _like_weight(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if self.num_spatial_axes else tensor.unsqueeze(-1)

    def _bias(self) -> torch.Tensor | None:
        return self.read_param(1) if len(self.param_shapes) > 1 else None

    # -- the two passes ------------------------------------------------------------------------

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Convolve each bottom into its top."""
        weight, bias = self._like_weight(self.read_param(0)), self._bias()
        for below, above in zip(bottom, top, strict=True):
            self.convolve(self._like_x(below.read_data()), weight, bias, self._like_y(above.write_data()))

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Overwrite the bottoms' diff, add to the parameters' diff, where wanted."""
        weight = self._like_weight(self.read_param(0))
        for above, below, want_x in zip(top, bottom, propagate_down, strict=True):
            dy, x = self._like_y(above.read_diff()), self._like_x(below.read_data())
            if len(self.param_shapes) > 1 and self.param_propagate_down[1]:
                self.edit_param_diff(1).add_(dy.flatten(2).sum((0, 2)))
            if self.param_propagate_down[0]:
                self.add_weight_gradient(dy, x, self._like_weight(self.edit_param_diff(0)))
            if want_x:
                self.data_gradient(dy, weight, self._like_x(below.write_diff()))

    # -- one bottom ----------------------------------------------------------------------------

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
        """Write the convolution of a bottom into `out`."""
        if self.num_spatial_axes > TORCH_SPATIAL_AXES:
            self._nd_convolve(x, weight, bias, out)
            return
        conv = self._convolution("convolve", x)
        if not choose.convolve(conv, x, weight, bias, out):
            bias = None if bias is None else bias.to(conv.dtype)
            x = x.to(conv.dtype).clone(memory_format=torch.contiguous_format)
            out.copy_(torch.convolution(x, weight.to(conv.dtype), bias, *conv.geometry))

    def data_gradient(self, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
        """Write the gradient of a bottom into `out`."""
        if self.num_spatial_axes > TORCH_SPATIAL_AXES:
            self._nd_data_gradient(dy, weight, out)
            return
        conv = self._convolution("data_gradient", out)
        if not choose.data_gradient(conv, dy, weight, out):
            out.copy_(_gradients(conv, dy, out, weight, [True, False, False])[0])

    def add_weight_gradient(self, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> None:
        """Add the gradient of the weight to `out`."""
        if self.num_spatial_axes > TORCH_SPATIAL_AXES:
            self._nd_add_weight_gradient(dy, x, out)
            return
        conv = self._convolution("add_weight_gradient", x)
        if not choose.add_weight_gradient(conv, dy, x, out):
            out.add_(_gradients(conv, dy, x, out, [False, True, False])[1])

    def _convolution(self, operation: Operation, x: torch.Tensor) -> Convolution:
        """Return what kernels must know; the only place that says in which type a layer convolves.

        Args:
            operation: what is wanted.
            x: the bottom, or its gradient.
        """
        dtype = common.compute_type()
        if dtype == torch.float32 or self.transposed:  # upsampling is always float32
            return self._slides
        errs = onednn.bf16_kernel_errs(operation, self._slides, x, self.num_output)
        return self._slides if errs else self._slides._replace(dtype=dtype)

    # -- more spatial axes than torch has kernels for ------------------------------------------

    def _nd_convolve(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> None:
        if self.transposed:
            y = nd_convolution.data_gradient(x, weight, out.shape[2:], *self._nd_window)
        else:
            y = nd_convolution.convolution(x, weight, *self._nd_window)
        out.copy_(y if bias is None else y.add_(bias.view(-1, *[1] * self.num_spatial_axes)))

    def _nd_data_gradient(self, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
        if self.transposed:
            out.copy_(nd_convolution.convolution(dy, weight, *self._nd_window))
        else:
            out.copy_(nd_convolution.data_gradient(dy, weight, out.shape[2:], *self._nd_window))

    def _nd_add_weight_gradient(self, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> None:
        top, bottom = (x, dy) if self.transposed else (dy, x)
        out.add_(nd_convolution.weight_gradient(top, bottom, out, *self._nd_window))

    @property
    def _nd_window(self) -> tuple[list[int], list[int], list[int], int]:
        return self.stride, self.pad, self.dilation, self.group


def _gradients(conv: Convolution, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, mask: list[bool]) -> Any:
    dy, x, weight = (tensor.to(conv.dtype) for tensor in (dy, x, weight))
    return torch.ops.aten.convolution_backward(dy, x, weight, [0], *conv.geometry, mask)

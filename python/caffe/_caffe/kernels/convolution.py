"""What a convolution is, and what each way of computing one must answer.

In:   tensors (N, C, H, W): x is a bottom or its gradient, y a top or its gradient; the weight of a Convolution is
      (num_output, C / group, kh, kw), that of a Deconvolution (C, num_output / group, kh, kw).
Out:  the base class of all ways.
Not here: which way runs (choose).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch

Operation = Literal["convolve", "data_gradient", "add_weight_gradient"]


class Convolution(NamedTuple):
    """How a kernel slides, one number per spatial axis, and in which type the products are made."""

    kernel: Sequence[int]
    dilation: Sequence[int]
    pad: Sequence[int]
    stride: Sequence[int]
    group: int = 1
    transposed: bool = False  # a Deconvolution
    dtype: torch.dtype = torch.float32
    layer: object = None  # whose it is: on a GPU, runs are counted per layer

    @property
    def is_pixel(self) -> bool:
        """Whether each window is a pixel of the bottom."""
        return [*self.kernel, *self.pad] == [1, 1, 0, 0]

    @property
    def geometry(self) -> tuple[Any, ...]:
        """What torch.convolution takes after the bias."""
        return self.stride, self.pad, self.dilation, self.transposed, [0] * len(self.kernel), self.group

    @property
    def is_plain(self) -> bool:
        """Whether there are no strides, dilation and groups."""
        return [*self.stride, *self.dilation, self.group] == [1] * 5

    def seen_pixels(self, x: torch.Tensor) -> torch.Tensor:
        """Return the pixels of x that a 1 x 1 kernel with this stride sees."""
        return x[:, :, ::self.stride[0], ::self.stride[1]]


class Way:
    """A way to compute some convolutions; it does not serve what it does not override."""

    takes_float32 = False  # whatever it computes in; otherwise operands come in the type of the convolution

    def serves(self, operation: Operation, conv: Convolution, weight: torch.Tensor, x: torch.Tensor,
               y: torch.Tensor) -> bool:
        """Whether it can do this, and faster than torch's own kernel."""
        raise NotImplementedError

    def convolve(self, conv: Convolution, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
                 out: torch.Tensor) -> None:
        """Write the convolution of x into `out`, float32."""
        raise NotImplementedError

    def data_gradient(self, conv: Convolution, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
        """Write the gradient of x into `out`, float32."""
        raise NotImplementedError

    def add_weight_gradient(self, conv: Convolution, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> None:
        """Add the gradient of the weight to `out`, float32."""
        raise NotImplementedError

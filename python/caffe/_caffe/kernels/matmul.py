"""A convolution as one matrix product over windows of the bottom.

In:   tensors (N, C, H, W) on the CPU, as matrices (C, N H W); a weight (num_output, C, kh, kw); a Window.
Out:  the convolution, or its gradients: the weight's is added where it belongs, without a copy.
Not here: groups, and convolutions that their own kernels do faster.
Why: a convolution kernel reorders the weight and makes a gradient of its own. Measured on 2 cores: a 1 x 1 kernel, 120
to 48 channels of 20 x 16: forward 83 to 38, weight gradient 110 to 37, data gradient 97 to 49 us; fc6 (7 x 7, 512 to
4096 channels, 16 x 16): forward 849 to 446, weight gradient 1208 to 363, data gradient 1076 to 362 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from . import bf16

SMALL = 1 << 23  # multiplications up to which setting up a convolution kernel takes longer than they do
PART = 256  # outputs whose products are made in bf16 at a time


class Window(NamedTuple):
    """How a kernel slides: for rows and columns each; and the groups of channels."""

    kernel: Sequence[int]
    dilation: Sequence[int]
    pad: Sequence[int]
    stride: Sequence[int]
    group: int = 1

    @property
    def is_pixel(self) -> bool:
        """Tell whether each pixel is a window."""
        return [*self.kernel, *self.pad, *self.stride] == [1, 1, 0, 0, 1, 1]


def serves(window: Window, weight: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> bool:
    """Tell whether the products over a bottom and a top (or their gradients) can be made, and pay."""
    pixels = y.numel() // y.shape[1]
    pays = weight.shape[0] >= pixels  # the weight is larger than all windows together
    if window.is_pixel:
        pays = pays or weight.numel() * pixels <= SMALL
    return pays and window.group == 1 and _is_matrix(x) and _is_matrix(y)


def convolve(window: Window, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
             out: torch.Tensor) -> None:
    """Write the convolution of x into `out`."""
    if bias is None:
        torch.mm(weight.flatten(1), _windows(window, x), out=_matrix(out))
    else:
        torch.addmm(bias.unsqueeze(1), weight.flatten(1), _windows(window, x), out=_matrix(out))


def add_weight_gradient(window: Window, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> None:
    """Add the gradient of the weight to `out`; dy and x may be in bf16, and then so is each product."""
    top, windows, out = _matrix(dy), _windows(window, x).t(), out.view(out.shape[0], -1)
    if dy.dtype == out.dtype:
        out.addmm_(top, windows)
        return
    windows = windows.contiguous()
    for some, sums in zip(top.split(PART), out.split(PART), strict=True):
        bf16.add(torch.mm(some, windows, out=bf16.room("product", sums)), sums)


def data_gradient(window: Window, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """Write the gradient of x into `out`."""
    if window.is_pixel:
        torch.mm(weight.flatten(1).t(), _matrix(dy), out=_matrix(out))
        return
    windows = torch.mm(weight.flatten(1).t(), _matrix(dy))
    n = dy.shape[0]
    by_item = windows.view(windows.shape[0], n, -1).transpose(0, 1).to(torch.float32)  # sums need more than bf16
    out.copy_(torch.ops.aten.col2im(by_item, list(out.shape[2:]), *window[:4]))


def _windows(window: Window, x: torch.Tensor) -> torch.Tensor:
    """Return (C kh kw, windows): what each window covers."""
    if window.is_pixel:
        return _matrix(x)
    return torch.ops.aten.im2col(x, *window[:4]).transpose(0, 1).flatten(1)


def _is_matrix(tensor: torch.Tensor) -> bool:
    """Tell whether (N, C, H, W) on the CPU can be viewed as (C, N H W)."""
    return tensor.device.type == "cpu" and (
        tensor.is_contiguous(memory_format=torch.channels_last) or tensor.shape[0] == 1 and tensor.is_contiguous())


def _matrix(tensor: torch.Tensor) -> torch.Tensor:
    """View (N, C, H, W) as (C, N H W)."""
    return tensor.permute(1, 0, 2, 3).view(tensor.shape[1], -1)

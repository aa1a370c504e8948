"""A convolution on the CPU that is written where it is wanted, with no tensor of its own.

In:   x (N, C, H, W); out with channels last, on the CPU; weight (num_output, C / group, kh, kw); a Window.
Out:  bit for bit what torch.convolution gives; its data gradient.
Not here: which layers run this way. Source: oneDNN's sum post-operation.
Why: fresh memory is dear: 65 MB cost some 18 ms in page faults, and 2 ms once they are there.
"""

from __future__ import annotations

import torch

from .matmul import Window

LARGE = 1 << 20  # values of the output from which it pays
_HAS_KERNEL = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")


def serves(window: Window, weight: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> bool:
    """Tell whether this kernel is there, writes such a tensor, and pays."""
    return (_HAS_KERNEL and out.numel() >= LARGE and out.dim() == 4 and out.device.type == "cpu"
            and out.is_contiguous(memory_format=torch.channels_last))


def serves_data_gradient(window: Window, weight: torch.Tensor, out: torch.Tensor, dy: torch.Tensor) -> bool:
    """Tell the same of the data gradient, a convolution where the stride is 1 and its pad not negative."""
    return (window.group == 1 and list(window.stride) == [1, 1] and min(_pad_back(window)) >= 0
            and serves(window, weight, dy, out))


def convolve(window: Window, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
             out: torch.Tensor) -> None:
    """Write the convolution of x into `out`."""
    torch.ops.mkldnn._convolution_pointwise_.binary(
        out.zero_(), x.contiguous(memory_format=torch.channels_last), weight, bias, window.pad, window.stride,
        window.dilation, window.group, "add", 1.0, None, [], "")


def data_gradient(window: Window, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """Write the gradient of x into `out`: the convolution of dy with the flipped weight."""
    back = window._replace(pad=_pad_back(window))
    convolve(back, dy, weight.flip(2, 3).transpose(0, 1).contiguous(), None, out)


def _pad_back(window: Window) -> list[int]:
    return [d * (k - 1) - p for d, k, p in zip(window.dilation, window.kernel, window.pad, strict=True)]

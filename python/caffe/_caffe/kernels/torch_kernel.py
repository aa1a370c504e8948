"""Torch's own convolution kernels, called in the way that suits them.

In:   tensors (N, C, spatial...) of up to three spatial axes, on any device.
Out:  what torch.convolution returns, and its gradients.
Not here: cuDNN's choice of a kernel (autotune).
"""

from __future__ import annotations

from typing import Any

import torch

from . import autotune, onednn
from .convolution import Convolution, Way

NARROW = 8  # up to this many channels, and
LARGE = 1 << 14  # from this many pixels on, the CPU's vectors fill better with channels last
COPIED = 1 << 22  # up to this many values, leaving out columns gains more than the copy costs; rows need no copy
HEAVY = 2  # if so many times its values exceed bottom's and top's, ordering a weight for channels last costs more


class TorchKernel(Way):
    """Serves all; on the CPU it converts tensors to the order in which the kernel is fast."""

    def serves(self, operation, conv, weight, x, y):
        """Always."""
        return True

    def convolve(self, conv, x, weight, bias, out):
        """Write the convolution of x into `out`."""
        order = _order(conv, weight, x, out, _channels_last(out) or _is_narrow(conv, out.shape[1], out))
        x = _turned(x, order)
        if x.dim() == 4 and not conv.transposed:
            x, pad = onednn.prepared(x, conv.pad, conv.stride, conv.dilation)
            conv = conv._replace(pad=pad)
        if x.is_cuda:
            y = autotune.convolution(conv.layer, x, weight, bias, *conv.geometry)
        else:
            y = torch.convolution(x, weight, bias, *conv.geometry)
        out.copy_(y)

    def data_gradient(self, conv, dy, weight, out):
        """Write the gradient of x into `out`."""
        last = _channels_last(out) or _is_narrow(conv, out.shape[1], dy) or _is_slow_in_caffes_order(conv, out)
        order = _order(conv, weight, out, dy, last)
        x = torch.empty_like(out, dtype=dy.dtype)  # only its shape and order are used
        if order is not None:
            x = torch.empty_like(x, memory_format=order)
        out.copy_(_gradients(conv, _turned(dy, order), x, weight, [True, False, False])[0])

    def add_weight_gradient(self, conv, dy, x, out):
        """Add the gradient of the weight to `out`."""
        last = _channels_last(dy) or x.shape[1] < 8 and _is_narrow(conv, dy.shape[1] // 2, dy)
        dy, conv = where_x_is_seen(conv, dy)
        x, conv = onednn.seen_pixels(conv, x)
        order = _order(conv, out, x, dy, last)
        weight = torch.empty_like(out, dtype=x.dtype)  # only its shape is used
        out.add_(_gradients(conv, _turned(dy, order), _turned(x, order), weight, [False, True, False])[1])


def _order(conv: Convolution, weight: torch.Tensor, x: torch.Tensor, y: torch.Tensor,
           last: bool) -> torch.memory_format | None:
    """Return how bottom and top should be laid out; None: as they are.

    Torch orders a plain weight slowly for its kernels with channels last. 512 to 512 channels of 14 x 14, 3 x 3: 11.7
    and 9.6 ms forward, 16.8 and 12.6 ms for the weight gradient.
    """
    if not last:
        return None
    if HEAVY * weight.numel() > x.numel() + y.numel() and not _is_slow_in_caffes_order(conv, x):
        return torch.contiguous_format
    return torch.channels_last


def _is_slow_in_caffes_order(conv: Convolution, x: torch.Tensor) -> bool:
    """Whether torch's data gradient has no fast kernel: with strides, of single pixels, single channels, few channels.

    1 x 1, stride 2, 256 to 512 channels of 56 x 56: 10.1 ms, with channels last 2.7; depthwise, stride 2, 96 channels
    of 112 x 112: 6.8 and 0.6.
    """
    return (x.device.type == "cpu" and x.dim() == 4 and not conv.transposed and max(conv.stride) > 1
            and (max(conv.kernel) == 1 or x.shape[1] // conv.group % 16 != 0))


def _turned(tensor: torch.Tensor, order: torch.memory_format | None) -> torch.Tensor:
    return tensor if order is None else tensor.contiguous(memory_format=order)


def where_x_is_seen(conv: Convolution, dy: torch.Tensor) -> tuple[torch.Tensor, Convolution]:
    """Leave out places of dy that see only padding, which do not contribute to the weight gradient.

    DEVIATION D40: Caffe multiplies them by 0, so that nan there becomes nan here.
    """
    pad = list(conv.pad)
    if conv.transposed:
        return dy, conv
    for i in range(len(pad) if dy.numel() <= COPIED else 1):
        beyond = pad[i] - conv.dilation[i] * (conv.kernel[i] - 1)
        if beyond > 0 and conv.stride[i] == 1:
            dy = dy.narrow(2 + i, beyond, dy.shape[2 + i] - 2 * beyond)
            pad[i] -= beyond
    return dy, conv if pad == list(conv.pad) else conv._replace(pad=pad)


def _gradients(conv: Convolution, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, mask: list[bool]) -> Any:
    if x.is_cuda:
        return autotune.gradients(conv.layer, dy, x, weight, [0], *conv.geometry, mask)
    return torch.ops.aten.convolution_backward(dy, x, weight, [0], *conv.geometry, mask)


def _is_narrow(conv: Convolution, channels: int, plane: torch.Tensor) -> bool:
    """Whether a CPU kernel gains from channels last: few channels to write, on a large plane.

    Measured on AVX512: 8 of 454 x 390, 4.0 to 2.9 ms forward, 7.7 to 3.5 ms back; above 8 channels it loses.
    """
    return (channels <= NARROW and plane.device.type == "cpu" and plane.dim() == 4 and conv.group == 1
            and not conv.transposed and plane.shape[2] * plane.shape[3] >= LARGE)


def _channels_last(tensor: torch.Tensor) -> bool:
    """Whether an (N, C, H, W) tensor is laid out with channels last, and only so."""
    return (tensor.dim() == 4 and not tensor.is_contiguous()
            and tensor.is_contiguous(memory_format=torch.channels_last))

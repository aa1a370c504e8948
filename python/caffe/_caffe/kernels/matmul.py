"""A convolution as one matrix product over windows of the bottom.

In:   tensors (N, C, H, W) on the CPU, as matrices (C, N H W); a weight (num_output, C, kh, kw).
Out:  the convolution, or its gradients: that of the weight is added where it belongs, without a copy.
Not here: groups, and convolutions that torch's own kernel does faster.
Why: a convolution kernel reorders the weight and makes a gradient of its own. Measured on 2 cores: a 1 x 1 kernel, 120
to 48 channels of 20 x 16: forward 83 to 38, weight gradient 110 to 37, data gradient 97 to 49 us; fc6 (7 x 7, 512 to
4096 channels, 16 x 16): forward 849 to 446, weight gradient 1208 to 363, data gradient 1076 to 362 ms.
"""

from __future__ import annotations

import math

import torch

from . import bf16
from .convolution import Convolution, Way
from .scratch import Scratch, in_type

LARGE = 1 << 22  # from this many values on, torch's kernel takes longer to order the weight than the columns take
FEW = 8  # up to this many windows it does so whatever the weight
PART = 256  # outputs whose products are made in bf16 at a time


class Matmul(Way):
    """One product of the weight with all windows."""

    def serves(self, operation, conv, weight, x, y):
        """Whether bottom and top are matrices, and a window is a pixel or the weight outweighs all windows.

        Nor does torch have a fast kernel in Caffe's order for a gradient of windows that do not overlap.
        """
        if conv.group > 1 or not (_is_matrix(x) and _is_matrix(y)):
            return False
        apart = all(kernel <= stride for kernel, stride in zip(conv.kernel, conv.stride, strict=True))
        if conv.is_pixel or operation == "data_gradient" and apart and x.is_contiguous():
            return True
        windows = y.numel() // y.shape[1]
        is_heavy = operation == "add_weight_gradient" or weight.numel() >= LARGE or windows <= FEW
        return is_heavy and weight.shape[0] >= windows

    def convolve(self, conv, x, weight, bias, out):
        """Write the product of the weight and the windows."""
        with Scratch() as scratch, in_type(out, x.dtype) as y:
            windows = _windows(scratch, conv, x, y)
            if bias is None:
                torch.mm(weight.flatten(1), windows, out=_matrix(y))
            else:
                torch.addmm(bias.unsqueeze(1), weight.flatten(1), windows, out=_matrix(y))

    def add_weight_gradient(self, conv, dy, x, out):
        """Add the product of the top's gradient and the windows; in bf16, so is each product."""
        top, out = _matrix(dy), out.view(out.shape[0], -1)
        with Scratch() as scratch:
            windows = _windows(scratch, conv, x, dy).t()
            if dy.dtype == out.dtype:
                out.addmm_(top, windows)
                return
            windows = windows.contiguous()
            product = scratch.take((min(PART, len(out)), out.shape[1]), dy.dtype)
            for some, sums in zip(top.split(PART), out.split(PART), strict=True):
                bf16.add(torch.mm(some, windows, out=product[:len(some)]), sums)

    def data_gradient(self, conv, dy, weight, out):
        """Write the product of the weight and the top's gradient, added up where windows overlap."""
        if conv.is_pixel:
            _pixel_gradient(conv, dy, weight, out)
            return
        n = dy.shape[0]
        with Scratch() as scratch:
            windows = scratch.take((out.shape[1] * math.prod(conv.kernel), dy.numel() // dy.shape[1]), dy.dtype)
            torch.mm(weight.flatten(1).t(), _matrix(dy), out=windows)
            by_item = windows.view(len(windows), n, -1).transpose(0, 1).to(torch.float32)  # sums need more than bf16
            out.copy_(torch.ops.aten.col2im(by_item, list(out.shape[2:]), conv.kernel, conv.dilation, conv.pad,
                                            conv.stride))


def _windows(scratch: Scratch, conv: Convolution, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return (C kh kw, windows): what each window covers."""
    if conv.is_pixel:
        if max(conv.stride) > 1:
            x = conv.seen_pixels(x).contiguous(memory_format=torch.channels_last)
        return _matrix(x)
    n, c, height, width = x.shape
    (above, left), (down, across) = conv.pad, conv.stride
    padded = scratch.take((c, n, height + 2 * above, width + 2 * left), x.dtype).zero_()
    padded[:, :, above:above + height, left:left + width].copy_(x.transpose(0, 1))
    channel, item, row, column = padded.stride()
    windows = scratch.take((c, *conv.kernel, n, *y.shape[2:]), x.dtype)
    windows.copy_(padded.as_strided(windows.shape, (channel, conv.dilation[0] * row, conv.dilation[1] * column, item,
                                                    down * row, across * column)))
    return windows.flatten(0, 2).flatten(1)


def _pixel_gradient(conv: Convolution, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """Write the gradient of x, one product, into `out`; pixels that no window sees get 0."""
    weight = weight.flatten(1).t()
    if max(conv.stride) == 1:
        with in_type(out, dy.dtype) as dx:
            torch.mm(weight, _matrix(dy), out=_matrix(dx))
        return
    out.zero_()
    n, _, height, width = dy.shape
    with Scratch() as scratch:
        dx = scratch.take((n, height, width, len(weight)), dy.dtype).permute(0, 3, 1, 2)
        torch.mm(weight, _matrix(dy), out=_matrix(dx))
        conv.seen_pixels(out).copy_(dx)


def _is_matrix(tensor: torch.Tensor) -> bool:
    """Whether (N, C, H, W) on the CPU can be viewed as (C, N H W), by itself or within more channels."""
    if tensor.device.type != "cpu":
        return False
    if tensor.is_contiguous(memory_format=torch.channels_last) or tensor.shape[0] == 1 and tensor.is_contiguous():
        return True
    item, channel, row, column = tensor.stride()
    return channel == 1 and column >= tensor.shape[1] and (item, row) == (row * tensor.shape[2],
                                                                          column * tensor.shape[3])


def _matrix(tensor: torch.Tensor) -> torch.Tensor:
    """View (N, C, H, W) as (C, N H W)."""
    return tensor.permute(1, 0, 2, 3).view(tensor.shape[1], -1)

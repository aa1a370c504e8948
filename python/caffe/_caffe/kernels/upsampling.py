"""Upsampling of each channel by its own kernel, as a few matrix products.

In:   x (N, C, h, w); one kernel per channel (C, kh, kw); stride and pad of the Deconvolution.
Out:  what the Deconvolution with these kernels and zeros between channels computes, and its data gradient.
Not here: whether a weight is diagonal, so that channels stay apart (layers/deconvolution.py); the kernels' gradient.
How: with r = ceil(kernel / stride), each stride x stride block of the output is a weighted sum of r x r
neighbours in x: one product of (neighbours, r r) and (r r, stride stride) per channel. Measured for 21 channels,
16 x 16 to 544 x 544: 3.7 ms, against 26 ms for a grouped and 59 ms for a full transposed convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from .convolution import Way

MAX_TAPS = 4  # neighbours per axis, up to which gathering them pays off
CACHED = 1 << 21  # values of several channels that the CPU makes at a time, so that they stay in the cache


class Upsampling(Way):
    """A Deconvolution of one kernel per channel, (C, 1, kh, kw)."""

    def serves(self, operation, conv, weight, x, y):
        """Whether each channel feeds only its own, without dilation, and few neighbours meet."""
        return (operation != "add_weight_gradient" and conv.group == weight.shape[0] and weight.shape[1] == 1
                and list(conv.dilation) == [1, 1] and serves(conv.kernel, conv.stride))

    def convolve(self, conv, x, weight, bias, out):
        """Write the upsampled x into `out`."""
        upsample(x, weight[:, 0], conv.stride, conv.pad, out)
        if bias is not None:
            out.add_(bias.view(-1, 1, 1))

    def data_gradient(self, conv, dy, weight, out):
        """Write the gradient of x into `out`."""
        upsample_backward(dy, weight[:, 0], conv.stride, conv.pad, out)


def serves(kernel: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether kernel and stride suit this way."""
    return all(s > 1 and _taps(k, s) <= MAX_TAPS for k, s in zip(kernel, stride, strict=True))


def own(weight: torch.Tensor) -> torch.Tensor:
    """Return the kernels weight[c, c] as (C, kh, kw)."""
    return weight.diagonal().permute(2, 0, 1)


def is_diagonal(weight: torch.Tensor) -> bool:
    """Whether all kernels but weight[c, c] are exactly zero; weight (C, C, kh, kw) is contiguous."""
    channels, area = weight.shape[0], weight.shape[2] * weight.shape[3]
    if channels == 1:
        return True
    # Without the first kernel, rows of C + 1 kernels each end in a diagonal one.
    rest = weight.flatten()[area:].view(channels - 1, channels + 1, area)[:, :-1]
    return not bool(rest.any())


def is_whole(kernel: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether a kernel is whole strides long: then each value meets exactly the places it would in full."""
    return all(k % s == 0 for k, s in zip(kernel, stride, strict=True))


def poisoned(values: torch.Tensor) -> torch.Tensor:
    """Turn values (N, C, H, W) into NaN where another channel is not finite, as that times 0 would be NaN."""
    bad = values.isfinite().logical_not_()
    return values.masked_fill(bad.sum(1, keepdim=True) > bad, float("nan"))


def upsample(x: torch.Tensor, kernels: torch.Tensor, stride: Sequence[int], pad: Sequence[int],
             out: torch.Tensor) -> None:
    """Write the upsampled x into out (N, C, H, W)."""
    (n, c, h, w), (sh, sw) = x.shape, stride
    matrix, rh, rw = _matrix(kernels, stride)
    rows, columns = h + rh - 1, w + rw - 1
    padded = functional.pad(x, [rw - 1, rw - 1, rh - 1, rh - 1])
    # neighbour (a, b) of block (i, j) is x[i - a, j - b]
    near = torch.stack([padded[:, :, rh - 1 - a:rh - 1 - a + rows, rw - 1 - b:rw - 1 - b + columns]
                        for a in range(rh) for b in range(rw)], dim=-1)  # (N, C, rows, columns, rh rw)
    near = near.view(n, c, rows * columns, rh * rw)
    some = max(1, CACHED // (n * rows * sh * columns * sw)) if x.device.type == "cpu" else c
    for channels in (slice(i, i + some) for i in range(0, c, some)):
        blocks = torch.matmul(near[:, channels], matrix[channels]).view(n, -1, rows, columns, sh, sw)
        whole = blocks.permute(0, 1, 2, 4, 3, 5).reshape(n, -1, rows * sh, columns * sw)
        out[:, channels].copy_(whole[:, :, pad[0]:pad[0] + out.shape[2], pad[1]:pad[1] + out.shape[3]])


def upsample_backward(dy: torch.Tensor, kernels: torch.Tensor, stride: Sequence[int], pad: Sequence[int],
                      out: torch.Tensor) -> None:
    """Write the gradient of x into out (N, C, h, w), given that of the upsampled."""
    (n, c, h, w), (sh, sw) = out.shape, stride
    matrix, rh, rw = _matrix(kernels, stride)
    rows, columns = h + rh - 1, w + rw - 1
    after = rows * sh - dy.shape[2] - pad[0], columns * sw - dy.shape[3] - pad[1]
    if any(pad) or any(after):
        dy = functional.pad(dy, [pad[1], after[1], pad[0], after[0]])
    blocks = dy.reshape(n, c, rows, sh, columns, sw).permute(0, 1, 2, 4, 3, 5).reshape(n, c, rows * columns, sh * sw)
    near = torch.matmul(blocks, matrix.transpose(1, 2)).view(n, c, rows, columns, rh, rw)
    out.zero_()
    for a in range(rh):
        for b in range(rw):
            out.add_(near[:, :, a:a + h, b:b + w, a, b])


def _taps(kernel: int, stride: int) -> int:
    return -(-kernel // stride)


def _matrix(kernels: torch.Tensor, stride: Sequence[int]) -> tuple[torch.Tensor, int, int]:
    """Return kernels as (C, rh rw, sh sw), with zeros up to whole strides, and rh, rw."""
    (c, kh, kw), (sh, sw) = kernels.shape, stride
    rh, rw = _taps(kh, sh), _taps(kw, sw)
    whole = functional.pad(kernels, [0, rw * sw - kw, 0, rh * sh - kh])
    return whole.reshape(c, rh, sh, rw, sw).permute(0, 1, 3, 2, 4).reshape(c, rh * rw, sh * sw), rh, rw

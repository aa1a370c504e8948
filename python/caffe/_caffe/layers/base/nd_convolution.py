"""Convolution over more spatial axes than torch's kernels serve: columns times weights.

In:   bottoms (N, C, spatial...), weights (num_output, C / group, kernel...), stride, pad, dilation, group.
Out:  what torch.convolution and convolution_backward return for up to three spatial axes.
Not here: parameters and shapes (base_convolution). Source: BVLC base_conv_layer.cpp, which always works this way.
"""

from __future__ import annotations

from math import prod

import torch

from .im2col import Numbers, col2im, im2col


def convolution(x: torch.Tensor, weight: torch.Tensor, stride: Numbers, pad: Numbers, dilation: Numbers,
                group: int) -> torch.Tensor:
    """Convolve: (N, C, spatial...) to (N, num_output, windows...)."""
    columns = im2col(x, weight.shape[2:], stride, pad, dilation)
    windows = columns.shape[weight.dim():]
    flat = columns.reshape(x.shape[0], group, -1, prod(windows))
    y = torch.einsum("gok,ngkw->ngow", _by_group(weight, group), flat)
    return y.reshape(x.shape[0], weight.shape[0], *windows)


def data_gradient(dy: torch.Tensor, weight: torch.Tensor, spatial: Numbers, stride: Numbers, pad: Numbers,
                  dilation: Numbers, group: int) -> torch.Tensor:
    """Return the gradient of the bottom, whose spatial lengths are given; this is also deconvolution."""
    flat = dy.reshape(dy.shape[0], group, dy.shape[1] // group, -1)
    columns = torch.einsum("gok,ngow->ngkw", _by_group(weight, group), flat)
    channels, kernel = weight.shape[1] * group, weight.shape[2:]
    columns = columns.reshape(dy.shape[0], channels, *kernel, *dy.shape[2:])
    return col2im(columns, spatial, kernel, stride, pad, dilation)


def weight_gradient(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: Numbers, pad: Numbers,
                    dilation: Numbers, group: int) -> torch.Tensor:
    """Return the gradient of the weight, in its shape."""
    columns = im2col(x, weight.shape[2:], stride, pad, dilation)
    columns = columns.reshape(x.shape[0], group, -1, prod(dy.shape[2:]))
    flat = dy.reshape(dy.shape[0], group, dy.shape[1] // group, -1)
    return torch.einsum("ngow,ngkw->gok", flat, columns).reshape(weight.shape)


def _by_group(weight: torch.Tensor, group: int) -> torch.Tensor:
    return weight.reshape(group, weight.shape[0] // group, -1)

"""STOCHASTIC pooling: TRAIN picks one value per window with probability proportional to it, TEST their weighted mean.

In:   bottoms (N, C, H, W) of values >= 0, kernel and stride; windows may reach beyond the bottom.
Out:  pooled values; the positions that TRAIN picked; the gradient back to them.
Not here: shapes of tops (layers/pooling.py). Source: BVLC pooling_layer.cu; Zeiler and Fergus 2013.
Caffe has it on GPUs only.
"""

from __future__ import annotations

import torch

from ... import common
from .im2col import im2col

FLT_MIN = torch.finfo(torch.float32).tiny
Pair = list[int]


def sample(x: torch.Tensor, kernel: Pair, stride: Pair, out: torch.Tensor) -> torch.Tensor:
    """Write the picked values; return their positions (h * W + w), shaped as `out`."""
    windows = _windows(x, kernel, stride, out)
    sums = windows.cumsum(2)
    chance = torch.from_numpy(common.rng().uniform(0, 1, out.numel())).to(out.device).view(sums[:, :, 0].shape)
    cell = (sums < chance.mul_(sums[:, :, -1]).unsqueeze(2)).sum(2, keepdim=True)
    row, column = _places(x, kernel, stride, out, cell.clamp_max_(kernel[0] * kernel[1] - 1))
    # a sum rounded below its own last value must not point beyond the bottom
    place = row.clamp_max_(x.shape[2] - 1) * x.shape[3] + column.clamp_max_(x.shape[3] - 1)
    out.copy_(x.flatten(2).gather(2, place.flatten(2)).view(out.shape))
    return place


def average(x: torch.Tensor, kernel: Pair, stride: Pair, out: torch.Tensor) -> None:
    """Write the values' mean, each weighted by itself."""
    windows = _windows(x, kernel, stride, out)
    torch.div(windows.square().sum(2).view(out.shape), windows.sum(2).view(out.shape) + FLT_MIN, out=out)


def scatter(dy: torch.Tensor, place: torch.Tensor, out: torch.Tensor) -> None:
    """Write the gradient: each top's goes to the position it was picked from."""
    out.zero_().flatten(2).scatter_add_(2, place.flatten(2), dy.flatten(2))


def _windows(x: torch.Tensor, kernel: Pair, stride: Pair, out: torch.Tensor) -> torch.Tensor:
    """Return (N, C, cells, windows); what lies beyond the bottom is 0."""
    beyond = [max(0, (o - 1) * s + k - n) for o, s, k, n in
              zip(out.shape[2:], stride, kernel, x.shape[2:], strict=True)]
    padded = torch.nn.functional.pad(x, [0, beyond[1], 0, beyond[0]])
    reach = [(o - 1) * s + k for o, s, k in zip(out.shape[2:], stride, kernel, strict=True)]
    columns = im2col(padded[:, :, :reach[0], :reach[1]], kernel, stride, [0, 0], [1, 1])
    return columns.flatten(4).flatten(2, 3)


def _places(x: torch.Tensor, kernel: Pair, stride: Pair, out: torch.Tensor,
            cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and columns of the bottom for a cell of each window."""
    cell = cell.view(out.shape)
    rows = torch.arange(out.shape[2], device=x.device).view(-1, 1) * stride[0]
    columns = torch.arange(out.shape[3], device=x.device) * stride[1]
    return rows + cell.div(kernel[1], rounding_mode="floor"), columns + cell % kernel[1]

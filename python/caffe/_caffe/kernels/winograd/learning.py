"""3 x 3 convolutions of layers that learn, by tiles: the weight changes from pass to pass, and has a gradient.

In:   tensors (N, C, H, W) on the CPU, float32, with channels last; a weight (num_output, C, 3, 3); a Window; the type
      to compute in.
Out:  the convolution, its data gradient, written where they are wanted; its weight gradient, added where it belongs.
Not here: the arithmetic of a block (tiles), which layers run this way.
An error is relative to the largest value that a tile sees: a single value of 1e6 among small ones leaves them 2e-3 off,
and one that is not finite spreads over its tile.
Source: tiles. The weight gradient is the same sum read from the other side: products of what a tile sees with what it
makes, at each point, summed over tiles, and transformed back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import bf16
from ..matmul import Window
from ..scratch import room
from .rows import seen_by
from .tiles import LEAST, Tiled, at_points, room_at_points, values_at_points
from .tiles import serves as tiles_serve
from .ways import Way, way_of

FEW = 1024  # places of a top, below which transforming the weight takes longer than the products saved
NOTHING = ((0, 0), (0, 0))


def serves(window: Window, weight: torch.Tensor, x: torch.Tensor, y: torch.Tensor, dtype: torch.dtype) -> bool:
    """Tell whether a convolution, or its gradients, can run so in this type, and pay; y: the top or its gradient."""
    places = y.shape[2] * y.shape[3]
    return (weight.shape[2:] == (3, 3) and places >= FEW and weight.numel() * places >= 9 * LEAST
            and tiles_serve(weight, dtype)
            and [*window.stride, *window.dilation, window.group] == [1] * 5 and max(window.pad) <= 2
            and weight.is_contiguous() and all(
                tensor.dtype == torch.float32 and tensor.is_contiguous(memory_format=torch.channels_last)
                for tensor in (x, y)))


def convolve(window: Window, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
             out: torch.Tensor, dtype: torch.dtype) -> None:
    """Write the convolution of x into `out`."""
    bias = None if bias is None else bias.to(dtype)
    by_point = _at_points(weight, dtype)
    Tiled(way_of(3, dtype), by_point.transpose(1, 2)).convolve(x, _zeros(window.pad), bias, False, out)


def data_gradient(window: Window, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor,
                  dtype: torch.dtype) -> None:
    """Write the gradient of x into `out`: the convolution of dy with the flipped weight."""
    by_point = _at_points(weight.flip(2, 3), dtype)
    Tiled(way_of(3, dtype), by_point).convolve(dy, _zeros([2 - pad for pad in window.pad]), None, False, out)


def add_weight_gradient(window: Window, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor,
                        dtype: torch.dtype) -> None:
    """Add the gradient of the weight to `out`."""
    k, c = out.shape[:2]
    way = way_of(3, dtype)
    at_each = room("weight", way.points * k * c, torch.float32).view(-1, k, c).zero_()
    tall, across = way.tile[0], way.tiles(*dy.shape[2:])[1]
    down = -(-max(4096, 16 * c) // (len(way.to_top) * across))  # of tiles at a time
    for item, top in zip(x.permute(0, 2, 3, 1), dy.permute(0, 2, 3, 1), strict=True):
        for begin in range(0, top.shape[0], tall * down):
            rows = min(down, way.tiles(top.shape[0] - begin, 1)[0])
            values = values_at_points(way, item, _zeros(window.pad), begin, rows, across, dtype)
            products = _from_top(way, top, begin, rows, across, dtype)
            if dtype == torch.float32:
                at_each.baddbmm_(products.transpose(1, 2), values)
            else:
                made = room("odd", at_each.numel(), dtype).view_as(at_each)
                bf16.add(torch.bmm(products.transpose(1, 2), values, out=made), at_each)
    # A product of the other order, with few columns, takes twice as long.
    out.view(-1, 9).add_(torch.mm(way.parts[0].to_weight.t(), at_each.view(way.points, -1)).t())


def _from_top(way: Way, dy: torch.Tensor, begin: int, down: int, across: int, dtype: torch.dtype) -> torch.Tensor:
    """Transform tiles of dy (H, W, K) from row `begin` on back to the points: (points, tiles, K), in `third`."""
    k, (tall, wide), n = dy.shape[2], way.tile, down * across
    size = tall * wide * n * k
    whole = seen_by(begin, dy, NOTHING, room("seen", size, dtype).view(tall * down, wide * across, k))
    tiles = room("odd", size, dtype).view(down, across, tall, wide, k)
    tiles.copy_(whole.view(down, tall, across, wide, k).transpose(1, 2))
    made = room_at_points("third", way.points, n, k, dtype)
    torch.bmm(way.to_top.t().expand(n, -1, -1), tiles.view(n, -1, k), out=made.transpose(0, 1))
    return made


def _at_points(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    way = way_of(3, dtype)
    out = room("weight", way.points * weight.numel() // 9, dtype).view(way.points, *weight.shape[:2])
    at_points(way, weight, out)
    return out


def _zeros(pad: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((p, p) for p in pad)

"""3 x 3 convolutions of layers that learn, by tiles: the weight changes from pass to pass, and has a gradient.

In:   tensors (N, C, H, W) on the CPU, float32, with channels last; a weight (num_output, C, 3, 3).
Out:  the convolution, its data gradient, written where they are wanted; its weight gradient, added where it belongs.
Not here: the arithmetic of a block (tiles).
An error is relative to the largest value that a tile sees: a single value of 1e6 among small ones leaves them 2e-3 off,
and one that is not finite spreads over its tile.
Source: tiles. The weight gradient is the same sum read from the other side: products of what a tile sees with what it
makes, at each point, summed over tiles, and transformed back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import bf16
from ..convolution import Way
from ..scratch import Scratch
from .rows import seen_by
from .tiles import LEAST, TiledWeight, take_points, values_at_points, weight_at_points
from .tiles import serves as tiles_serve
from .tilings import Tiling, tiling_for

FEW = 1024  # places of a top, below which transforming the weight takes longer than the products saved
NOTHING = ((0, 0), (0, 0))


class Winograd(Way):
    """All three, by tiles of the top; y is the top or its gradient."""

    takes_float32 = True

    def serves(self, operation, conv, weight, x, y):
        """Whether the kernel is 3 x 3 over many channels and a large top."""
        places = y.shape[2] * y.shape[3]
        return (weight.shape[2:] == (3, 3) and places >= FEW and weight.numel() * places >= 9 * LEAST
                and tiles_serve(weight, conv.dtype) and conv.is_plain and max(conv.pad) <= 2
                and weight.is_contiguous() and all(
                    tensor.dtype == torch.float32 and tensor.is_contiguous(memory_format=torch.channels_last)
                    for tensor in (x, y)))

    def convolve(self, conv, x, weight, bias, out):
        """Write the convolution of x into `out`."""
        bias = None if bias is None else bias.to(conv.dtype)
        with Scratch() as scratch:
            by_point = _at_points(scratch, weight, conv.dtype)
            tiled = TiledWeight(tiling_for(3, conv.dtype), by_point.transpose(1, 2))
            tiled.convolve(x, _zeros(conv.pad), bias, False, out)

    def data_gradient(self, conv, dy, weight, out):
        """Write the gradient of x into `out`: the convolution of dy with the flipped weight."""
        with Scratch() as scratch:
            tiled = TiledWeight(tiling_for(3, conv.dtype), _at_points(scratch, weight.flip(2, 3), conv.dtype))
            tiled.convolve(dy, _zeros([2 - pad for pad in conv.pad]), None, False, out)

    def add_weight_gradient(self, conv, dy, x, out):
        """Add the gradient of the weight to `out`, block of tiles by block of tiles at the points."""
        k, c = out.shape[:2]
        tiling = tiling_for(3, conv.dtype)
        with Scratch() as scratch:
            at_each = scratch.take((tiling.points, k, c), torch.float32).zero_()
            tall, across = tiling.tile[0], tiling.tiles(*dy.shape[2:])[1]
            down = -(-max(4096, 16 * c) // (len(tiling.to_top) * across))  # of tiles at a time
            for item, top in zip(x.permute(0, 2, 3, 1), dy.permute(0, 2, 3, 1), strict=True):
                for begin in range(0, top.shape[0], tall * down):
                    rows = min(down, tiling.tiles(top.shape[0] - begin, 1)[0])
                    _add_block(tiling, item, top, _zeros(conv.pad), begin, rows, conv.dtype, at_each)
            # A product of the other order, with few columns, takes twice as long.
            out.view(-1, 9).add_(torch.mm(tiling.parts[0].to_weight.t(), at_each.view(tiling.points, -1)).t())


def _add_block(tiling: Tiling, x: torch.Tensor, dy: torch.Tensor, around: Sequence[tuple[int, int]], begin: int,
               down: int, dtype: torch.dtype, at_each: torch.Tensor) -> None:
    """Add the products of some rows of tiles at each point to at_each (points, K, C); x, dy: (H, W, channels)."""
    across = tiling.tiles(1, dy.shape[1])[1]
    with Scratch() as scratch:
        values = values_at_points(scratch, tiling, x, around, begin, down, across, dtype)
        tops = _from_top(scratch, tiling, dy, begin, down, across, dtype)
        if dtype == torch.float32:
            at_each.baddbmm_(tops.transpose(1, 2), values)
        else:
            made = scratch.take(at_each.shape, dtype)
            bf16.add(torch.bmm(tops.transpose(1, 2), values, out=made), at_each)


def _from_top(scratch: Scratch, tiling: Tiling, dy: torch.Tensor, begin: int, down: int, across: int,
              dtype: torch.dtype) -> torch.Tensor:
    """Return tiles of dy (H, W, K) from row `begin` on, transformed back to the points: (points, tiles, K)."""
    k, (tall, wide), n = dy.shape[2], tiling.tile, down * across
    made = take_points(scratch, tiling.points, n, k, dtype)
    with Scratch() as inner:
        whole = seen_by(begin, dy, NOTHING, inner.take((tall * down, wide * across, k), dtype))
        tiles = inner.take((down, across, tall, wide, k), dtype)
        tiles.copy_(whole.view(down, tall, across, wide, k).transpose(1, 2))
        torch.bmm(tiling.to_top.t().expand(n, -1, -1), tiles.view(n, -1, k), out=made.transpose(0, 1))
    return made


def _at_points(scratch: Scratch, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    tiling = tiling_for(3, dtype)
    out = scratch.take((tiling.points, *weight.shape[:2]), dtype)
    weight_at_points(tiling, weight, out)
    return out


def _zeros(pad: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((p, p) for p in pad)

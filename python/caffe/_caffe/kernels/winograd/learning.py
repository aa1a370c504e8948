"""3 x 3 convolutions of layers that learn, by tiles: the weight changes from pass to pass and has a gradient.

In:   tensors (N, C, H, W) on the CPU, float32, with channels last; a weight (num_output, C, 3, 3).
Out:  the convolution, its data gradient, written where they are wanted; its weight gradient, added where it belongs.
Not here: the arithmetic of a block (tiles).
An error is relative to the largest value that a tile sees: a single value of 1e6 among small ones leaves them 2e-3 off,
and one that is not finite spreads over its tile.
Source: tiles. The weight gradient is the same sum read from the other side: products of what a tile sees with what it
makes, at each point, summed over tiles, and transformed back.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from .. import bf16
from ..convolution import Convolution, Way
from ..scratch import Scratch
from .rows import seen_by
from .tiles import LEAST, TiledWeight, block_rows, cost, take_points, values_at_points, weight_at_points, write_top
from .tiles import serves as tiles_serve
from .tilings import Tiling, tiling_for

FEW = 1024  # with fewer places of a top, transforming the weight costs more than the products saved, in bf16
NOTHING = ((0, 0), (0, 0))
OF_WEIGHT = 25  # what a weight at a point costs, in multiplications of a matrix product
ORDERING = 180  # what torch's kernel spends on ordering a weight's 9 values, in the same unit
WORTH = 0.9  # of the time torch's kernel takes, above which nothing is gained when the caches are busy
SLICE = 64  # outputs whose weights are used before the next ones are transformed: they stay in the cache


class Winograd(Way):
    """All three, by tiles of the top; y is the top or its gradient."""

    takes_float32 = True

    def serves(self, operation, conv, weight, x, y):
        """Whether the kernel is 3 x 3 over many channels, and tiles are faster than torch's kernel."""
        return (weight.shape[2:] == (3, 3) and tiles_serve(weight, conv.dtype) and conv.is_plain and max(conv.pad) <= 2
                and weight.is_contiguous() and all(
                    tensor.dtype == torch.float32 and tensor.is_contiguous(memory_format=torch.channels_last)
                    for tensor in (x, y))
                and _best_tiling(*weight.shape[:2], y.shape[0], *y.shape[2:], conv.dtype) is not None)

    def convolve(self, conv, x, weight, bias, out):
        """Write the convolution of x into `out`."""
        bias = None if bias is None else bias.to(conv.dtype)
        _convolve(_tiling(conv, weight, out), x, weight, _zeros(conv.pad), bias, False, out, conv.dtype)

    def data_gradient(self, conv, dy, weight, out):
        """Write the gradient of x into `out`: the convolution of dy with the flipped weight."""
        around = _zeros([2 - pad for pad in conv.pad])
        _convolve(_tiling(conv, weight, dy), dy, weight, around, None, True, out, conv.dtype)

    def add_weight_gradient(self, conv, dy, x, out):
        """Add the gradient of the weight to `out`, block of tiles by block of tiles at the points."""
        k, c = out.shape[:2]
        tiling = _tiling(conv, out, dy)
        if _is_one_block(tiling, dy):
            _add_in_slices(tiling, x, dy, _zeros(conv.pad), conv.dtype, out)
            return
        with Scratch() as scratch:
            at_each = scratch.take((tiling.points, k, c), torch.float32).zero_()
            tall, across = tiling.tile[0], tiling.tiles(*dy.shape[2:])[1]
            down = -(-max(4096, 16 * c) // (len(tiling.to_top) * across))  # of tiles at a time
            for item, top in zip(x.permute(0, 2, 3, 1), dy.permute(0, 2, 3, 1), strict=True):
                for begin in range(0, top.shape[0], tall * down):
                    rows = min(down, tiling.tiles(top.shape[0] - begin, 1)[0])
                    _add_block(tiling, item, top, _zeros(conv.pad), begin, rows, conv.dtype, at_each)
            _add_from_points(tiling, at_each, out)


def _convolve(tiling: Tiling, x: torch.Tensor, weight: torch.Tensor, around: Sequence[tuple[int, int]],
              bias: torch.Tensor | None, turned: bool, out: torch.Tensor, dtype: torch.dtype) -> None:
    """Convolve with the weight, or, turned, with the flipped one from its outputs to its channels."""
    k, c = weight.shape[:2]
    if _is_one_block(tiling, out):
        _convolve_in_slices(tiling, x, weight, around, bias, turned, out, dtype)
        return
    with Scratch() as scratch:
        by_point = scratch.take((tiling.points, k, c), dtype)
        weight_at_points(tiling, weight, by_point, flipped=turned)
        by_point = by_point if turned else by_point.transpose(1, 2)
        TiledWeight(tiling, by_point).convolve(x, around, bias, False, out)


def _convolve_in_slices(tiling: Tiling, x: torch.Tensor, weight: torch.Tensor, around: Sequence[tuple[int, int]],
                        bias: torch.Tensor | None, turned: bool, out: torch.Tensor, dtype: torch.dtype) -> None:
    """Convolve one block of tiles, some channels of `out` after others."""
    top = out.permute(0, 2, 3, 1)[0]
    down, across = tiling.tiles(*top.shape[:2])
    with Scratch() as scratch:
        values = values_at_points(scratch, tiling, x.permute(0, 2, 3, 1)[0], around, 0, down, across, dtype)
        for begin in range(0, top.shape[2], SLICE):
            some = slice(begin, min(begin + SLICE, top.shape[2]))
            taps = weight[:, some].contiguous() if turned else weight[some]
            with Scratch() as inner:
                by_point = inner.take((tiling.points, *taps.shape[:2]), dtype)
                weight_at_points(tiling, taps, by_point, flipped=turned)
                products = inner.take((tiling.points, down * across, some.stop - some.start), dtype)
                torch.bmm(values, by_point if turned else by_point.transpose(1, 2), out=products)
                write_top(tiling, products, None if bias is None else bias[some], False, top[:, :, some])


def _add_in_slices(tiling: Tiling, x: torch.Tensor, dy: torch.Tensor, around: Sequence[tuple[int, int]],
                   dtype: torch.dtype, out: torch.Tensor) -> None:
    """Add the weight gradient of one block of tiles, some outputs after others."""
    k = out.shape[0]
    down, across = tiling.tiles(*dy.shape[2:])
    with Scratch() as scratch:
        values = values_at_points(scratch, tiling, x.permute(0, 2, 3, 1)[0], around, 0, down, across, dtype)
        tops = _from_top(scratch, tiling, dy.permute(0, 2, 3, 1)[0], 0, down, across, dtype)
        for begin, some in zip(range(0, k, SLICE), out.split(SLICE), strict=True):
            with Scratch() as inner:
                at_each = inner.take((tiling.points, *some.shape[:2]), dtype)
                torch.bmm(tops[:, :, begin:begin + SLICE].transpose(1, 2), values, out=at_each)
                _add_from_points(tiling, at_each.float(), some)


def _add_from_points(tiling: Tiling, at_each: torch.Tensor, out: torch.Tensor) -> None:
    """Add what is at the points (points, K, C), float32, to a weight gradient (K, C, 3, 3)."""
    # A product of the other order, with few columns, takes twice as long.
    out.view(-1, 9).add_(torch.mm(tiling.parts[0].to_weight.t(), at_each.view(tiling.points, -1)).t())


def _is_one_block(tiling: Tiling, y: torch.Tensor) -> bool:
    return y.shape[0] == 1 and y.shape[2] <= block_rows(tiling, y.shape[3])


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


def _tiling(conv: Convolution, weight: torch.Tensor, y: torch.Tensor) -> Tiling:
    """Return the tiling that takes the least time, or any if none serves."""
    return _best_tiling(*weight.shape[:2], y.shape[0], *y.shape[2:], conv.dtype) or tiling_for(3, conv.dtype)


@functools.lru_cache(1024)
def _best_tiling(k: int, c: int, items: int, height: int, width: int, dtype: torch.dtype) -> Tiling | None:
    """Return the tiling that takes the least time, None if torch's kernel does."""
    if dtype == torch.bfloat16:
        return tiling_for(3, dtype) if height * width >= FEW and k * c * height * width >= LEAST else None
    best, least = None, WORTH * (9 * items * height * width + ORDERING) * k * c
    for tiling in (tiling_for(3, dtype), tiling_for(3, dtype, small=True)):
        down, across = tiling.tiles(height, width)
        n = items * down * across
        whole = cost(tiling, k, c, n) + tiling.points * k * c * OF_WEIGHT
        if whole < least:
            best, least = tiling, whole
    return best


def _zeros(pad: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((p, p) for p in pad)

"""Convolutions by Winograd's minimal filtering: fewer products per tile of the top than its places times the kernel.

In:   a part of a bottom (N, C, H, W) and how far zeros lie around it; a bias.
Out:  the convolution, one block of rows after another, written where the caller wants it.
Not here: strides, groups, dilation; which convolutions use it (plan/sliding, learning); how a kernel is cut (tilings).
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, section 4; cook_toom.
Why: measured on 2 cores at 500 x 500, float32, against a kernel at 0.22 TFLOP/s: 512 to 512 channels of 68 x 68, 101 to
43 ms; 256 of 130 x 130, 92 to 46; 128 of 254 x 254, 88 to 56; 64 of 504 x 504, 88 to 77. bf16, against 0.45 TFLOP/s:
47 to 24, 44 to 23, 42 to 29 ms; the 7 x 7 kernel of VGG16's fc6, 16 x 16 places: 115 to 61 ms.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..scratch import Scratch
from .rows import Around, finish, seen_by
from .tilings import TILINGS, Part, Tiling, tiling_for

CHANNELS = {3: 64, 7: 128}  # of bottom and top, by kernel side: from these on, products outweigh transforms
BOTH = {torch.float32: 1 << 12, torch.bfloat16: 1 << 13}  # the same for their product
LARGE = 1 << 16  # channels in times out; from here on tiles pay in bf16 for any top
LEAST = 1 << 26  # products of channels and places; from here on they pay in bf16 for any weight
# What a value at a point costs, in multiplications of a matrix product; measured in float32 on one core.
OF_BOTTOM, OF_TOP = 60, 45
FULL = 64  # with fewer tiles a product takes longer than its multiplications
WORTH = 0.67  # of the multiplications of oneDNN's kernel: each takes it two thirds of the time
SLICE = 32  # outputs whose weights are transformed at a time: they stay in the cache
PACKED = (7,)  # kernels whose weight is packed
HAS_LINEAR = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def serves(weight: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether a weight (num_output, C, kh, kw), used in this type, can be tiled, and pays off if the top is large."""
    k, c, rows, columns = weight.shape
    return ((rows, dtype) in TILINGS and rows == columns and min(k, c) >= CHANNELS[rows] and k * c >= BOTH[dtype]
            and weight.device.type == "cpu" and (rows not in PACKED or HAS_LINEAR))


def ready(weight: torch.Tensor, dtype: torch.dtype) -> TiledWeight:
    """Transform a weight (num_output, C, kh, kw), float32, that does not change."""
    tiling = tiling_for(weight.shape[2], dtype)
    if tiling.kernel in PACKED:
        return PackedWeight(tiling, weight, dtype)
    made = torch.empty(tiling.points, *weight.shape[1::-1], dtype=dtype)
    weight_at_points(tiling, weight, made.transpose(1, 2))
    return TiledWeight(tiling, made)


class TiledWeight:
    """A weight, ready to convolve by tiles.

    Args:
        tiling: how the kernel is cut.
        weight: at each point, (points, C, num_output).
    """

    def __init__(self, tiling: Tiling, weight: torch.Tensor) -> None:
        self._tiling, self._weight, self._dtype = tiling, weight, weight.dtype
        _, self._channels, self._num_output = weight.shape

    def pays(self, out_height: int, out_width: int) -> bool:
        """Return whether tiles are faster for a top of this size than oneDNN's kernel with a packed weight.

        Items of a batch are convolved one by one. The rule for bf16 is that of its own measurements.
        """
        k, c, places = self._num_output, self._channels, out_height * out_width
        if self._dtype == torch.bfloat16:
            return k * c >= LARGE or k * c * places >= LEAST
        down, across = self._tiling.tiles(out_height, out_width)
        return cost(self._tiling, k, c, down * across) <= WORTH * self._tiling.kernel ** 2 * places * k * c

    def convolve(self, x: torch.Tensor, around: Around, bias: torch.Tensor | None, relu: bool,
                 out: torch.Tensor) -> None:
        """Write the convolution into `out`.

        Args:
            x: (N, C, H, W), of any strides and type; fast with channels last.
            around: how far zeros lie around x.
            bias: (num_output,), of the weight's type.
            relu: whether negative values become 0.
            out: (N, num_output, H + rows - kh + 1, W + columns - kw + 1), channels last, of any type.
        """
        step = block_rows(self._tiling, out.shape[3])
        for item, top in zip(x.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1), strict=True):
            for begin in range(0, top.shape[0], step):
                self._block(item, around, bias, relu, begin, top[begin:begin + step])

    def _block(self, x: torch.Tensor, around: Around, bias: torch.Tensor | None, relu: bool, begin: int,
               out: torch.Tensor) -> None:
        """Compute rows of the top from `begin` on. Here x is (H, W, C), and out (rows, W, num_output)."""
        down, across = self._tiling.tiles(*out.shape[:2])
        with Scratch() as scratch:
            values = values_at_points(scratch, self._tiling, x, around, begin, down, across, self._dtype)
            products = scratch.take((self._tiling.points, down * across, self._num_output), self._dtype)
            self._multiply(values, products)
            scratch.give_back(values)
            write_top(self._tiling, products, bias, relu, out)

    def _multiply(self, values: torch.Tensor, out: torch.Tensor) -> None:
        """Write the products at each point, of values (points, tiles, C), into out (points, tiles, num_output)."""
        torch.bmm(values, self._weight, out=out)


class PackedWeight(TiledWeight):
    """A weight for few tiles: reading it takes longer than multiplying.

    Args:
        tiling: how the kernel is cut.
        weight: (num_output, C, kh, kw), float32.
    """

    def __init__(self, tiling: Tiling, weight: torch.Tensor, dtype: torch.dtype) -> None:
        self._tiling, self._packed, self._dtype = tiling, [], dtype
        self._num_output, self._channels = weight.shape[:2]
        for part in tiling.parts:
            size = self._num_output, tiling.folded * self._channels
            made = [torch.empty(size, dtype=dtype) for _ in part.to_weight]
            for some, values in transformed(tiling, part, weight):
                for at_point, value in zip(made, values, strict=True):
                    at_point[some].copy_(value)
            while made:  # each is released as soon as it is packed
                self._packed.append(torch.ops.mkldnn._reorder_linear_weight(made.pop(0)))

    def pays(self, out_height, out_width):
        """Always: the kernel is wide."""
        return True

    def _multiply(self, values, out):
        for value, weight, product in zip(values, self._packed, out, strict=True):
            product.copy_(torch.ops.mkldnn._linear_pointwise(value, weight, None, "none", [], ""))


def cost(tiling: Tiling, k: int, c: int, n: int) -> float:
    """Return what n tiles take, from c to k channels, in multiplications of a matrix product; the weight is ready."""
    return tiling.points * (k * c * max(n, (n + FULL) / 2) + n * (c * OF_BOTTOM + k * OF_TOP))


def block_rows(tiling: Tiling, width: int) -> int:
    """Return how many rows of a top of this width are computed at a time."""
    return tiling.tile[0] * -(-tiling.at_once // tiling.tiles(1, width)[1])


def write_top(tiling: Tiling, products: torch.Tensor, bias: torch.Tensor | None, relu: bool, out: torch.Tensor) -> None:
    """Write products (points, tiles, num_output), which are lost, as rows of the top (rows, W, num_output)."""
    down, across = tiling.tiles(*out.shape[:2])
    with Scratch() as scratch:
        sums = scratch.take((*tiling.tile, down, across, out.shape[2]), products.dtype)
        torch.mm(tiling.to_top, products.view(tiling.points, -1), out=sums.view(len(tiling.to_top), -1))
        finish(sums.permute(2, 0, 3, 1, 4), bias, relu, products.flatten(), out)


def weight_at_points(tiling: Tiling, weight: torch.Tensor, out: torch.Tensor, flipped: bool = False) -> None:
    """Transform a weight (num_output, C, kh, kw), float32, or turned around, into out (points, num_output, C)."""
    transform = tiling.parts[0].to_weight
    in_one = len(tiling.parts) == 1 and tiling.folded == 1
    if in_one and out.dtype == torch.float32 and out.is_contiguous() and weight.is_contiguous():
        torch.mm(transform.flip(1) if flipped else transform, weight.view(-1, transform.shape[1]).t(),
                 out=out.view(tiling.points, -1))
        return
    weight = weight.flip(2, 3) if flipped else weight
    for part in tiling.parts:
        for some, values in transformed(tiling, part, weight):
            out[part.points, some].copy_(values)


def transformed(tiling: Tiling, part: Part, weight: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield outputs in slices that stay in the cache: which ones, and their part (points, outputs, C)."""
    for begin in range(0, weight.shape[0], SLICE):
        some = slice(begin, begin + SLICE)
        taps = weight[some]
        if tiling.folded > 1:
            taps = taps.transpose(1, 2).flatten(1, 2).unsqueeze(2)
        taps = taps[:, :, part.rows, part.columns]
        yield some, torch.mm(part.to_weight, taps.flatten(2).flatten(0, 1).t()).view(-1, *taps.shape[:2])


def values_at_points(scratch: Scratch, tiling: Tiling, x: torch.Tensor, around: Around, begin: int, down: int,
                     across: int, dtype: torch.dtype) -> torch.Tensor:
    """Return what tiles of the top from row `begin` on see of x (H, W, C), transformed: (points, tiles, C)."""
    c, n, kernel = x.shape[2], down * across, tiling.kernel
    height, width = (tile * tiles + kernel - 1 for tile, tiles in zip(tiling.tile, (down, across), strict=True))
    values = take_points(scratch, tiling.points, n, tiling.folded * c, dtype)
    with Scratch() as inner:
        bottom = seen_by(begin, x, around, inner.take((height, width, c), dtype))
        for part in tiling.parts:
            _values_of_part(tiling, part, bottom, down, across, values[part.points])
    return values


def take_points(scratch: Scratch, points: int, n: int, channels: int, dtype: torch.dtype) -> torch.Tensor:
    """Take (points, n, channels), in the order that products in this type write and read without a copy."""
    if dtype == torch.float32:  # whose product does not write into a transposed tensor
        return scratch.take((n, points, channels), dtype).transpose(0, 1)
    return scratch.take((points, n, channels), dtype)


def _values_of_part(tiling: Tiling, part: Part, bottom: torch.Tensor, down: int, across: int,
                    out: torch.Tensor) -> None:
    _, width, c = bottom.shape
    size, row = (down, across, *part.seen, tiling.folded, c), width * c
    with Scratch() as scratch:
        tiles = scratch.take(size, bottom.dtype)
        tiles.copy_(bottom[part.rows.start:, part.columns.start:].as_strided(
            size, (tiling.tile[0] * row, tiling.tile[1] * c, row, c, row, 1)))
        transform = part.to_bottom.expand(down * across, -1, -1)
        torch.bmm(transform, tiles.flatten(4, 5).flatten(2, 3).flatten(0, 1), out=out.transpose(0, 1))

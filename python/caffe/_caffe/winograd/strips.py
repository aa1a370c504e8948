"""Convolutions with wide kernels by Winograd's minimal filtering along each row.

In, out: as of every way to convolve (filtering).
Not here: strides, groups, dilation; which convolutions run so (sliding).
Source: cook_toom. float32: F(2, 7) takes 8 products instead of 14; with points 0, +-1/2, +-1, +-2 and infinity the
largest error is 1.3e-6 of the largest value on random bottoms, of the direct sum 5e-7. bf16: F(2, 4) and F(2, 3) side
by side take 9; their error is 0.5 % (root mean square), of the direct sum 0.2 %, of F(2, 7) 1.2 %.
Why: measured on 2 cores: fc6 of VGG16 (7 x 7, 512 to 4096 channels, 16 x 16 places): 250 to 145 ms, in bf16 125 to 90.
"""

from __future__ import annotations

from fractions import Fraction

import torch

from .cook_toom import transforms
from .filtering import Around, Filtering, finish, seen_by

PLACES = 2  # of the top that a strip makes
SEGMENTS: dict[torch.dtype, tuple[tuple[int, str], ...]] = {  # of a row of the kernel: taps, points
    torch.float32: ((7, "0 1 -1 2 -2 1/2 -1/2"),), torch.bfloat16: ((4, "0 1 -1 2"), (3, "0 1 -1"))}
CHANNELS = 128  # from which the products outweigh the transforms
BLOCK = 512  # places of the top at a time
HAS_LINEAR = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def serves(weight: torch.Tensor, dtype: torch.dtype) -> bool:
    """Tell whether a weight (num_output, C, kh, kw), used in this type, can run in strips, and pays."""
    return (dtype in SEGMENTS and weight.shape[2:] == (7, 7) and min(weight.shape[:2]) >= CHANNELS
            and weight.device.type == "cpu" and HAS_LINEAR)


class Segment:
    """Some columns of a weight (num_output, C, kh, taps), `begin` columns right of the first, ready in a type."""

    def __init__(self, weight: torch.Tensor, begin: int, points: str, dtype: torch.dtype) -> None:
        num_output, channels, rows, taps = weight.shape
        to_weight, *others = transforms([Fraction(point) for point in points.split()], taps)
        self.begin, (self.to_bottom, self.to_top) = begin, (m.to(dtype) for m in others)
        by_point = [torch.empty(num_output, rows, channels, dtype=dtype) for _ in to_weight]
        for i in range(0, num_output, 32):  # so many stay in the cache
            columns = weight[i:i + 32].permute(3, 0, 2, 1)
            for values, made in zip(by_point, torch.mm(to_weight.float(), columns.reshape(taps, -1)), strict=True):
                values[i:i + 32].copy_(made.view(columns.shape[1:]))
        self.weights = []
        while by_point:  # each is let go as soon as it is packed
            self.weights.append(torch.ops.mkldnn._reorder_linear_weight(by_point.pop(0).flatten(1)))


class Stripped(Filtering):
    """7 x 7, by strips."""

    def __init__(self, weight: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__(weight.shape[1], weight.shape[0], dtype)
        self._taps, begin = weight.shape[2], 0
        self._segments = []
        for taps, points in SEGMENTS[dtype]:
            self._segments.append(Segment(weight[..., begin:begin + taps], begin, points, dtype))
            begin += taps

    def _rows(self, out_width):
        return -(-BLOCK // out_width)

    def _block(self, x, around, bias, relu, begin, out):
        rows, across, k = out.shape[0], -(-out.shape[1] // PLACES), self._num_output
        sums = torch.zeros(PLACES, rows * across * k, dtype=self._dtype)
        for segment in self._segments:
            products = self._products(segment, x, around, begin, rows, across)
            sums.addmm_(segment.to_top, products.view(len(segment.weights), -1))
        finish(sums.view(PLACES, rows, 1, across, k).permute(1, 2, 3, 0, 4), bias, relu, self._two_rooms(0)[0], out)

    def _products(self, segment: Segment, x: torch.Tensor, around: Around, begin: int, rows: int,
                  across: int) -> torch.Tensor:
        """Give the products at each point, (points, rows across, num_output), in one of the two rooms."""
        points, taps, c, k, n = len(segment.weights), self._taps, self._channels, self._num_output, rows * across
        height, width = rows + taps - 1, PLACES * across + taps - 1
        odd, even = self._two_rooms(max(height * width * c, points * height * across * c, points * n * taps * c,
                                        points * n * k))
        bottom = seen_by(begin, x, around, even[:height * width * c].view(height, width, c))[:, segment.begin:]
        strips = odd[:points * height * across * c].view(height, across, points, c)
        strips.copy_(bottom.as_strided(strips.shape, (width * c, PLACES * c, c, 1)))
        values = even[:strips.numel()].view(strips.shape)
        torch.bmm(segment.to_bottom.expand(height * across, -1, -1), strips.flatten(0, 1), out=values.flatten(0, 1))
        by_row, by_column, by_point, _ = values.stride()
        windows = odd[:points * n * taps * c].view(points, rows, across, taps, c)
        windows.copy_(values.as_strided(windows.shape, (by_point, by_row, by_column, by_row, 1)))
        products = even[:points * n * k].view(points, n, k)
        for product, window, weight in zip(products, windows, segment.weights, strict=True):
            product.copy_(torch.ops.mkldnn._linear_pointwise(window.view(n, -1), weight, None, "none", [], ""))
        return products

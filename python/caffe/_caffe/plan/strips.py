"""Convolutions with wide kernels by Winograd's minimal filtering along each row.

In, out: as of every way to convolve (filtering).
Not here: strides, groups, dilation; which convolutions run so (sliding).
Source: cook_toom. Eight points: F(2, 7) takes 8 products instead of 14. With points 0, +-1/2, +-1, +-2 and infinity the
largest error is 1.3e-6 of the largest value on random bottoms, of the direct sum 5e-7.
Why: measured on 2 cores: fc6 of VGG16 (7 x 7, 512 to 4096 channels, 16 x 16 places): 250 to 145 ms.
"""

from __future__ import annotations

from fractions import Fraction

import torch

from .cook_toom import transforms
from .filtering import Filtering, finish, seen_by

POINTS = tuple(Fraction(*p) for p in ((0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2)))
SEEN = len(POINTS) + 1  # places of the bottom that a strip sees
CHANNELS = 128  # from which the products outweigh the transforms
PLACES = 512  # of the top at a time
HAS_LINEAR = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def serves(weight: torch.Tensor, dtype: torch.dtype) -> bool:
    """Tell whether a weight (num_output, C, kh, kw), used in this type, can run in strips, and pays."""
    return (dtype == torch.float32 and weight.shape[2:] == (7, 7) and min(weight.shape[:2]) >= CHANNELS
            and weight.device.type == "cpu" and HAS_LINEAR)


class Stripped(Filtering):
    """Wide kernels, by strips."""

    def __init__(self, weight: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__(weight, dtype)
        self._taps, width = weight.shape[2:]
        self._places = SEEN + 1 - width  # of the top that a strip makes
        to_weight, self._to_bottom, self._to_top = (m.float() for m in transforms(POINTS, width))
        by_point = torch.empty(SEEN, self._num_output, self._taps, self._channels)
        for part, outputs in zip(by_point.split(32, 1), weight.split(32), strict=True):  # so many stay in the cache
            columns = outputs.permute(3, 0, 2, 1).reshape(width, -1)
            part.copy_(torch.mm(to_weight, columns).view(part.shape))
        self._weights = [torch.ops.mkldnn._reorder_linear_weight(w) for w in by_point.flatten(2)]

    def _rows(self, out_width):
        return -(-PLACES // out_width)

    def _block(self, x, around, bias, relu, begin, out):
        places, taps, c, k = self._places, self._taps, self._channels, self._num_output
        rows, across = out.shape[0], -(-out.shape[1] // places)
        height, width, n = rows + taps - 1, places * (across - 1) + SEEN, rows * across
        odd, even = self._two_rooms(SEEN * max(height * across * c, n * max(taps * c, k)))
        bottom = seen_by(begin, x, around, even[:height * width * c].view(height, width, c))
        strips = odd[:height * across * SEEN * c].view(height, across, SEEN, c)
        strips.copy_(bottom.as_strided(strips.shape, (width * c, places * c, c, 1)))
        values = even[:strips.numel()].view(strips.shape)
        torch.bmm(self._to_bottom.expand(height * across, -1, -1), strips.flatten(0, 1), out=values.flatten(0, 1))
        by_row, by_column, by_point, _ = values.stride()
        windows = odd[:SEEN * n * taps * c].view(SEEN, rows, across, taps, c)
        windows.copy_(values.as_strided(windows.shape, (by_point, by_row, by_column, by_row, 1)))
        products = even[:SEEN * n * k].view(SEEN, n, k)
        for product, window, weight in zip(products, windows, self._weights, strict=True):
            product.copy_(torch.ops.mkldnn._linear_pointwise(window.view(n, -1), weight, None, "none", [], ""))
        sums = odd[:places * n * k].view(places, rows, across, k)
        torch.mm(self._to_top, products.view(SEEN, -1), out=sums.view(places, -1))
        finish(sums.permute(1, 2, 0, 3).unsqueeze(1), bias, relu, even, out)

"""3 x 3 convolutions by Winograd's minimal filtering: fewer products for a tile of the top than places times nine.

In, out: as of every way to convolve (filtering).
Not here: strides, groups, dilation; which convolutions run so (sliding).
Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, section 4; cook_toom. float32:
F(4 x 4, 3 x 3), 36 products instead of 144; with points 0, +-3/4, +-3/2 and infinity the largest error, on random
bottoms, is 1.6e-6 of the largest value, with the usual 0, +-1, +-2 it is 7e-6, of the direct sum 2.5e-7. bf16:
F(2 x 2, 3 x 3), 16 instead of 36; its error is 0.4 % (root mean square), of the direct sum 0.25 %, of larger tiles 1 %.
Why: measured on 2 cores, float32, against the convolution kernel that runs at 0.22 TFLOP/s: 512 to 512 channels of
68 x 68: 101 to 48 ms, 256 of 130 x 130: 92 to 48 ms, 128 of 254 x 254: 88 to 56 ms, 64 of 504 x 504: 88 to 76 ms.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import torch

from .cook_toom import transforms
from .filtering import Around, Filtering, finish, seen_by

POINTS = {4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
          2: (Fraction(0), Fraction(1), Fraction(-1))}  # by the places of the top that a tile has along one axis
TILE = {torch.float32: 4, torch.bfloat16: 2}
CHANNELS = {torch.float32: 64, torch.bfloat16: 256}  # from which the products outweigh the transforms
LARGE = 1 << 16  # channels in times out, from which the usual kernel takes longer: it orders the weight first
LEAST = 1 << 26  # products of channels and places, below which the direct sum is done before the transforms are


def serves(weight: torch.Tensor, dtype: torch.dtype) -> bool:
    """Tell whether a weight (num_output, C, kh, kw), used in this type, can be tiled, and pays if the top is large."""
    return (dtype in TILE and weight.shape[2:] == (3, 3) and min(weight.shape[:2]) >= CHANNELS[dtype]
            and weight.device.type == "cpu")


class Tiled(Filtering):
    """3 x 3, by tiles.

    Args:
        weight: at each point, (points, C, num_output).
    """

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(weight.shape[1], weight.shape[2], weight.dtype)
        self._weight, self._tile = weight, TILE[weight.dtype]

    @classmethod
    def of(cls, weight: torch.Tensor, dtype: torch.dtype) -> Tiled:
        """Transform a weight (num_output, C, 3, 3), float32, that stays as it is."""
        return cls(at_points(weight, dtype).transpose(1, 2).contiguous().to(dtype))

    def pays(self, out_height, out_width):
        """Where the top or the weight is large enough."""
        work = self._channels * self._num_output
        return work >= LARGE or work * out_height * out_width >= LEAST

    def _rows(self, out_width):
        places = 4096 if self._channels < 128 else max(2048, 8 * self._channels)  # at a time
        return self._tile * -(-places // (self._tile * out_width))

    def _block(self, x, around, bias, relu, begin, out):
        tile, c, k = self._tile, self._channels, self._num_output
        points, down, across = (tile + 2)**2, tiles_of(out.shape[0], tile), tiles_of(out.shape[1], tile)
        n = down * across
        odd, even = self._two_rooms(points * n * max(c, k))
        values = values_at_points(x, around, begin, tile, down, across, odd, even)
        products = odd[:points * n * k].view(points, n, k)
        torch.bmm(values.transpose(0, 1), self._weight, out=products)
        sums = even[:tile * tile * n * k].view(tile, tile, down, across, k)
        torch.mm(matrices(tile, self._dtype)[2], products.view(points, -1), out=sums.view(tile * tile, -1))
        finish(sums.permute(2, 0, 3, 1, 4), bias, relu, odd, out)


def tiles_of(length: int, tile: int) -> int:
    """Give how many tiles a length takes."""
    return -(-length // tile)


def at_points(weight: torch.Tensor, dtype: torch.dtype, flipped: bool = False,
              out: torch.Tensor | None = None) -> torch.Tensor:
    """Transform a weight (num_output, C, 3, 3), float32, for a type's tiles: (points, num_output, C), float32."""
    to_weight = matrices(TILE[dtype], torch.float32)[0]
    made = torch.mm(to_weight.flip(1) if flipped else to_weight, weight.reshape(-1, 9).t(), out=out)
    return made.view(-1, *weight.shape[:2])


def values_at_points(x: torch.Tensor, around: Around, begin: int, tile: int, down: int, across: int,
                     odd: torch.Tensor, even: torch.Tensor) -> torch.Tensor:
    """Transform what tiles of the top from row `begin` on see of x (H, W, C): (tiles, points, C), in `even`."""
    c, seen, height, width = x.shape[2], tile + 2, tile * down + 2, tile * across + 2
    bottom = seen_by(begin, x, around, even[:height * width * c].view(height, width, c))
    tiles = odd[:down * across * seen * seen * c].view(down, across, seen, seen, c)
    tiles.copy_(bottom.as_strided(tiles.shape, (tile * width * c, tile * c, width * c, c, 1)))
    values = even[:tiles.numel()].view(down * across, seen * seen, c)
    to_bottom = matrices(tile, x.dtype)[1]
    return torch.bmm(to_bottom.expand(down * across, -1, -1), tiles.view(values.shape), out=values)


@functools.cache
def matrices(tile: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Give the transforms of weights (points, 9), of tiles of the bottom (points, points), to those of the top."""
    return tuple(torch.kron(m, m).to(dtype) for m in transforms(POINTS[tile], 3))

"""How kernels are cut into parts, and tops into tiles, for minimal filtering.

In:   a kernel's side; a type.
Out:  a Tiling: the side of a tile of the top, and for each part its transforms.
Not here: the transforms of one axis (cook_toom), the arithmetic (tiles).

Errors, root mean square, in bf16, where a direct sum has 0.24 %: 3 x 3 with the points below 0.67 %, with 0, +-1, 2
1.5 %; 7 x 7 in four parts 0.68 %. The points are such that bf16 holds the transforms exactly: with +-1/3, +-4/3 one
convolution's error is a little smaller, but that of a whole FCN-8s four times as large, being the same everywhere
(2.6 % of the scores' deviation as they are, 2.0 % with direct sums). float32, the largest error, of the largest value:
3 x 3 1.6e-6, with the usual points 0, +-1, +-2 7e-6, of the direct sum 2.5e-7; 7 x 7 2.3e-6.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import torch

from .cook_toom import transforms

FIVE, FOUR = "-1 -1/4 1/2 3/2", "0 1 -1"  # and infinity
SIX = "0 3/4 -3/4 3/2 -3/2"
Axis = tuple[int, tuple[tuple[int, str], ...]]  # places that a tile makes; taps and points of the parts of the kernel
_FOLDED: Axis = 1, ((1, ""),)  # the rows that a place sees count as channels; one point: a row is its own value
_TWO: Axis = 2, ((4, FIVE), (3, FOUR))
TILINGS: dict[tuple[int, torch.dtype], tuple[Axis, Axis]] = {  # by kernel's side and type: down, across
    (3, torch.float32): ((4, ((3, SIX),)),) * 2,
    (3, torch.bfloat16): ((3, ((3, FIVE),)),) * 2,
    (7, torch.float32): (_FOLDED, (2, ((7, "0 1 -1 2 -2 1/2 -1/2"),))),
    (7, torch.bfloat16): (_TWO, _TWO),
}
AT_ONCE = {torch.float32: 256, torch.bfloat16: 384}  # tiles: what they see and make fits in the caches
SMALL = {(3, torch.float32): ((2, ((3, FOUR),)),) * 2}  # fewer points: for small planes


class Part(NamedTuple):
    """Some rows and columns of a kernel."""

    rows: slice
    columns: slice
    points: slice  # of all the tiling's
    seen: tuple[int, int]  # rows and columns that a tile sees through this part
    to_weight: torch.Tensor  # (points, rows times columns), float32
    to_bottom: torch.Tensor  # (points, rows times columns seen)


class Tiling(NamedTuple):
    """A kernel in parts."""

    kernel: int
    folded: int  # rows of the kernel that count as channels
    tile: tuple[int, int]  # rows, columns
    at_once: int  # tiles of a block
    points: int
    parts: tuple[Part, ...]
    to_top: torch.Tensor  # (rows times columns of a tile, points)

    def tiles(self, height: int, width: int) -> tuple[int, int]:
        """Return how many tiles such a top takes, down and across."""
        return -(-height // self.tile[0]), -(-width // self.tile[1])


@functools.cache
def tiling_for(kernel: int, dtype: torch.dtype, small: bool = False) -> Tiling:
    """Return the tiling of a kernel of this side, with transforms in this type; small: with small tiles."""
    (tall, down), (wide, across) = (SMALL if small else TILINGS)[kernel, dtype]
    parts, tops, points = [], [], 0
    folded = kernel // sum(taps for taps, _ in down)
    for rows, *of_rows in _segments(down):
        for columns, *of_columns in _segments(across):
            weight, bottom, top = (torch.kron(a, b) for a, b in zip(of_rows, of_columns, strict=True))
            seen = of_rows[1].shape[1], of_columns[1].shape[1]
            parts.append(Part(rows, columns, slice(points, points + len(weight)), seen, weight.float(),
                              bottom.to(dtype)))
            tops.append(top)
            points += len(weight)
    at_once = AT_ONCE[dtype] * (2 if small else 1)
    return Tiling(kernel, folded, (tall, wide), at_once, points, tuple(parts), torch.cat(tops, 1).to(dtype))


def _segments(axis: tuple[tuple[int, str], ...]) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor, torch.Tensor]]:
    begin = 0
    for taps, points in axis:
        yield slice(begin, begin + taps), *transforms([Fraction(point) for point in points.split()], taps)
        begin += taps

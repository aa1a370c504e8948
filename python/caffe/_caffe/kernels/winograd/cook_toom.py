"""The transforms of Winograd's minimal filtering, after Cook and Toom.

In:   points, all different; taps of a filter. Infinity is one more point, and the last one.
Out:  matrices (points, taps) of filters, (points, seen) of what a tile sees, (places, points) to the tile's places.
Not here: who filters (tiles).
Source: Winograd, Arithmetic Complexity of Computations, 1980: a product of polynomials from its values at the points,
transposed. With p + 1 points, p + 2 - taps places take p + 1 products instead of that many times the taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch


def transforms(points: Sequence[Fraction], taps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return three matrices, float64: place j is the sum of top[j] (weight f) (bottom d), for filter f and seen d."""
    last, places = len(points), len(points) + 2 - taps
    weight, bottom, top = (torch.zeros(last + 1, n, dtype=torch.float64) for n in (taps, last + 1, places))
    for j, point in enumerate(points):
        others = [p for p in points if p != point]
        scale = Fraction(1)
        for p in others:
            scale *= point - p
        weight[j] = torch.tensor([float(point**i / scale) for i in range(taps)], dtype=torch.float64)
        bottom[j, :last] = _with_roots(others)
        top[j] = torch.tensor([float(point**i) for i in range(places)], dtype=torch.float64)
    weight[last, -1] = top[last, -1] = 1
    bottom[last] = _with_roots(points)
    balance = (weight.norm(dim=1) / bottom.norm(dim=1)).sqrt().log2().round().exp2()[:, None]  # powers of 2: exact
    return weight / balance, bottom * balance, top.t()


def _with_roots(roots: Sequence[Fraction]) -> torch.Tensor:
    """Return the coefficients, lowest first, of the polynomial with these roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        lower, higher = [-root * c for c in coefficients] + [Fraction(0)], [Fraction(0), *coefficients]
        coefficients = [a + b for a, b in zip(lower, higher, strict=True)]
    return torch.tensor([float(c) for c in coefficients], dtype=torch.float64)

"""Steps whose tops at a row and column depend on their bottoms there: ReLU, sums, channels scaled, joined and cut.

In, out: as every step (step).
Not here: windows (sliding), layers that run as they are (by_layer).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .. import common
from .reach import Reach, Span, inside, meet
from .space import LARGE, Space
from .step import Area, Place, Reaches, Run, Step, Tensors


class Pointwise(Step):
    """A step whose tops depend on their bottoms at the same place; its function is `compute`."""

    def lengths(self, below: Sequence[Sequence[int]], top: int) -> tuple[int, ...]:
        """Return the bottom's lengths."""
        return tuple(below[0])

    def reach(self, below: Sequence[Reaches]) -> Reaches | None:
        """Return where any bottom's image reaches; constant is what is constant in all of them."""
        if any(len(reaches) != len(below[0]) for reaches in below):
            return None
        axes = []
        for bottoms in zip(*below, strict=True):
            image = min(r.image[0] for r in bottoms), max(r.image[1] for r in bottoms)
            flat = max(r.flat[0] for r in bottoms), min(r.flat[1] for r in bottoms)
            flat = meet(flat, bottoms[0].whole)
            if not inside(image, flat):
                return None
            axes.append(Reach(bottoms[0].length, image, flat))
        return tuple(axes)

    def flat(self, below: Sequence[Sequence[Span]], lengths: Sequence[Sequence[int]]) -> Area:
        """Return where all bottoms are constant."""
        return tuple((max(0, *(s[0] for s in spans)), min(length, *(s[1] for s in spans)))
                     for spans, length in zip(zip(*below, strict=True), lengths[0], strict=True))

    def reads(self, area: Area, below: Sequence[Reaches]) -> list[Area]:
        """Return the same part of each bottom."""
        return [area] * len(below)

    def constant(self, below: Tensors) -> Tensors:
        """Compute on planes of a single place."""
        tops = self.compute(*(constant.view(1, -1, 1, 1) for constant in below))
        return [top.clamp_min(0).view(-1) if self.relu else top.reshape(-1) for top in tops]

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Compute the tops, in new memory unless the step shares memory; without the ReLU.

        Args:
            *bottoms: parts of them.
            space: where large tops may stand.
        """
        raise NotImplementedError

    def bind(self, place: Place) -> Run:
        """Return `compute`."""
        def run(*bottoms: torch.Tensor) -> Tensors:
            tops = self.compute(*bottoms, space=place.space)
            return [top.clamp_min_(0) for top in tops] if self.relu else tops
        return run


def _memory(space: Space | None, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> torch.Tensor | None:
    """Return memory for a large value; None: torch's own."""
    if space is None or len(shape) != 4 or math.prod(shape) * dtype.itemsize < LARGE or not common.on_host():
        return None
    return space.take(shape, dtype)


class Rectify(Pointwise):
    """ReLU, with or without a leak."""

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.bottoms, self.tops, self._slope = bottoms, tops, layer.negative_slope
        self.can_overwrite = self._slope == 0

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Return max(x, 0) + slope * min(x, 0)."""
        if self._slope == 0:
            return (bottoms[0].clamp_min(0),)
        return (torch.nn.functional.leaky_relu(bottoms[0], self._slope),)

    def bind(self, place: Place) -> Run:
        """Rectify in place where nobody else reads the bottom."""
        if place.may_overwrite:
            return lambda x: (x.clamp_min_(0),)
        return self.compute


class Sum(Pointwise):
    """Eltwise SUM, each bottom times its coefficient."""

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.bottoms, self.tops, self._coeff = bottoms, tops, layer.coeff
        self.can_overwrite = self._coeff[0] == 1

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Return the sum in float32."""
        x, y, *rest = (bottom.float() for bottom in bottoms)
        coeff = self._coeff
        total = torch.add(x if coeff[0] == 1 else x * coeff[0], y, alpha=coeff[1], out=_memory(space, x.shape))
        return (_add(total, rest, coeff[2:]),)

    def bind(self, place: Place) -> Run:
        """Add to the first bottom where nobody else reads it."""
        if not place.may_overwrite:
            return super().bind(place)

        def run(*bottoms: torch.Tensor) -> Tensors:
            if bottoms[0].dtype != torch.float32:
                total = self.compute(*bottoms, space=place.space)[0]
            else:
                total = _add(bottoms[0], [bottom.float() for bottom in bottoms[1:]], self._coeff[1:])
            return (total.clamp_min_(0) if self.relu else total,)
        return run


def _add(total: torch.Tensor, rest: Sequence[torch.Tensor], coeff: Sequence[float]) -> torch.Tensor:
    for x, c in zip(rest, coeff, strict=True):
        total.add_(x, alpha=c)
    return total


class Weigh(Pointwise):
    """Scale by a second bottom (N, C): each channel of each item times a number of its own."""

    can_overwrite = True
    has_constant = False

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.bottoms, self.tops = bottoms, tops

    def reach(self, below: Sequence[Reaches]) -> None:
        """Return None: what lies around the image has no constant, for each item has other factors."""

    def reads(self, area: Area, below: Sequence[Reaches]) -> list[Area]:
        """Return the same part of the first bottom; the factors have no spatial axes."""
        return [area, ()]

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Return x * factors."""
        x, factors = bottoms[0].float(), bottoms[1].float()
        return (torch.mul(x, factors.view(*factors.shape, 1, 1), out=_memory(space, x.shape)),)

    def bind(self, place: Place) -> Run:
        """Multiply the first bottom in place where nobody else reads it."""
        if not place.may_overwrite:
            return super().bind(place)

        def run(x: torch.Tensor, factors: torch.Tensor) -> Tensors:
            y = (x if x.dtype == torch.float32 else x.float()).mul_(factors.float().view(*factors.shape, 1, 1))
            return (y.clamp_min_(0) if self.relu else y,)
        return run


class Join(Pointwise):
    """Concat along the channels."""

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.bottoms, self.tops = bottoms, tops

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Return the bottoms behind one another."""
        if any(bottom.dtype != bottoms[0].dtype for bottom in bottoms):
            bottoms = tuple(bottom.float() for bottom in bottoms)
        shape = bottoms[0].shape[0], sum(bottom.shape[1] for bottom in bottoms), *bottoms[0].shape[2:]
        return (torch.cat(bottoms, 1, out=_memory(space, shape, bottoms[0].dtype)),)


class Cut(Pointwise):
    """Slice along the channels."""

    shares_memory = True

    def __init__(self, layer: Any, bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.bottoms, self.tops, self._layer = bottoms, tops, layer

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Return parts of the bottom's memory."""
        return bottoms[0].split(self._layer.lengths, 1)


class Affine(Pointwise):
    """BatchNorm with kept statistics, Scale and Bias in a row: each channel times a factor, plus an offset."""

    def __init__(self, layers: Sequence[Any], bottoms: tuple[int, ...], tops: tuple[int, ...]) -> None:
        self.layers, self.bottoms, self.tops = layers, bottoms, tops
        self._both: tuple[torch.Tensor | None, torch.Tensor | None] | None = None

    @property
    def packed(self) -> list[torch.Tensor]:
        """Factor and offset."""
        return [tensor for tensor in self._factor_and_offset() if tensor is not None]

    def pack(self) -> None:
        """Forget factor and offset."""
        self._both = None

    def _factor_and_offset(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if self._both is None:
            self._both = compose(self.layers)
        return self._both

    def compute(self, *bottoms: torch.Tensor, space: Space | None = None) -> Tensors:
        """Return x * factor + offset."""
        x = bottoms[0].float()
        out = _memory(space, x.shape)
        factor, offset = (None if t is None else t.view(-1, *[1] * (x.dim() - 2)) for t in self._factor_and_offset())
        if factor is None:
            return (x if offset is None else torch.add(x, offset, out=out),)
        return (torch.mul(x, factor, out=out) if offset is None else torch.addcmul(offset, x, factor, out=out),)


def compose(layers: Sequence[Any]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the factor and the offset (C) of layers in a row that each have a `channel_affine`."""
    factor = offset = None
    for layer in layers:
        f, o = layer.channel_affine()
        if f is not None:
            factor = f.clone() if factor is None else factor * f
            offset = None if offset is None else offset * f
        if o is not None:
            offset = o.clone() if offset is None else offset + o
    return factor, offset

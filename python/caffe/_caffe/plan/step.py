"""The interface of a step of a program.

In:   layers; the part of its tops that is wanted; parts of its bottoms.
Out:  that part of the tops, as tensors.
Not here: the steps themselves (sliding, pointwise, steps, by_layer), which part is wanted and what lies around it
      (program).

A value is a tensor with any number of axes; (N, C, H, W) has two spatial axes, and may be computed in part; any other
has none, and is computed whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..blob import Blob
from .reach import Reach, Span
from .space import Space

Area = tuple[Span, ...]  # of rows and columns; () for a value without spatial axes
Reaches = tuple[Reach, ...]
Tensors = Sequence[torch.Tensor]
Run = Callable[..., Tensors]


@dataclass
class Place:
    """What a step is to compute in one geometry."""

    area: Area  # of the tops
    below: list[Reaches]  # of the bottoms
    reads: list[Area]  # the parts of the bottoms that it gets
    may_overwrite: bool  # the first bottom: nobody reads it afterwards
    space: Space


class Step:
    """A layer, or several in a row, from values to values. Values are numbered (trace)."""

    bottoms: tuple[int, ...]
    tops: tuple[int, ...]
    layers: Sequence[Any] = ()  # whose parameters it reads
    relu = False  # ends in a ReLU
    shares_memory = False  # its tops may lie in the memory of its first bottom
    can_overwrite = False  # writes its top into the memory of its first bottom where it may
    is_whole = False  # its tops are computed whole
    has_constant = True  # knows flat and constant
    strides: tuple[int, ...] = (1, 1)  # of rows and columns
    prefers_copies = False  # copying a part with its surroundings costs less than computing more of its bottom
    checks: torch.Tensor | None = None  # of the last run: a sum that is not finite where Caffe's result may differ

    @property
    def parameters(self) -> list[Blob]:
        """The blobs that it reads besides its bottoms."""
        return [blob for layer in self.layers for blob in layer.blobs]

    @property
    def packed(self) -> list[torch.Tensor]:
        """What it derived from its parameters, and reads on every run."""
        return []

    def pack(self) -> None:
        """Forget what was derived from earlier parameters."""

    def lengths(self, below: Sequence[Sequence[int]], top: int) -> tuple[int, ...]:
        """Return the lengths of a top's spatial axes, for bottoms of these lengths."""
        raise NotImplementedError

    def reach(self, below: Sequence[Reaches]) -> Reaches | None:
        """Return how far the image reaches; None where that is not known, and all of the tops must be computed."""
        return None

    def flat(self, below: Sequence[Sequence[Span]], lengths: Sequence[Sequence[int]]) -> Area:
        """Return where the tops are constant, for bottoms that are constant there, with no image at all."""
        raise NotImplementedError

    def reads(self, area: Area, below: Sequence[Reaches]) -> list[Area]:
        """Return the parts of the bottoms that a part of the tops is computed from; within the bottoms."""
        return [tuple(r.whole for r in reaches) for reaches in below]

    def bind(self, place: Place) -> Run:
        """Return a function from parts of the bottoms to that part of the tops."""
        raise NotImplementedError

    def constant(self, below: Tensors) -> Tensors:
        """Return the constants (C,) of the tops, for those of the bottoms."""
        raise NotImplementedError

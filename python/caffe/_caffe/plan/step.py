"""What a step of a program is asked.

In:   a layer; the part of its top that is wanted; parts of its bottoms, by `fetch`.
Out:  that part of the top, a tensor (N, C, H, W).
Not here: the steps (sliding, steps), which part is wanted and what lies around it (program).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .reach import Reach, Span
from .space import Space

Area = tuple[Span, ...]  # rows, columns
Reaches = tuple[Reach, ...]
Fetch = Callable[[int, Area], torch.Tensor]


class Step:
    """What a step is asked. `below` and `above` number values, not blobs: a layer in place makes a new value."""

    layer: Any
    below: tuple[int, ...]
    above: int
    stride: int = 1  # the larger of the two
    has_constant = True  # knows flat and constant
    wide = False  # copying a part with its surroundings costs less than computing more of its bottom
    doubt: torch.Tensor | None = None  # a sum; if it is not finite, neither must be what the last run gave
    packed: torch.Tensor | None = None  # what it made of its weights on a GPU

    def pack(self) -> None:
        """Take the present weights."""

    def lengths(self, below: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """Height and width of the top, for bottoms of these."""
        raise NotImplementedError

    def reach(self, below: Sequence[Reaches]) -> Reaches | None:
        """How far the image reaches; None: no telling, all of the top is to be computed."""
        return None

    def flat(self, below: Sequence[Sequence[Span]], lengths: Sequence[Sequence[int]]) -> Area:
        """Where the top is constant, for bottoms that are constant there and no image at all."""
        raise NotImplementedError

    def reads(self, area: Area, below: Sequence[Reaches]) -> list[Area]:
        """The parts of the bottoms that a part of the top is computed from; within the bottoms."""
        raise NotImplementedError

    def run(self, area: Area, below: Sequence[Reaches], fetch: Fetch, space: Space) -> torch.Tensor:
        """Compute a part of the top."""
        raise NotImplementedError

    def constant(self, below: Sequence[torch.Tensor]) -> torch.Tensor:
        """The constant (C,) of the top, for those of the bottoms."""
        raise NotImplementedError

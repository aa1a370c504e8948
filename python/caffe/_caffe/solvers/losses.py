"""Losses of a training, kept where they were computed until somebody reads them; then Caffe's smoothed loss.

In:   of each iteration and pass, the weighted losses: numbers, or scalars on a device.
Out:  the smoothed loss, with the sums in Caffe's order, whenever somebody asks.
Not here: when to ask (solver), what a loss that is not finite means (not_finite).
Source: BVLC solver.cpp, UpdateSmoothedLoss.
Reading waits until a device has finished all its work. So iterations are queued, and fetched together.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import torch

MOST_WAITING = 256  # iterations after which they are fetched unasked

Loss = float | torch.Tensor


class _Iteration(NamedTuple):
    passes: Sequence[Sequence[Loss]]
    number: int
    start: int


class Losses:
    """The losses of a solver's iterations; the smoothed one is the mean of the last `average_loss`."""

    def __init__(self, average_loss: int) -> None:
        self.smoothed = 0.0  # without those waiting
        self._average = average_loss
        self._last: list[float] = []
        self._waiting: list[_Iteration | None] = []  # None: start again

    @property
    def many(self) -> bool:
        """Whether so many are waiting that they should be fetched."""
        return len(self._waiting) >= MOST_WAITING

    def begin(self) -> None:
        """Start again: earlier losses no longer count."""
        if self._waiting:
            self._waiting.append(None)
        else:
            self._forget()

    def add(self, passes: Sequence[Sequence[Loss]], number: int, start: int) -> None:
        """Take the losses of the passes of iteration `number`; `start` is the iteration of the last `begin`."""
        self._waiting.append(_Iteration(passes, number, start))
        if len(self._waiting) == 1 and not _scalars(self._waiting):
            self.fetch()

    def fetch(self) -> list[tuple[int, float]]:
        """Turn all that are waiting into numbers, in one transfer; return (iteration, loss) of each pass."""
        waiting, self._waiting = self._waiting, []
        scalars = _scalars(waiting)
        values = iter(torch.stack([one.to(scalars[0].device) for one in scalars]).tolist() if scalars else [])
        found = []
        for one in waiting:
            if one is None:
                self._forget()
                continue
            passes = [sum((next(values) if isinstance(loss, torch.Tensor) else loss for loss in losses), 0.0)
                      for losses in one.passes]
            self._update(passes, one)
            found += [(one.number, loss) for loss in passes]
        return found

    def _forget(self) -> None:
        self._last.clear()  # Caffe: the smoothed loss starts again with every call of step
        self.smoothed = 0.0

    def _update(self, passes: list[float], one: _Iteration) -> None:
        loss = functools.reduce(operator.add, passes) / len(passes)  # sum() of newer Pythons does more than add
        if len(self._last) < self._average:
            self._last.append(loss)
            size = len(self._last)
            self.smoothed = (self.smoothed * (size - 1) + loss) / size
        else:
            index = (one.number - one.start) % self._average
            self.smoothed += (loss - self._last[index]) / self._average
            self._last[index] = loss


def _scalars(waiting: Sequence[_Iteration | None]) -> list[torch.Tensor]:
    return [loss for one in waiting if one is not None for losses in one.passes for loss in losses
            if isinstance(loss, torch.Tensor)]

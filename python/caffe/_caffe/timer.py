"""Timer: how long something took, on the CPU or until the GPU has finished it. Source: BVLC benchmark.cpp."""

from __future__ import annotations

import time

import torch

from . import common, log


class Timer:
    """A stopwatch: `start()`, `stop()`, then `ms`; each start begins again from 0."""

    def __init__(self) -> None:
        self._running = False
        self._began = 0.0
        self._elapsed: float | None = None

    def start(self) -> None:
        """Start counting, unless it is already running."""
        if not self._running:
            self._began = _now()
            self._running = True

    def stop(self) -> None:
        """Stop counting, if it is running."""
        if self._running:
            self._elapsed = _now() - self._began
            self._running = False

    @property
    def ms(self) -> float:
        """Milliseconds from start to stop; stops it if still running; 0 if it never ran."""
        self.stop()
        if self._elapsed is None:
            log.warning("Timer has never been run before reading time.", "benchmark.cpp:63")
            return 0.0
        return 1000 * self._elapsed


def _now() -> float:
    if common.device() is not common.CPU:
        torch.cuda.synchronize(common.device())
    return time.perf_counter()

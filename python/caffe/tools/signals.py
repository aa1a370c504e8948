"""Signals as requests to a solver: Ctrl-C stops it with a snapshot, SIGHUP makes a snapshot.

In:   what SIGINT and SIGHUP are to do.
Out:  a function that a solver asks after each iteration (Solver.set_action_function).
Not here: what the solver does about it.   Source: BVLC util/signal_handler.cpp.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from .._caffe.solvers.solver import NONE, SNAPSHOT, STOP

ACTIONS = {"stop": STOP, "snapshot": SNAPSHOT, "none": NONE}


class SignalActions:
    """What signals have requested and is not yet done."""

    def __init__(self, sigint: str, sighup: str) -> None:
        for flag, effect in (("sigint_effect", sigint), ("sighup_effect", sighup)):
            if effect not in ACTIONS:
                raise ValueError(f"Invalid signal effect \"{effect}\" was specified (-{flag}); want "
                                 f"{', '.join(ACTIONS)}")
        # Windows has no SIGHUP.
        self._effects = {number: ACTIONS[effect] for name, effect in (("SIGINT", sigint), ("SIGHUP", sighup))
                         if (number := getattr(signal, name, None)) is not None}
        self._got: dict[int, bool] = dict.fromkeys(self._effects, False)

    def requested(self) -> str:
        """Return the next request, or NONE; each signal counts once."""
        for number, effect in self._effects.items():
            if self._got[number]:
                self._got[number] = False
                return effect
        return NONE

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals within the block, and restore them afterwards."""
        before = {number: signal.signal(number, self._take) for number in self._effects}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: object) -> None:
        self._got[number] = True

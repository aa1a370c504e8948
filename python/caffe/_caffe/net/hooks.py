"""Functions that a script wants called around each layer of a pass.

In:   functions of a layer's index, or an NCCL.
Out:  Hooks, a callable list that accepts nothing else.
Not here: when they are called (net).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hooks(list[Callable[[int], Any]]):
    """Functions to be called at one moment of each layer's turn."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self._moment = moment

    def add(self, function: Any) -> None:
        """Add a function of the layer's index, or an object with one named `run` (NCCL).

        Raises:
            TypeError: it cannot be called.
        """
        found = function if callable(function) else getattr(function, "run", None)
        if not callable(found):
            raise TypeError(f"net.{self._moment}: got {function!r}, want a function of the layer's index")
        self.append(found)

    def __call__(self, layer_id: int) -> None:
        for hook in self:
            hook(layer_id)

"""Which operations are needed for some values, and which run together as one step.

In:   operations in order; the values that are wanted.
Out:  steps in order.
Not here: how steps compute (kinds, step), the order and memory of a run (program).

A convolution absorbs the layers after it that scale its channels, and the ReLU after those; any step with tops of
its own absorbs a ReLU. Nothing else may need the values in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..blob import Blob
from .kinds import step_of
from .step import Step
from .trace import IN_PLACE, Operation


class Fuser:
    """Makes steps from operations, each once, so that programs for different values share them."""

    def __init__(self, operations: Sequence[Operation], sources: dict[int, Blob]) -> None:
        self._operations, self._sources = operations, sources
        self._steps: dict[tuple[int, ...], Step] = {}

    def steps_for(self, wanted: Iterable[int]) -> list[Step]:
        """Return the steps that compute these values."""
        needed = self._needed(wanted)
        readers = Counter(value for operation in needed for value in operation.bottoms)
        kept = set(wanted)
        reader = {value: operation for operation in needed for value in operation.bottoms}
        steps: list[Step] = []
        done: set[int] = set()
        for operation in needed:
            if id(operation) in done:
                continue
            chain = [operation]
            while (following := self._follower(chain, kept, readers, reader)) is not None:
                chain.append(following)
            done.update(id(one) for one in chain)
            steps.append(self._step(chain))
        return steps

    def all_steps(self) -> list[Step]:
        """Return all steps made so far."""
        return list(self._steps.values())

    def _needed(self, wanted: Iterable[int]) -> list[Operation]:
        values, found = set(wanted), []
        for operation in reversed(self._operations):
            if not values.isdisjoint(operation.tops):
                values.update(operation.bottoms)
                found.append(operation)
        return found[::-1]

    @staticmethod
    def _follower(chain: list[Operation], kept: set[int], readers: Counter[int],
                  reader: dict[int, Operation]) -> Operation | None:
        """Return the operation that the chain can absorb after its last one."""
        last = chain[-1]
        if len(last.tops) != 1 or last.tops[0] in kept or readers[last.tops[0]] != 1 or _is_plain_relu(last):
            return None
        following = reader[last.tops[0]]
        if following.kind == "affine" and chain[0].kind in ("convolution", "affine"):
            return following
        ends_in_memory_of_its_own = last.kind not in (*IN_PLACE, "relu")
        return following if _is_plain_relu(following) and ends_in_memory_of_its_own else None

    def _step(self, chain: list[Operation]) -> Step:
        key = tuple(id(operation) for operation in chain)
        if key not in self._steps:
            relu = len(chain) > 1 and _is_plain_relu(chain[-1])
            step = step_of(chain[:-1] if relu else chain, self._sources)
            step.relu, step.tops = relu, chain[-1].tops
            self._steps[key] = step
        return self._steps[key]


def _is_plain_relu(operation: Operation) -> bool:
    return (operation.kind == "relu" and operation.node is not None
            and operation.node.layer.negative_slope == 0)  # type: ignore[attr-defined]

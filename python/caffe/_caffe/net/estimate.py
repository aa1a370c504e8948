"""The memory that a net will take, estimated while it is built, before it is allocated.

In:   a net's wiring, layer by layer.
Out:  OutOfMemory with the estimate, the largest blobs and the remedy.
Not here: what is available (memory).
A blob's memory is allocated when it is first touched, and parameters are filled while a net is built; so the estimate
counts what has been built so far after every layer, and gradients at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import memory
from ..errors import OutOfMemory

if TYPE_CHECKING:
    from .wiring import Wiring


class Estimate:
    """The bytes of a net's blobs, layer by layer."""

    def __init__(self) -> None:
        self._room = memory.available()
        self._taken: dict[int, tuple[int, str]] = {}  # by memory: bytes, what it is
        self._total = 0

    def add(self, wiring: Wiring) -> None:
        """Count the last layer's tops and parameters.

        Raises:
            OutOfMemory: the net so far takes more than there is.
        """
        node = wiring.nodes[-1]
        layer = node.layer
        blobs = [(blob, f"top '{name}' of layer")
                 for blob, name in zip(node.tops, wiring.names_of(node.top_ids), strict=True)]
        for blob, what in [*blobs, *((blob, f"parameter {i} of layer") for i, blob in enumerate(layer.blobs))]:
            self._count(id(blob._data), blob.count, f"{what} '{layer.name}' {blob.shape}")
        self._judge(f"the net's blobs take {{}} up to layer '{layer.name}'")

    def add_gradients(self, wiring: Wiring) -> None:
        """Count what backward will need.

        Raises:
            OutOfMemory: the net with its gradients takes more than there is.
        """
        for node in wiring.nodes:
            for blob, name, needed in zip(node.bottoms, wiring.names_of(node.bottom_ids), node.bottom_need_backward,
                                          strict=True):
                if node.need_backward and needed:
                    self._count(id(blob._diff), blob.count, f"gradient of '{name}' {blob.shape}")
        if any(node.need_backward for node in wiring.nodes):
            for i, learnable in enumerate(wiring.learnables):
                blob = learnable.blob
                self._count(id(blob._diff), blob.count, f"gradient of parameter {i} {blob.shape}")
        self._judge("the net's blobs take {} with their gradients")

    def _count(self, key: int, count: int, what: str) -> None:
        if key not in self._taken:
            self._taken[key] = 4 * count, what
            self._total += 4 * count

    def _judge(self, words: str) -> None:
        if self._room is None or self._total <= self._room:
            return
        largest = sorted(self._taken.values(), reverse=True)[:3]
        listed = ", ".join(f"{what} {memory.gigabytes(size)}" for size, what in largest)
        raise OutOfMemory(f"{words.format(memory.gigabytes(self._total))}; available are "
                          f"{memory.gigabytes(self._room)}. Largest: {listed}. {memory.remedy()}")

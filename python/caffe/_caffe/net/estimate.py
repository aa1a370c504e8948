"""The memory that a net will take, estimated while it is built, before it is allocated.

In:   a net's wiring, layer by layer.
Out:  OutOfMemory with the estimate, the largest blobs and the remedy.
Not here: what is available (memory).
A blob's memory is allocated when it is first touched, and parameters are filled while a net is built; so the estimate
counts what has been built so far after every layer, and gradients at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import memory
from ..errors import OutOfMemory

if TYPE_CHECKING:
    from ..blob import Blob
    from ..syncedmem import SyncedMemory
    from .wiring import Wiring


class Estimate:
    """The bytes of a net's blobs, layer by layer."""

    def __init__(self) -> None:
        self._room = memory.available()
        self._taken: dict[SyncedMemory, tuple[int, str, tuple]] = {}  # bytes, a description, its names
        self._total = 0

    def add(self, wiring: Wiring) -> None:
        """Count the last layer's tops and parameters.

        Raises:
            OutOfMemory: the net so far takes more than is available.
        """
        node = wiring.nodes[-1]
        for blob, blob_id in zip(node.tops, node.top_ids, strict=True):
            self._count(blob, blob._data, "top '{}' of layer '{}' {}", wiring.named_blobs[blob_id].name, node.name)
        for i, blob in enumerate(node.layer.blobs):
            self._count(blob, blob._data, "parameter {} of layer '{}' {}", i, node.name)
        self._judge("up to layer '{}'", node.name)

    def add_gradients(self, wiring: Wiring) -> None:
        """Count what backward will need.

        Raises:
            OutOfMemory: the net with its gradients takes more than is available.
        """
        running = [node for node in wiring.nodes if node.need_backward]
        for node in running:
            for blob, blob_id, needed in zip(node.bottoms, node.bottom_ids, node.bottom_need_backward, strict=True):
                if needed:
                    self._count(blob, blob._diff, "gradient of '{}' {}", wiring.named_blobs[blob_id].name)
        if running:
            for i, learnable in enumerate(wiring.learnables):
                self._count(learnable.blob, learnable.blob._diff, "gradient of parameter {} {}", i)
        self._judge("with their gradients")

    def _count(self, blob: Blob, values: SyncedMemory, what: str, *names: Any) -> None:
        if values not in self._taken:
            size = 4 * blob.count
            self._taken[values] = size, what, (*names, blob.shape)
            self._total += size

    def _judge(self, until: str, *names: str) -> None:
        if self._room is None or self._total <= self._room:
            return
        largest = sorted(self._taken.values(), key=lambda one: one[0], reverse=True)[:3]
        listed = ", ".join(f"{what.format(*names)} {memory.gigabytes(size)}" for size, what, names in largest)
        raise OutOfMemory(f"the net's blobs take {memory.gigabytes(self._total)} {until.format(*names)}; available are "
                          f"{memory.gigabytes(self._room)}. Largest: {listed}. {memory.remedy()}")

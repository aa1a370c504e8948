"""What a pass computes, as values: every write to a blob makes a new value.

In:   a net's nodes, whose blobs have the shapes of the pass.
Out:  a Trace: operations in order, each from values to values; which value each memory holds at the end.
Not here: how operations are computed (steps), which of them run together (fuse).

Blobs may share memory (Split, Reshape, Flatten), and layers may write the memory they read (in place). Here
both are resolved: an operation reads the values that its bottoms' memories hold at its turn, and what it writes are new
values. Nothing that runs later can change them, so operations may be reordered or left out freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..blob import Blob

if TYPE_CHECKING:
    from ..net.wiring import Node


VIEW = "view"  # the kind of an operation that shows a value in another shape
IN_PLACE = (VIEW, "crop", "slice")  # kinds whose tops lie in the memory of the first bottom


@dataclass(frozen=True, eq=False)
class Operation:
    """A layer's turn, or a value seen in the shape of a blob that shares its memory."""

    kind: str
    bottoms: tuple[int, ...]  # values
    tops: tuple[int, ...]
    node: Node | None = None
    shape_of: Blob | None = None


@dataclass
class _Held:
    """What a memory holds: a value, in the shape of these blobs; and in which others it has been read."""

    value: int
    blobs: list[Blob]
    views: list[tuple[Blob, int]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Ending:
    """The value that a memory holds at the end, and the blob through which it was written."""

    value: int
    blob: Blob


@dataclass
class Trace:
    """A pass. Values are numbered in the order in which they are made, those of the sources first."""

    operations: list[Operation] = field(default_factory=list)
    sources: dict[int, Blob] = field(default_factory=dict)  # by value
    endings: list[Ending] = field(default_factory=list)  # of the memories that layers with bottoms write
    losses: list[tuple[int, Blob]] = field(default_factory=list)  # a value, and the blob whose diff is its weight

    def in_memory_of_sources(self) -> set[int]:
        """Return the values that may lie in the memory of a source, where they are lost when it is overwritten."""
        found = set(self.sources)
        for operation in self.operations:
            if operation.kind in IN_PLACE and operation.bottoms[0] in found:
                found.update(operation.tops)
        return found


def signature(nodes: Sequence[Node], blobs: Sequence[Blob]) -> tuple:
    """Return what a trace depends on: which blobs share memory, numbers of axes, kinds of operations."""
    first: dict[int, int] = {}
    memories = tuple((first.setdefault(id(blob._data), i), len(blob.shape)) for i, blob in enumerate(blobs))
    return memories, tuple(node.layer.plan_step(node.bottoms, node.tops) for node in nodes if not node.is_source)


def trace(nodes: Sequence[Node]) -> Trace:
    """Follow a pass through all layers, first to last."""
    return _Tracer().run(nodes)


class _Tracer:
    def __init__(self) -> None:
        self._trace = Trace()
        self._held: dict[int, _Held] = {}  # by memory
        self._values = 0

    def run(self, nodes: Sequence[Node]) -> Trace:
        for node in nodes:  # sources run before all others
            if node.is_source:
                for blob in node.tops:
                    self._trace.sources[self._write(blob)] = blob
        for node in nodes:
            if not node.is_source:
                self._layer(node)
                self._trace.losses += [(self._read(blob), blob) for blob, weight in zip(
                    node.tops, node.layer.loss_weights, strict=True) if weight != 0]
        in_place = {id(blob._data): value for value, blob in self._trace.sources.items()}
        self._trace.endings = [Ending(held.value, held.blobs[0]) for memory, held in self._held.items()
                               if in_place.get(memory) != held.value]
        return self._trace

    def _layer(self, node: Node) -> None:
        kind = node.layer.plan_step(node.bottoms, node.tops)
        if kind == "none":
            return
        bottoms = tuple(self._read(blob) for blob in node.bottoms)
        if kind == "same":
            for blob in node.tops:
                self._hand_on(bottoms[0], blob)
            return
        tops = tuple(self._write(blob) for blob in node.tops)
        self._trace.operations.append(Operation(kind, bottoms, tops, node))

    def _new(self) -> int:
        self._values += 1
        return self._values - 1

    def _write(self, blob: Blob) -> int:
        value = self._new()
        self._held[id(blob._data)] = _Held(value, [blob])
        return value

    def _hand_on(self, value: int, blob: Blob) -> None:
        """Let a blob hold a value that another holds, in the same shape."""
        held = self._held.get(id(blob._data))
        if held is not None and held.value == value:
            held.blobs.append(blob)
        elif held is None or all(value != number for _, number in held.views):
            self._held[id(blob._data)] = _Held(value, [blob])
        else:  # the same memory, seen in another shape
            held.views.append((blob, value))

    def _read(self, blob: Blob) -> int:
        """Return the value that a blob's memory holds, in the blob's shape."""
        held = self._held[id(blob._data)]
        if any(one is blob for one in held.blobs):
            return held.value
        for one, value in held.views:
            if one is blob:
                return value
        seen = self._new()
        self._trace.operations.append(Operation(VIEW, (held.value,), (seen,), shape_of=blob))
        held.views.append((blob, seen))
        return seen

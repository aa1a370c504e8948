"""What a surgery did to a net: a list of operations that can be printed and counted.

In:   one operation after the other, as a surgery plans it.
Out:  Report, whose lines begin as the release's did: dropping, copying, coercing.
Not here: any change of a net.   Source: surgery.py of the FCN release (the three words).
"""

from __future__ import annotations

from dataclasses import dataclass, field

Shape = tuple[int, ...]


class SurgeryError(ValueError):
    """Parameters of one net cannot go into another as asked."""


@dataclass(frozen=True)
class Operation:
    """One thing that was done to one parameter blob, or to a whole layer where `index` is None."""

    kind: str                       # dropping, copying, coercing, expanding, filling, keeping
    layer: str                      # in the source net; where there is none, in the changed net
    index: int | None = None     # 0 weights, 1 bias
    new_layer: str = ""
    shape: Shape = ()
    new_shape: Shape = ()
    note: str = ""

    def __str__(self) -> str:
        """Write the operation as one line."""
        words = [self.kind, self.layer]
        if self.index is not None:
            words.append(str(self.index))
        if self.new_layer:
            words += ["->", self.new_layer]
        if self.shape and self.new_shape and self.shape != self.new_shape:
            words += ["from", str(self.shape), "to", str(self.new_shape)]
        return " ".join(words) + (f" ({self.note})" if self.note else "")


@dataclass
class Report:
    """The operations of one surgery, in the order of the nets' layers."""

    operations: list[Operation] = field(default_factory=list)

    def of(self, kind: str) -> list[Operation]:
        """Return the operations of one kind, for instance `coercing`."""
        return [operation for operation in self.operations if operation.kind == kind]

    @property
    def copied(self) -> list[Operation]:
        """Blobs that went over with their shape."""
        return self.of("copying")

    @property
    def coerced(self) -> list[Operation]:
        """Blobs that went over into another shape of the same count."""
        return self.of("coercing")

    @property
    def dropped(self) -> list[Operation]:
        """Layers and blobs of the source that have no place in the new net."""
        return self.of("dropping")

    @property
    def kept(self) -> list[Operation]:
        """Layers of the new net that the source has nothing for; they stay as they were."""
        return self.of("keeping")

    def __str__(self) -> str:
        """Write one line an operation."""
        return "\n".join(str(operation) for operation in self.operations)

    def summary(self) -> str:
        """Count the operations by kind, in one line."""
        kinds = list(dict.fromkeys(operation.kind for operation in self.operations))
        return ", ".join(f"{kind} {len(self.of(kind))}" for kind in kinds) or "nothing to do"

"""The parameters of a net as its last pass read them, whoever writes to them since.

In:   the parameters' memories, which announce changes; views of them that scripts hold, which do not.
Out:  which have changed since the last pass; for a while, the values of that pass back in their places.
Not here: what depends on them (program, plan).

A memory announces that values will be written or a view for writing handed out (`before_change`): then those of the
last pass are copied, if they may still be wanted. While a script holds a view, values are compared with a copy before
each pass. On a GPU a script's view is of the host's copy: it counts when the script asks for the blob again, as in
Caffe; a tensor of the device that a script holds is compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch

from .. import common
from ..blob import Blob
from ..syncedmem import SyncedMemory


class Weights:
    """Watches the parameters of a net."""

    def __init__(self) -> None:
        self._blobs: list[Blob] = []
        self._memories: list[SyncedMemory] = []
        self._present: list[tuple[SyncedMemory, tuple[int, ...]]] = []  # memory and shape of each blob
        self._places = self._present  # the same at the last pass
        self._changed: set[int] = set()  # ids of memories, since `settle`
        self._suspects: dict[int, SyncedMemory] = {}  # that a script may hold a view of
        self._copies: dict[int, torch.Tensor] = {}  # values at the last pass, of those that a script holds a view of
        self._saved: dict[int, torch.Tensor] = {}  # values at the last pass, of others that have changed since
        self._keeps = False  # whether values of the last pass may still be wanted

    def watch(self, blobs: Sequence[Blob]) -> bool:
        """Watch the memories of these blobs; return whether they differ from those before.

        To be called when the shape version has changed, which no blob's memory or shape does without.
        """
        self._blobs = list(blobs)
        self._present = [blob.place() for blob in blobs]
        memories = list({id(memory): memory for memory, _ in self._present}.values())
        if [id(memory) for memory in memories] == [id(memory) for memory in self._memories]:
            return False
        for memory in self._memories:
            memory.forget_observer(self)
        for memory in memories:
            memory.add_observer(self)
        self._memories = memories
        self._suspects = {id(memory): memory for memory in memories}
        self._changed = set(self._suspects)
        return True

    def before_change(self, memory: SyncedMemory) -> None:
        """Note that values are about to be written, or may be from now on."""
        key = id(memory)
        if self._keeps and key not in self._copies and key not in self._saved:
            self._saved[key] = memory.read().clone()
        self._changed.add(key)
        self._suspects[key] = memory

    def changed(self) -> set[int]:
        """Return the ids of the memories whose values may have changed since `settle`."""
        if not self._suspects:
            return self._changed
        for key, memory in self._suspects.items():
            copy = self._copies.get(key)
            if copy is not None and not torch.equal(copy, memory.read()):
                self._changed.add(key)
        return self._changed

    def settle(self) -> None:
        """Take the current values as those of the last pass, which may be wanted once they have changed."""
        self._saved.clear()
        self._keeps = True
        self._places = self._present
        held = {key: memory for key, memory in self._suspects.items() if _may_change_unseen(memory)}
        self._copies = {key: self._copies[key] if key in self._copies and key not in self._changed
                        else memory.read().clone() for key, memory in held.items()}
        self._suspects = held
        self._changed = set()

    def keep_nothing(self) -> None:
        """Stop keeping values of the last pass."""
        self._saved.clear()
        self._keeps = False

    @contextlib.contextmanager
    def of_last_pass(self) -> Iterator[None]:
        """Put the values of the last pass in their places, and the current ones back afterwards."""
        now: list[tuple[torch.Tensor, torch.Tensor]] = []
        places = [blob.place() for blob in self._blobs]  # another net may have shared its weights since
        memories = list({id(memory): memory for memory, _ in self._places}.values())
        try:
            for blob, then_at in zip(self._blobs, self._places, strict=True):
                blob.put(*then_at)
            for memory in memories:
                then = self._copies.get(id(memory), self._saved.get(id(memory)))
                if then is not None:
                    values = memory.read()
                    now.append((values, values.clone()))
                    values.copy_(then)
                    memory.version += 1
            yield
        finally:
            for values, present in now:
                values.copy_(present)
            for memory in memories:
                memory.version += 1
            for blob, place in zip(self._blobs, places, strict=True):
                blob.put(*place)


def _may_change_unseen(memory: SyncedMemory) -> bool:
    """Whether a script holds a view of what layers read; on a GPU that is only the device's tensor."""
    return memory.is_watched() if common.on_host() else memory.is_held

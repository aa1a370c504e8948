"""A value computed from a blob, and computed again only when somebody may have changed the blob.

In:   a blob, and how to find the answer; on a device that takes a read by the host, which waits for all earlier work.
Out:  the answer.
Not here: what is asked (layers, sgd_solver).
Why the memory's version is enough on a device: a script's view of the host writes there unseen, but its values come to
the device only in a later read, and only after `host`, `edit` or `write`, each of which makes a new version. A script
that has the device's tensor itself can write unseen; then the answer is looked for each time, as on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from . import common
from .blob import Blob

Answer = TypeVar("Answer")


class Cached(Generic[Answer]):
    """The answer to one question about the latest blob it was asked of."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()

    def of(self, blob: Blob, ask: Callable[[], Answer]) -> Answer:
        """Return the answer, from `ask` where it is not known."""
        device = common.device()
        if device is common.CPU or blob._data.is_held:
            return ask()
        key = blob._data, blob._data.version, blob.shape, device
        if key != self._key:
            self._answer, self._key = ask(), key
        return self._answer

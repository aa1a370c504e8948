"""Prefetch: batches made by a thread ahead of their use, in the order in which they are used.

In:   a function that makes the next batch; how many may wait.
Out:  `get`, which returns them one by one and raises what making one raised; after a fork in parent and child alike.
Not here: what a batch is (layers/).   Source: BVLC base_data_layer.cpp (InternalThreadEntry).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .. import forks
from ..errors import CaffeError

Batch = TypeVar("Batch")


class Prefetch(Generic[Batch]):
    """Calls `load` in a thread of its own, again and again, until it fails or this object is released.

    Args:
        load: makes a batch; must not refer to this object's owner, or neither is ever released.
        depth: how many batches may wait, at least 1.
    """

    def __init__(self, load: Callable[[], Batch], depth: int) -> None:
        self._shelf: _Shelf[Batch] = _Shelf(load, depth)
        self._failed: Exception | None = None
        self.close = weakref.finalize(self, self._shelf.end)
        self.close.atexit = False  # the thread is a daemon

    def get(self) -> Batch:
        """Return the next batch, waiting for it; after a failure, raise that again and again."""
        item = self._failed or self._shelf.take()
        if isinstance(item, Exception):
            self._failed = item
            raise item
        return item


class _Shelf(Generic[Batch]):
    """Batches that are ready, and the thread that makes them: all that the two sides share."""

    def __init__(self, load: Callable[[], Batch], depth: int) -> None:
        self._load, self._depth = load, depth
        self._ready: deque[Batch | Exception] = deque()
        self._ended = False
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._making: Any = forks.work_lock()  # so that a child finds `load` between two batches and loses none
        threading.Thread(target=self._fill, daemon=True, name="prefetch").start()

    def _fill(self) -> None:
        item: Any = None
        while not isinstance(item, Exception):
            with self._changed:
                self._changed.wait_for(lambda: len(self._ready) < self._depth or self._ended)
                if self._ended:
                    return
            with self._making:
                try:
                    item = self._load()
                except Exception as problem:
                    item = problem
                self._ready.append(item)
            with self._changed:
                self._changed.notify_all()

    def take(self) -> Batch | Exception:
        """Return the next batch, or what making it raised."""
        if self._process != os.getpid():
            self._start_in_child()
        with self._changed:
            self._changed.wait_for(lambda: self._ready)
            item = self._ready.popleft()
            self._changed.notify_all()
        return item

    def _start_in_child(self) -> None:
        """Continue where the parent's thread, which a fork leaves behind, was."""
        cut = forks.is_torn(self._making)
        if cut and not (self._ready and isinstance(self._ready[-1], Exception)):
            self._ready.append(CaffeError(f"a batch took longer than the {forks.WAIT:g} s that a fork waits for it, so "
                                          "this child process cannot continue reading; build the net in the child"))
        if self._ready and isinstance(self._ready[-1], Exception):
            self._process, self._changed = os.getpid(), threading.Condition()  # no batch comes after it
        else:
            self._start()

    def end(self) -> None:
        """Let the thread end, and release the batches."""
        if self._process == os.getpid():  # else it is the parent's, and perhaps the lock is too
            with self._changed:
                self._ended = True
                self._ready.clear()
                self._changed.notify_all()

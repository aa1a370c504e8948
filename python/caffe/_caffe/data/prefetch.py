"""Prefetch: batches made by a thread ahead of their use, in the order in which they are used.

In:   a function that makes the next batch; how many may wait.
Out:  `get`, which gives them one by one and raises what making one raised.
Not here: what a batch is (layers/).   Source: BVLC base_data_layer.cpp (InternalThreadEntry).
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Prefetch(Generic[Batch]):
    """Calls `load` in a thread of its own, again and again, until it fails or this object goes.

    Args:
        load: makes a batch; must not refer to this object's owner, or neither ever goes.
        depth: how many batches may wait, at least 1.
    """

    def __init__(self, load: Callable[[], Batch], depth: int) -> None:
        self._waiting: queue.Queue[Batch | Exception] = queue.Queue(depth)
        self._failed: Exception | None = None
        stop = threading.Event()
        threading.Thread(target=_fill, args=(load, self._waiting, stop), daemon=True, name="prefetch").start()
        self.close = weakref.finalize(self, _end, self._waiting, stop)
        self.close.atexit = False  # the thread is a daemon

    def get(self) -> Batch:
        """Give the next batch, waiting for it; after a failure, raise that again and again."""
        item = self._failed or self._waiting.get()
        if isinstance(item, Exception):
            self._failed = item
            raise item
        return item


def _fill(load: Callable[[], Batch], waiting: queue.Queue, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            item: Batch | Exception = load()
        except Exception as problem:
            item = problem
        waiting.put(item)
        if isinstance(item, Exception):
            return


def _end(waiting: queue.Queue, stop: threading.Event) -> None:
    """Stop the thread: it may be waiting for room."""
    stop.set()
    while True:
        try:
            waiting.get_nowait()
        except queue.Empty:
            return

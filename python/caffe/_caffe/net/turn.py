"""Only one thread at a time may run a net; another that comes in between gets an error.

In:   a net's name; threads that enter and leave what only one may do at a time.
Out:  a context manager, which the thread that holds it may enter again (a hook or a Python layer that runs the net).
Not here: waiting for each other: only the script knows which inputs and outputs belong together.
Caffe holds Python's lock for a whole pass. Here torch lets other threads run, and two passes would mix their numbers.
"""

from __future__ import annotations

import os
import threading

from ..errors import NetError


class Turn:
    """The right to run one net. Entering and leaving it costs less than a microsecond."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process, self._lock = os.getpid(), threading.RLock()

    def __enter__(self) -> None:
        if self._lock.acquire(blocking=False):
            return
        if self._process != os.getpid():  # the thread that held it exists in the fork's parent only
            self._begin_anew()
            self._lock.acquire()
            return
        # DEVIATION D46: in Caffe the second thread waits for the end of the pass, and may overwrite its results.
        raise NetError(
            f"net '{self._name}': another thread is running it, and their values would mix. Hold one "
            "threading.Lock from writing the inputs to reading the outputs, or give each thread a net of its "
            "own, which can share the weights: net.share_with(other)")

    def __exit__(self, *_: object) -> None:
        self._lock.release()

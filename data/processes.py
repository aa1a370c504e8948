"""Work spread over processes that stop when their parent stops.

In:   a function, the items to call it with, how many processes.
Out:  its results, as they come.
Not here: what the work is, progress bars.
Source: ours. Processes are spawned, which is the same on every system and Python.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from data.whole import DataError


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[Any], Any], items: Sequence[Any], workers: int) -> Iterator[Any]:
    """Call `work` with each item, in this process or in several.

    Args:
        work: a function of a module, or functools.partial of one (it is sent to processes).
        items: its arguments, one a call.
        workers: processes; with 1, or one item, the work is done here.

    Yields:
        What `work` returned, in the order of completion.

    Raises:
        DataError: a process was ended from outside. What `work` raises is raised here, and the
            items that have not begun are left.
    """
    if workers <= 1 or len(items) <= 1:
        for item in items:
            yield work(item)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items)), context, initializer=_as_worker, initargs=(os.getpid(),))
    try:
        with deaf_to_ctrl_c():
            futures = [pool.submit(work, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError("a process of this command was ended from outside; run it again, it goes on") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Start processes that leave Ctrl-C to this one, from their first instruction on; one that comes now waits."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # what is blocked is so in a child, too
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _as_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

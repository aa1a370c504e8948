"""Forks (os.fork, multiprocessing's "fork"): nothing the child needs is left behind in another thread.

In:   locks under which other threads work; a fork, by any thread.
Out:  parent and child both compute with all their threads; no lock in the child waits for a thread of the parent.
Not here: who reads ahead (data/prefetch) and databases (data/database), which start afresh in the child by themselves.
Source: POSIX, fork: a child has only the thread that called it. OpenMP 5.0, omp_pause_resource_all.

libgomp keeps the threads it started for whoever called it, and in a child would wait for them forever. So the thread
that forks gives them back first; parent and child start new ones when they next compute (about 0.1 ms).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import torch

from . import log

WAIT = 30.0  # seconds that a fork waits for other threads to finish what they are doing
_HARD = 2  # omp_pause_hard: threads end as well
_MAPS = Path("/proc/self/maps")

_working: weakref.WeakSet[Any] = weakref.WeakSet()
_brief: weakref.WeakSet[Any] = weakref.WeakSet()
_held: list[Any] = []
_missed: list[Any] = []  # in the fork under way
_torn: list[Any] = []  # in the forks that led to this process
_threads_are_free = True


def work_lock() -> Any:
    """Return a lock for a piece of work that no fork may cut in two; forks wait for it."""
    lock = threading.RLock()
    _working.add(lock)
    return lock


def brief_lock() -> Any:
    """Return a lock for a step within such work, or by itself; forks wait for it as well."""
    lock = threading.RLock()
    _brief.add(lock)
    return lock


def is_torn(lock: Any) -> bool:
    """Return whether a fork that led to this process cut off the work under a `work_lock`, having waited in vain."""
    return any(one is lock for one in _torn)


def keep_for_good(thing: object) -> None:
    """Never release an object: releasing it is the parent's business."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before() -> None:
    global _threads_are_free
    until = time.monotonic() + WAIT
    for lock in [*_working, *_brief, log.lock]:  # from the outside in: holders of later ones wait for no earlier one
        (_held if lock.acquire(timeout=max(0.0, until - time.monotonic())) else _missed).append(lock)
    _threads_are_free = all(_give_back(library) for library in _libgomps())


def _in_parent() -> None:
    _missed.clear()
    _release()


def _in_child() -> None:
    for lock in _missed:
        lock._at_fork_reinit()
    _torn.extend(_missed)
    _missed.clear()
    _release()
    if not _threads_are_free and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        log.warning("fork: this process computes with 1 thread, as its OpenMP (libgomp before GCC 9) cannot give back "
                    "the threads that stayed in the parent; multiprocessing's \"spawn\" has no such limit",
                    "forks.py:1")


def _release() -> None:
    held = _held[::-1]
    _held.clear()  # first: another thread may be waiting to fork
    for lock in held:
        lock.release()


def _give_back(library: str) -> bool:
    """End the threads that one libgomp keeps for this thread; return False if it cannot."""
    try:
        return ctypes.CDLL(library, mode=os.RTLD_NOLOAD).omp_pause_resource_all(_HARD) == 0
    except (OSError, AttributeError):
        return False


def _libgomps() -> set[str]:
    """Return the paths of all loaded libgomps; Intel's and LLVM's OpenMP handle forks themselves."""
    if sys.platform != "linux":
        return set()
    try:
        maps = _MAPS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return {"libgomp.so.1"}
    return {path for path in (line.partition("/")[1] + line.partition("/")[2] for line in maps)
            if os.path.basename(path).startswith("libgomp")}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)

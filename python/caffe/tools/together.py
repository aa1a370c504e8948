"""Several processes on one machine that run the same function with different ranks.

In:   a function of a module, how many processes, its arguments.
Out:  an exit code; when one process fails, the others are terminated.
Not here: what they exchange (_caffe.solvers.parallel); processes on several machines (torchrun starts those).
Source: BVLC python/train.py, which starts a process for each GPU.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from .._caffe.errors import CaffeError
from .._caffe.threads import physical_cores
from .entry import tool

_PATIENCE = 10  # seconds that a process has to end when told to


def in_processes(function: Callable[..., Any], count: int, *args: Any) -> int:
    """Call `function(*args, rank, count)` in `count` new processes.

    Returns:
        0 if all went well, otherwise the first nonzero exit code.

    Raises:
        CaffeError: a process was killed. KeyboardInterrupt: Ctrl-C; all have ended.
    """
    # Caffe: forks. A CUDA context does not survive that, and threads of this process would be missing in the new ones.
    context = multiprocessing.get_context("spawn")
    share = max(1, physical_cores() // count)
    os.environ.setdefault("OMP_NUM_THREADS", str(share))  # so that the processes do not get in each other's way
    processes = [context.Process(target=_run, args=(function, *args, rank, count)) for rank in range(count)]
    try:
        for process in processes:
            process.start()
        return _joined(processes)
    finally:
        _end(processes)


def _run(function: Callable[..., Any], *args: Any) -> None:
    sys.exit(tool(lambda _: function(*args))([]))


def _joined(processes: Sequence[BaseProcess]) -> int:
    """Wait for all, or for the first that fails; return its exit code."""
    running: dict[Any, tuple[int, BaseProcess]] = {
        process.sentinel: (rank, process) for rank, process in enumerate(processes)}
    while running:
        for sentinel in wait(list(running)):
            rank, process = running.pop(sentinel)
            process.join()
            if process.exitcode is not None and process.exitcode < 0:
                raise CaffeError(f"the process of rank {rank} was killed by signal {-process.exitcode}; the others "
                                 "were terminated. Its last snapshot stays: --snapshot resumes from there")
            if process.exitcode:
                return process.exitcode
    return 0


def _end(processes: Sequence[BaseProcess]) -> None:
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.terminate()
    for process in alive:
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()

"""How the processes that train together find each other: torch's process group.

In:   solver rank and count; torchrun's environment where it started them, otherwise an identifier that all share.
Out:  torch.distributed's default group: gloo for values on the CPU, nccl for those on GPUs.
Not here: what is sent (parallel), who starts the processes.
Environment: CAFFE_NCCL_TIMEOUT, seconds that a process waits for the others (default 1800); CAFFE_NCCL_BACKEND,
gloo in place of nccl for values on GPUs.
Source: torch.distributed.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta

import torch.distributed as dist

from .. import common
from ..errors import SolverError


def join(uid: bytes) -> None:
    """Join the group of all solvers; does nothing if this process is in one already.

    Raises:
        SolverError: an invalid rank, another group, or processes that do not turn up.
    """
    rank, count = common.solver_rank(), common.solver_count()
    if not 0 <= rank < count:
        raise SolverError(f"NCCL: got solver rank {rank} of {count} solvers, want 0 to {count - 1}; set_solver_rank "
                          "and set_solver_count come before the solver")
    if dist.is_initialized():
        if (dist.get_rank(), dist.get_world_size()) != (rank, count):
            raise SolverError(f"NCCL: this process is number {dist.get_rank()} of a group of {dist.get_world_size()}, "
                              f"but solver rank {rank} of {count}; want the same")
        return
    with told():
        backend, timeout = _backend(), timedelta(seconds=_timeout())
        if _started_by_torchrun(rank, count):
            store, _, _ = next(dist.rendezvous("env://", rank, count, timeout=timeout))
            # after a restart torchrun's store still has the addresses of those that died
            store = dist.PrefixStore(f"caffe/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        else:
            store = dist.FileStore(meeting_place(uid), count)
        dist.init_process_group(backend, timeout=timeout, store=store, rank=rank, world_size=count)
    if backend == "gloo":  # nccl's shutdown waits forever when another process has died
        atexit.register(_leave)


def meeting_place(uid: bytes) -> str:
    """Return the path of the file through which the processes of one machine that share a uid meet."""
    return os.path.join(tempfile.gettempdir(), f"caffe_nccl_{hashlib.sha256(uid).hexdigest()[:32]}")


def forget_at_exit(uid: bytes) -> None:
    """Make the process that made a uid remove its file on exit."""
    atexit.register(_remove, meeting_place(uid), os.getpid())


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Explain failures of torch's group."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as problem:
        raise SolverError(f"NCCL: solver rank {common.solver_rank()} lost the other processes of "
                          f"{common.solver_count()}, or they never came; the first that failed says why. "
                          f"({str(problem).strip().splitlines()[0][:200]})") from problem


def _backend() -> str:
    if common.device().type != "cuda" or os.environ.get("CAFFE_NCCL_BACKEND") == "gloo":
        return "gloo"
    return "cpu:gloo,cuda:nccl"


def _timeout() -> float:
    text = os.environ.get("CAFFE_NCCL_TIMEOUT", "1800")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise SolverError(f"CAFFE_NCCL_TIMEOUT is '{text}'; want seconds, above 0")
    return seconds


def _started_by_torchrun(rank: int, count: int) -> bool:
    wanted = {"RANK": str(rank), "WORLD_SIZE": str(count)}
    return (all(os.environ.get(name) == value for name, value in wanted.items())
            and {"MASTER_ADDR", "MASTER_PORT"} <= set(os.environ))


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            os.unlink(path)

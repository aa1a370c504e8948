"""How many threads convolutions use on the CPU.

In:   OMP_NUM_THREADS or MKL_NUM_THREADS if a user set one; else the cores on which this process may run, shared
      with the processes that torchrun started beside it.
Out:  torch set to that number; a line that says how many and why.
Not here: GPUs; threads that read images; how long threads wait for each other (GOMP_SPINCOUNT, in the package).
Hyper-threads are not cores: two on one core share the units that multiply.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

_ROOT = Path("/")  # of proc and sys


def choose() -> str:
    """Compute with as many threads as suit this process from now on.

    Returns:
        How many, and why: `2 threads (physical cores of this process)`.
    """
    given = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
             if os.environ.get(name, "").strip().isdecimal() and int(os.environ[name])]  # libraries ignore others
    if given and not _is_torchruns():
        why = ", ".join(given)  # torch has read them
    else:
        cores, processes = physical_cores(), _processes()
        share = max(1, cores // processes)
        if torch.get_num_threads() != share:
            torch.set_num_threads(share)
        why = "physical cores of this process" if processes == 1 else f"{cores} physical cores, {processes} processes"
    count = torch.get_num_threads()
    return f"{count} thread{'s' * (count != 1)} ({why})"


def physical_cores() -> int:
    """Return how many physical cores this process may use: taking its affinity and its cgroups' quota into account."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    core_of = _core_of_cpus()
    cores = len({core_of.get(cpu, (str(cpu),)) for cpu in cpus})
    return max(1, math.ceil(min(cores, _quota())))


def _core_of_cpus() -> dict[int, tuple[str, ...]]:
    """Return socket and core of each CPU for which the kernel reports them."""
    found: dict[int, tuple[str, ...]] = {}
    for block in _text("proc/cpuinfo").split("\n\n"):
        facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}
        if "core id" in facts and facts.get("processor", "").isdigit():
            found[int(facts["processor"])] = facts.get("physical id", ""), facts["core id"]
    return found


def _quota() -> float:
    """Return the processor time per second that this process's cgroups, of either version, leave it."""
    least = math.inf
    for line in _text("proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = _ROOT / "sys/fs/cgroup" / controllers
        folder = top / path.lstrip("/")
        for place in (folder, *folder.parents):
            limit = [*_text(place / "cpu.max").split(), *(_text(place / f"cpu.cfs_{what}_us").strip()
                                                          for what in ("quota", "period"))]
            if limit[0].isdigit() and limit[1].isdigit() and int(limit[0]):  # neither "max" nor -1
                least = min(least, int(limit[0]) / int(limit[1]))
            if place == top:
                break
    return least


def _processes() -> int:
    text = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(text)) if text.isdigit() else 1


def _is_torchruns() -> bool:
    """Return whether torchrun itself set OMP_NUM_THREADS=1, as it does for several processes when nobody set it.

    The kernel still lists the environment it was started with; if that cannot be read, the user is assumed.
    """
    if os.environ.get("OMP_NUM_THREADS") != "1" or "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    started_with = _text(f"proc/{os.getppid()}/environ").split("\0")
    return len(started_with) > 1 and not any(word.startswith("OMP_NUM_THREADS=") for word in started_with)


def _text(path: str | Path) -> str:
    try:
        return (_ROOT / path).read_text(errors="replace")
    except OSError:
        return ""

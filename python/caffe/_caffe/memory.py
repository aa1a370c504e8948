"""How much memory is available, and whether a blob fits into it.

In:   the shape of a blob.
Out:  available bytes; OutOfMemory with the remedy.
Not here: the memory itself (syncedmem), a whole net's (net/estimate).
Source: proc(5), the kernel's cgroup-v2 and cgroup-v1 guides.
CAFFE_MEMORY_LIMIT (MB) replaces what the machine has; 0: no check.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from . import common
from .errors import CaffeError, OutOfMemory

LARGE = 1 << 20  # values; blobs at least this large are checked individually
_MEMINFO = re.compile(r"^(MemAvailable|SwapFree):\s*(\d+)", re.MULTILINE)
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (("memory.max", "memory.current"),
                 ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def available() -> int | None:
    """Return the bytes that may still be allocated where layers compute, or None where that is unknown."""
    limit = os.environ.get("CAFFE_MEMORY_LIMIT", "")
    if limit:
        if not limit.isdecimal():
            raise CaffeError(f"CAFFE_MEMORY_LIMIT: got '{limit}', want a number of MB, or 0 for no check")
        return int(limit) << 20 or None
    if common.device().type == "cuda":
        return int(torch.cuda.mem_get_info(common.device())[0]) + torch.cuda.memory_reserved(common.device())
    rooms = [room for room in (_machine(), _container()) if room is not None]
    return min(rooms, default=None)


def check(shape: tuple[int, ...], count: int) -> None:
    """Refuse a blob whose data alone cannot be allocated.

    Raises:
        OutOfMemory: it is larger than what is available.
    """
    room = available()
    if count > LARGE and room is not None and 4 * count > room:
        raise OutOfMemory(f"a blob of shape {shape} takes {gigabytes(4 * count)}; available are "
                          f"{gigabytes(room)}. {remedy()}")


def _machine() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = {name: int(kilobytes) << 10 for name, kilobytes in _MEMINFO.findall(text)}
    return found["MemAvailable"] + found.get("SwapFree", 0) if "MemAvailable" in found else None


def _container() -> int | None:
    """Return what the container's limit leaves; file pages count as free, as the kernel can drop them."""
    for limit, usage in _CGROUP_FILES:
        try:
            most, used = ((_CGROUP / name).read_text().strip() for name in (limit, usage))
            stat = (_CGROUP / limit).with_name("memory.stat").read_text()
        except OSError:
            continue
        if most.isdecimal():
            files = dict(line.split() for line in stat.splitlines()).get("inactive_file", "0")
            return max(0, int(most) - int(used) + int(files))
    return None


def gigabytes(size: int) -> str:
    """Return a number of bytes in readable form."""
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"


def remedy() -> str:
    """Return what to do about too little memory."""
    return ("Take smaller inputs or a smaller batch, or a machine with more memory; CAFFE_MEMORY_LIMIT (MB, 0: none) "
            "sets another limit")

"""How much memory there is, and a net's estimate against it, before anything is allocated.

In:   bytes that blobs will take.
Out:  OutOfMemory with the estimate, the largest blobs and the remedy; `check` of one blob, `Estimate` of a net.
Not here: the memory itself (syncedmem).   Source: proc(5), the kernel's cgroup-v2 and cgroup-v1 guides.
Blobs' memory is made when it is first touched, and parameters are filled while a net is built; so an estimate counts
what is there so far after every layer, and gradients at the end. CAFFE_MEMORY_LIMIT (MB) takes the place of what the
machine has; 0: no check.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from . import common
from .errors import CaffeError, OutOfMemory

if TYPE_CHECKING:
    from .net.build import Wiring

LARGE = 1 << 20  # values of a blob from which it is checked by itself
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (("memory.max", "memory.current"),
                 ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def available() -> int | None:
    """Return the bytes that may still be allocated where layers compute, or None where that is not known."""
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
    """Refuse a blob that cannot be allocated; data alone.

    Raises:
        OutOfMemory: it is larger than what is available.
    """
    room = available()
    if count > LARGE and room is not None and 4 * count > room:
        raise OutOfMemory(f"a blob of shape {shape} takes {_gb(4 * count)}; available are {_gb(room)}. {_remedy()}")


class Estimate:
    """The bytes of a net's blobs, layer by layer."""

    def __init__(self) -> None:
        self._room = available()
        self._taken: dict[int, tuple[int, str]] = {}  # by memory: bytes, what it is
        self._total = 0

    def add(self, wiring: Wiring) -> None:
        """Count the last layer's tops and parameters.

        Raises:
            OutOfMemory: the net so far takes more than there is.
        """
        layer = wiring.layers[-1]
        blobs = [(blob, f"top '{wiring.blob_names[i]}' of layer")
                 for blob, i in zip(wiring.top_vecs[-1], wiring.top_ids[-1], strict=True)]
        for blob, what in [*blobs, *((blob, f"parameter {i} of layer") for i, blob in enumerate(layer.blobs))]:
            self._count(id(blob._data), blob.count, f"{what} '{layer.name}' {blob.shape}")
        self._judge(f"the net's blobs take {{}} up to layer '{layer.name}'")

    def add_gradients(self, wiring: Wiring) -> None:
        """Count what backward will need.

        Raises:
            OutOfMemory: the net with its gradients takes more than there is.
        """
        for bottoms, ids, needs, runs in zip(wiring.bottom_vecs, wiring.bottom_ids, wiring.bottom_need_backward,
                                             wiring.layer_need_backward, strict=True):
            for blob, blob_id, needed in zip(bottoms, ids, needs, strict=True):
                if runs and needed:
                    self._count(id(blob._diff), blob.count, f"gradient of '{wiring.blob_names[blob_id]}' {blob.shape}")
        if any(wiring.layer_need_backward):
            for i, blob in enumerate(wiring.learnable_params):
                self._count(id(blob._diff), blob.count, f"gradient of parameter {i} {blob.shape}")
        self._judge("the net's blobs take {} with their gradients")

    def _count(self, memory: int, count: int, what: str) -> None:
        if memory not in self._taken:
            self._taken[memory] = 4 * count, what
            self._total += 4 * count

    def _judge(self, words: str) -> None:
        if self._room is None or self._total <= self._room:
            return
        largest = sorted(self._taken.values(), reverse=True)[:3]
        listed = ", ".join(f"{what} {_gb(size)}" for size, what in largest)
        raise OutOfMemory(f"{words.format(_gb(self._total))}; available are {_gb(self._room)}. Largest: {listed}. "
                          f"{_remedy()}")


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if len(line.split()) > 1}
    return found["MemAvailable"] + found.get("SwapFree", 0) if "MemAvailable" in found else None


def _container() -> int | None:
    """Return what the container's limit leaves; pages of files count as free, as the kernel drops them."""
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


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"


def _remedy() -> str:
    return ("Take smaller inputs or a smaller batch, or a machine with more memory; CAFFE_MEMORY_LIMIT (MB, 0: none) "
            "sets another limit")

"""How much memory a forward pass will take, before it takes it.

In:   a net, an image size; what the machine says of itself.
Out:  bytes needed, bytes free, the longest side that would do.
Not here: refusing (infer.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIDES = (96, 224, 352)  # 128 apart: sizes that strides up to 64 round alike
FLOAT = 4
# Beside the blobs, a pass holds copies in other layouts of a layer's bottom and top, the scores
# once more, and the picture in several forms.
WORK_BLOBS = 2
BYTES_A_PIXEL = 60
INT_MAX = 2**31 - 1  # Caffe: a blob has no more elements


def forward_bytes(net: Any, inputs: Sequence[str] = ("data",)) -> Callable[[int, int], float]:
    """Measure a net on three small sizes; gives bytes(height, width) of a forward pass.

    Args:
        net: with blobs `inputs`, all of one height and width.
        inputs: their names.

    Each blob's count is a polynomial a + b (H + W) + c H W, because layers round and pad each side
    by itself. inf stands for a blob of more than 2^31 - 1 elements, which Caffe cannot have.
    """
    shapes = {name: tuple(net.blobs[name].shape) for name in inputs}
    counts = []
    for side in SIDES:
        for name, shape in shapes.items():
            net.blobs[name].reshape(1, shape[1], side, side)
        net.reshape()
        counts.append([blob.count for blob in net.blobs.values()])
    for name, shape in shapes.items():
        net.blobs[name].reshape(*shape)
    basis = np.array([[1, 2 * side, side * side] for side in SIDES], np.float64)
    terms = np.linalg.solve(basis, np.array(counts, np.float64))  # (3, blobs)
    weights = sum(blob.count for blobs in net.params.values() for blob in blobs) * FLOAT

    def needed(height: int, width: int) -> float:
        elements = np.maximum(np.array([1, height + width, height * width]) @ terms, 0)
        if elements.max() > INT_MAX:
            return float("inf")
        floats = elements.sum() + WORK_BLOBS * elements.max()
        return float(floats * FLOAT + weights + BYTES_A_PIXEL * height * width)

    return needed


def free_bytes(gpu: int | None = None) -> float:
    """Memory that can be had: of the machine and of its container's limit, or of a GPU.

    inf where the system does not say.
    """
    if gpu is not None:
        return _gpu_free(gpu)
    return min(_machine_free(), _container_free())


def longest_side(needed: Callable[[int, int], float], height: int, width: int, free: float) -> int:
    """Longest side, of an image of this form, that fits into `free` bytes; 0 if none does."""
    low, high = 0, max(height, width)
    while low < high:
        side = (low + high + 1) // 2
        factor = side / max(height, width)
        if needed(max(1, round(height * factor)), max(1, round(width * factor))) <= free:
            low = side
        else:
            high = side - 1
    return low


def _machine_free() -> float:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError):
        return float("inf")


def _container_free() -> float:
    try:
        group = Path("/sys/fs/cgroup")
        limit = float((group / "memory.max").read_text())  # without a limit it says "max"
        used = float((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + float(stat.get("inactive_file", 0))  # cached files give way
    except (OSError, ValueError):
        return float("inf")


def _gpu_free(gpu: int) -> float:
    tool = shutil.which("nvidia-smi")
    if tool is None or "CUDA_VISIBLE_DEVICES" in os.environ:  # numbers would not be nvidia-smi's
        return float("inf")
    query = [tool, "--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", str(gpu)]
    done = subprocess.run(query, capture_output=True, text=True)
    try:
        return float(done.stdout.strip()) * 2**20
    except ValueError:
        return float("inf")

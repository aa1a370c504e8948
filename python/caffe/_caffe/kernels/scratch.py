"""Memory that one call needs for a while, and the next call after it.

In:   shapes and types, on the CPU.
Out:  tensors with any content. Each belongs to the call until it is given back or the call ends.
Not here: what is computed in it.
Why: fresh pages cost more than filling them: 411 MB of weights take 104 ms to copy to a new place, 17 to an old one.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import threading
from collections.abc import Iterator, Sequence

import torch

from .. import common

LEAST = 64  # bytes of a buffer
_of_this_thread = threading.local()


class Scratch:
    """The memory of one call: `with Scratch() as scratch: ...`. No two of its tensors overlap.

    Buffers go from call to call of one thread, so that they are allocated once.
    """

    def __init__(self) -> None:
        self._taken: dict[int, torch.Tensor] = {}  # buffers by address

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._taken:
            for buffer in self._taken.values():
                _give_back(buffer)
            self._taken.clear()

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Return a contiguous tensor to be overwritten."""
        size = math.prod(shape) * dtype.itemsize
        buffer = _take(size)
        self._taken[buffer.data_ptr()] = buffer
        return buffer[:size].view(dtype).view(shape)

    def like(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor to be overwritten, laid out like another; with channels last like some channels of one."""
        if _is_dense(tensor):
            return self.take((tensor.numel(),), dtype).as_strided(tensor.shape, tensor.stride())
        n, c, height, width = tensor.shape
        return self.take((n, height, width, c), dtype).permute(0, 3, 1, 2)

    def cast(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the values in a type; a new tensor on a GPU, where torch keeps the memory."""
        if tensor.dtype == dtype or tensor.device.type != "cpu" or not _is_dense(tensor):
            return tensor.to(dtype)
        return self.like(tensor, dtype).copy_(tensor)

    def give_back(self, tensor: torch.Tensor) -> None:
        """Let the next `take` have the memory of a tensor that lies at the start of a buffer."""
        _give_back(self._taken.pop(tensor.data_ptr()))


@contextlib.contextmanager
def in_type(out: torch.Tensor, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """Yield `out`, or a tensor of another type in its place, which is copied into it afterwards."""
    if out.dtype == dtype:
        yield out
        return
    with Scratch() as scratch:
        y = scratch.like(out, dtype)
        yield y
        out.copy_(y)


def forget() -> None:
    """Free the buffers of this thread that no call is using."""
    _buffers().clear()


def _buffers() -> list[torch.Tensor]:
    """Return the free buffers of this thread, smallest first."""
    return _of_this_thread.__dict__.setdefault("buffers", [])


def _take(size: int) -> torch.Tensor:
    free = _buffers()
    for i, buffer in enumerate(free):
        if buffer.numel() >= size:
            return free.pop(i)
    if free:
        free.pop()  # the new one is larger, and serves in its place
    return torch.empty(max(LEAST, -(-size // LEAST) * LEAST), dtype=torch.uint8)


def _give_back(buffer: torch.Tensor) -> None:
    bisect.insort(_buffers(), buffer, key=torch.Tensor.numel)


def _is_dense(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() or tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


common.on_precision_change(forget)

"""Memory reused for the values of one run after another: fresh pages cost as much time as filling them ten times.

In:   a shape and a type.
Out:  a tensor (N, C, H, W) where layers compute, with any content: channels last, or as the device wants it.
Not here: how long a value is needed (program).
On a GPU torch keeps the memory itself, and a CUDA graph must own what it writes: nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .. import common

LARGE = 1 << 20  # bytes; below, torch's own allocator is as fast


def order(dtype: torch.dtype) -> torch.memory_format:
    """Return how values are laid out: channels last on the CPU; on a GPU only in bf16, as its matrix units read them.

    cuDNN's float32 kernels are made for Caffe's order, and would first convert to it.
    """
    last = common.on_host() or dtype == torch.bfloat16
    return torch.channels_last if last else torch.contiguous_format


class Space:
    """Buffers that may be used, and those that are in use."""

    def __init__(self) -> None:
        self._free: list[torch.Tensor] = []
        self._taken: dict[int, torch.Tensor] = {}  # by address

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Return a tensor, in the smallest free buffer that is large enough."""
        n, c, h, w = shape
        if not common.on_host():
            return torch.empty((n, c, h, w), dtype=dtype, device=common.device(), memory_format=order(dtype))
        size = n * c * h * w * dtype.itemsize
        if size < LARGE:
            return torch.empty((n, c, h, w), dtype=dtype, memory_format=torch.channels_last)
        self._free.sort(key=torch.Tensor.numel)
        best = next((i for i, buffer in enumerate(self._free) if buffer.numel() >= size), None)
        if best is None:
            self._free = self._free[:-1]  # the larger one takes its place
            buffer = torch.empty(size, dtype=torch.uint8)
        else:
            buffer = self._free.pop(best)
        self._taken[buffer.data_ptr()] = buffer
        return buffer[:size].view(dtype).view(n, h, w, c).permute(0, 3, 1, 2)

    def give_back(self, tensor: torch.Tensor) -> None:
        """Take back the buffer at whose start a tensor lies, if it is one of these."""
        buffer = self._taken.pop(tensor.data_ptr(), None)
        if buffer is not None:
            self._free.append(buffer)

    def take_back(self) -> None:
        """Take back all buffers."""
        self._free += self._taken.values()
        self._taken.clear()

"""Copies in bf16, in memory that is kept (scratch), and sums in float32.

In:   float32 tensors on the CPU.
Out:  tensors in bf16 that stand as they do; good until the next one of the same use.
Not here: what computes in bf16 (base_convolution).
"""

from __future__ import annotations

import torch

from . import scratch

AT_ONCE = 1 << 19  # values: their copy in float32, which torch makes in order to add them, stays in the cache


def room(use: str, like: torch.Tensor) -> torch.Tensor:
    """Return a tensor to be overwritten, of the shape and strides of a dense tensor."""
    return scratch.room(f"bf16 {use}", like.numel(), torch.bfloat16).as_strided(like.shape, like.stride())


def copy(use: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return the values in bf16; on a GPU, whose memory is kept anyway, a new tensor."""
    if tensor.device.type != "cpu" or not _is_dense(tensor):
        return tensor.to(torch.bfloat16)
    return room(use, tensor).copy_(tensor)


def add(values: torch.Tensor, to: torch.Tensor) -> None:
    """Add contiguous values in bf16 to a contiguous tensor in float32."""
    for sums, some in zip(to.view(-1).split(AT_ONCE), values.view(-1).split(AT_ONCE), strict=True):
        sums.add_(some)


def _is_dense(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() or tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)

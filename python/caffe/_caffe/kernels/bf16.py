"""What is special about bf16: sums are made in float32.

In:   contiguous tensors on the CPU.
Out:  sums, added where they belong.
Not here: what computes in bf16 (choose casts, each way multiplies), where its kernels err (onednn).
"""

from __future__ import annotations

import torch

AT_ONCE = 1 << 19  # values whose copy in float32, which torch makes in order to add them, stays in the cache


def add(values: torch.Tensor, to: torch.Tensor) -> None:
    """Add contiguous values in bf16 to a contiguous tensor in float32."""
    for sums, some in zip(to.view(-1).split(AT_ONCE), values.view(-1).split(AT_ONCE), strict=True):
        sums.add_(some)

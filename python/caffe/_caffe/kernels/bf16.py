"""What is special about bf16: sums are made in float32, and oneDNN's kernels err in some convolutions.

In:   contiguous tensors on the CPU; a convolution and its bottom.
Out:  sums, added where they belong; whether a convolution must be left to float32.
Not here: what computes in bf16 (choose casts, each way multiplies).
"""

from __future__ import annotations

import torch

from .convolution import Convolution, Operation

AT_ONCE = 1 << 19  # values whose copy in float32, which torch makes in order to add them, stays in the cache


def add(values: torch.Tensor, to: torch.Tensor) -> None:
    """Add contiguous values in bf16 to a contiguous tensor in float32."""
    for sums, some in zip(to.view(-1).split(AT_ONCE), values.view(-1).split(AT_ONCE), strict=True):
        sums.add_(some)


def kernel_errs(operation: Operation, conv: Convolution, x: torch.Tensor, num_output: int) -> bool:
    """Whether oneDNN's kernel in bf16 reads or omits too much; x: the bottom, or its gradient.

    Seen with torch 2.13 on a CPU with avx512_bf16. Forward, several outputs of each single channel, with a stride: a
    top one place wide was wrong. As the weight gradient, dilated rows under channels that are not a multiple of 16 gave
    foreign memory or a crash; a bottom narrower than the stride left values unwritten.
    """
    if x.device.type != "cpu" or operation == "data_gradient":
        return False
    if operation == "convolve":
        return x.shape[1] == conv.group < num_output and max(conv.stride) > 1
    is_dilated = max(conv.dilation) > 1 and x.shape[1] // conv.group % 16 != 0
    return is_dilated or any(length < stride for length, stride in zip(x.shape[2:], conv.stride, strict=True))

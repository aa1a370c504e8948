"""Padding that oneDNN is not asked to do.

In:   a bottom (N, C, H, W) on the CPU, and how a kernel slides over it.
Out:  the bottom with its padding laid around it, and the padding that is left for the kernel to do; both as they were
      where the kernel pads well.
Why: with torch 2.13, a kernel with stride and dilation, with channels last, over a plane narrower than its stride or
pad (4 channels of 16 x 1, pad 7, stride 2, dilation 2) reads foreign memory, and the process may die of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def beforehand(x: torch.Tensor, pad: Sequence[int], stride: Sequence[int],
               dilation: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Return a bottom, padded if need be, and the padding that is left."""
    is_narrow = any(length <= max(p, s) for length, p, s in zip(x.shape[2:], pad, stride, strict=True))
    if not (is_narrow and max(stride) > 1 and max(dilation) > 1) or x.device.type != "cpu":
        return x, list(pad)
    padded = torch.nn.functional.pad(x, [pad[1], pad[1], pad[0], pad[0]])
    return padded.contiguous(memory_format=torch.channels_last), [0, 0]

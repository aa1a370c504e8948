"""What oneDNN is not asked to do: some padding, and single channels with channels last.

In:   a bottom (N, C, H, W) on the CPU, and how a kernel slides over it.
Out:  the bottom with its padding laid around it, and the padding left for the kernel to do; both unchanged
      where the kernel pads well.
One channel: strides of channels last say nothing there, but with a batch over 1 and a stride, over a plane that leaves
a top one place wide (4 items of 1 x 19 x 3, kernel 2, stride 1 x 2), torch 2.13 takes them and convolves something
else. Padding: with torch 2.13, a kernel with stride and dilation, with channels last, over a plane narrower than its
stride or pad (4 channels of 16 x 1, pad 7, stride 2, dilation 2) reads foreign memory, which may kill the process.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def beforehand(x: torch.Tensor, pad: Sequence[int], stride: Sequence[int],
               dilation: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Return a bottom in strides that are safe, padded if need be, and the padding that is left."""
    if x.device.type != "cpu":
        return x, list(pad)
    if x.shape[1] == 1 and x.is_contiguous():
        _, _, height, width = x.shape
        x = x.as_strided(x.shape, (height * width, height * width, width, 1))
    if max(stride) == 1 or max(dilation) == 1:
        return x, list(pad)
    if all(length > max(p, s) for length, p, s in zip(x.shape[2:], pad, stride, strict=True)):
        return x, list(pad)
    padded = torch.nn.functional.pad(x, [pad[1], pad[1], pad[0], pad[0]])
    return padded.contiguous(memory_format=torch.channels_last), [0, 0]

"""Where oneDNN errs, as torch 2.13 calls it on the CPU, and the way around each place.

In:   a convolution, and its bottom (N, C, H, W).
Out:  whether a kernel must not be asked, or the operands with which it may be.
Not here: which kernel is fast (choose, plan/packing).

All kernels:
- stride and dilation, channels last, a plane narrower than stride or pad: they read foreign memory, which may kill the
  process (4 channels of 16 x 1, pad 7, stride 2, dilation 2);
- one channel in strides of channels last, a top one place wide: another convolution (4 items of 1 x 19 x 3, kernel 2,
  stride 1 x 2).
With a packed weight:
- one channel, a top one place wide: another convolution (4 x 2, kernel 3 x 4, stride 1 x 2, pad 0 x 1);
- one output, a batch, a top of one place: another convolution (3 items of 2 x 7 x 7, kernel 7);
- one channel, a kernel one row high, with a stride: writes to foreign memory (200 x 230, kernel 1 x 3, stride 3 x 1).
In bf16:
- forward, several outputs of each single channel, with a stride, a top one place wide: another convolution;
- weight gradient, dilated, channels not a multiple of 16: foreign memory, or a crash;
- weight gradient, a bottom narrower than the stride: values are left unwritten;
- weight gradient, 1 x 1 with a stride, channels last, two threads: they write to foreign memory (9 channels of 6 x 6 to
  3, stride 2 x 1).

bf16 was seen on a CPU with avx512_bf16. A test of one geometry in a process of its own shows what foreign memory does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .convolution import Convolution, Operation


def prepared(x: torch.Tensor, pad: Sequence[int], stride: Sequence[int],
             dilation: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Return a bottom in strides that are safe, padded if need be, and the padding that is left for the kernel."""
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


def packed_kernel_errs(channels: int, num_output: int, kernel: Sequence[int], top_width: int) -> bool:
    """Return whether a weight must not be packed, as the bottom or the top has a single channel."""
    return channels == 1 and min(kernel) == 1 or min(channels, num_output) == 1 and top_width == 1


def bf16_kernel_errs(operation: Operation, conv: Convolution, x: torch.Tensor, num_output: int) -> bool:
    """Return whether a convolution must be left to float32; x: the bottom, or its gradient."""
    if x.device.type != "cpu" or operation == "data_gradient":
        return False
    if operation == "convolve":
        return x.shape[1] == conv.group < num_output and max(conv.stride) > 1
    is_dilated = max(conv.dilation) > 1 and x.shape[1] // conv.group % 16 != 0
    return is_dilated or any(length < stride for length, stride in zip(x.shape[2:], conv.stride, strict=True))


def seen_pixels(conv: Convolution, x: torch.Tensor) -> tuple[torch.Tensor, Convolution]:
    """Return a bottom without the pixels that a 1 x 1 kernel steps over, and the convolution without its stride."""
    if conv.transposed or not conv.is_pixel or max(conv.stride) == 1 or x.dim() != 4 or x.device.type != "cpu":
        return x, conv
    return conv.seen_pixels(x), conv._replace(stride=[1, 1])

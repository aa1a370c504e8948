"""Weight gradients in bf16 over large planes, a strip of rows after another.

In:   tensors (N, C, H, W) on the CPU, float32, with channels last; a Window without strides, dilation, groups.
Out:  the gradient of the weight: each strip's, rounded to bf16, is added where it belongs in float32.
Not here: which layers run this way.
Why: the kernel orders all of its bottom and top anew, in fresh memory. 64 to 64 channels of 698 x 698: 158 to 105 ms;
in float32 there is no gain.
"""

from __future__ import annotations

import math

import torch

from . import bf16, scratch
from .matmul import Window
from .winograd.rows import seen_by

LARGE = 1 << 22  # values of a top's item from which it pays
FEW = 16  # channels of the bottom, below which it does not
STRIP = 1 << 21  # values of a top at a time
SMALL = 1 << 18  # values of a weight, from which adding it strip by strip costs what is gained


def serves(window: Window, weight: torch.Tensor, x: torch.Tensor, dy: torch.Tensor) -> bool:
    """Tell whether a weight gradient can be summed so, and pays."""
    return (dy.dim() == 4 and math.prod(dy.shape[1:]) >= LARGE and x.shape[1] >= FEW and weight.numel() <= SMALL
            and [*window.stride, *window.dilation, window.group] == [1] * 5 and all(
                tensor.device.type == "cpu" and tensor.is_contiguous(memory_format=torch.channels_last)
                for tensor in (x, dy)))


def add_weight_gradient(window: Window, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> None:
    """Add the gradient of the weight to `out`."""
    (_, k, height, width), c = dy.shape, x.shape[1]
    step = max(1, STRIP // (k * width))
    below, beside = (side - 1 for side in window.kernel)
    around = [(pad, pad) for pad in window.pad]
    weight = bf16.room("weight", out)  # of which only the shape is asked
    for item, tops in zip(x.permute(0, 2, 3, 1), dy.permute(0, 2, 3, 1), strict=True):
        for begin in range(0, height, step):
            rows = min(step, height - begin)
            size = 1, rows + below, width + beside, c
            bottom = scratch.room("bf16 x", math.prod(size), torch.bfloat16).view(size)
            seen_by(begin, item, around, bottom[0])
            top = bf16.copy("y", tops[begin:begin + rows].unsqueeze(0))
            out.add_(torch.ops.aten.convolution_backward(
                top.permute(0, 3, 1, 2), bottom.permute(0, 3, 1, 2), weight, [0], [1, 1], [0, 0], [1, 1],
                False, [0, 0], 1, [False, True, False])[1])

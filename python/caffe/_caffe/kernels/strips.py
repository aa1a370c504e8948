"""Weight gradients in bf16 over large planes, one strip of rows after another.

In:   tensors (N, C, H, W) on the CPU, float32, with channels last; no strides, dilation, groups.
Out:  the gradient of the weight: each strip's, rounded to bf16, is added where it belongs in float32.
Not here: gradients in float32, where there is no gain.
Why: torch's kernel reorders all of its bottom and top, in fresh memory. 64 to 64 channels of 698 x 698: 158 to
105 ms.
"""

from __future__ import annotations

import math

import torch

from .convolution import Way
from .scratch import Scratch
from .winograd.rows import seen_by

LARGE = 1 << 22  # from this many values of a top's item on, it pays off
FEW = 16  # with fewer channels of the bottom it does not
STRIP = 1 << 21  # values of the top per strip
SMALL = 1 << 18  # from this many values of the weight on, adding it strip by strip costs all the gain


class Strips(Way):
    """The weight gradient alone."""

    takes_float32 = True

    def serves(self, operation, conv, weight, x, y):
        """Whether bf16 is wanted for a large plane and a small weight."""
        return (operation == "add_weight_gradient" and conv.dtype == torch.bfloat16 and y.dim() == 4
                and math.prod(y.shape[1:]) >= LARGE and x.shape[1] >= FEW and weight.numel() <= SMALL
                and conv.is_plain and all(
                    tensor.device.type == "cpu" and tensor.is_contiguous(memory_format=torch.channels_last)
                    for tensor in (x, y)))

    def add_weight_gradient(self, conv, dy, x, out):
        """Add the gradient of the weight to `out`."""
        (_, k, height, width), c = dy.shape, x.shape[1]
        step = min(height, max(1, STRIP // (k * width)))
        below, beside = (side - 1 for side in conv.kernel)
        around = [(pad, pad) for pad in conv.pad]
        with Scratch() as scratch:
            weight = scratch.like(out, torch.bfloat16)  # only its shape is used
            bottoms = scratch.take((step + below, width + beside, c), torch.bfloat16)
            tops = scratch.take((step, width, k), torch.bfloat16)
            for item, gradient in zip(x.permute(0, 2, 3, 1), dy.permute(0, 2, 3, 1), strict=True):
                for begin in range(0, height, step):
                    rows = min(step, height - begin)
                    bottom = seen_by(begin, item, around, bottoms[:rows + below])
                    top = tops[:rows].copy_(gradient[begin:begin + rows])
                    top, bottom = (part.permute(2, 0, 1).unsqueeze(0) for part in (top, bottom))
                    out.add_(torch.ops.aten.convolution_backward(
                        top, bottom, weight, [0], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False])[1])

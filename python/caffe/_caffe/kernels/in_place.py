"""Convolution on the CPU into a given output tensor, without one of its own.

In:   x (N, C, H, W); out with channels last, on the CPU; weight (num_output, C / group, kh, kw).
Out:  bit for bit what torch.convolution returns; its data gradient.
Not here: what torch calls in place, an output written over an input. Source: oneDNN's sum post-operation.
Why: fresh memory is expensive: 65 MB cost some 18 ms in page faults, and 2 ms once the pages are there.
"""

from __future__ import annotations

import torch

from . import onednn
from .convolution import Convolution, Way
from .scratch import in_type

LARGE = 1 << 20  # from this many values of the output on, it pays off
HAS_KERNEL = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")


class InPlace(Way):
    """oneDNN's convolution, added to zeros."""

    def serves(self, operation, conv, weight, x, y):
        """Whether the output is large; a data gradient must be a convolution: stride 1 and its pad not negative."""
        if operation == "add_weight_gradient":
            return False
        if operation == "convolve":
            return _pays(y)
        return conv.group == 1 and list(conv.stride) == [1, 1] and min(_pad_back(conv)) >= 0 and _pays(x)

    def convolve(self, conv, x, weight, bias, out):
        """Write the convolution of x into `out`."""
        x, pad = onednn.prepared(x, conv.pad, conv.stride, conv.dilation)
        with in_type(out, x.dtype) as y:
            torch.ops.mkldnn._convolution_pointwise_.binary(
                y.zero_(), x.contiguous(memory_format=torch.channels_last), weight, bias, pad, conv.stride,
                conv.dilation, conv.group, "add", 1.0, None, [], "")

    def data_gradient(self, conv, dy, weight, out):
        """Write the gradient of x into `out`: the convolution of dy with the flipped weight."""
        back = conv._replace(pad=_pad_back(conv))
        self.convolve(back, dy, weight.flip(2, 3).transpose(0, 1).contiguous(), None, out)


def _pays(out: torch.Tensor) -> bool:
    return (HAS_KERNEL and out.numel() >= LARGE and out.dim() == 4 and out.device.type == "cpu"
            and out.is_contiguous(memory_format=torch.channels_last))


def _pad_back(conv: Convolution) -> list[int]:
    return [d * (k - 1) - p for d, k, p in zip(conv.dilation, conv.kernel, conv.pad, strict=True)]

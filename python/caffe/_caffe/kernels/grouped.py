"""A convolution in groups, one group after another.

In:   tensors of a convolution with few groups, whose channels are slices of theirs.
Out:  what the convolution computes, and its gradients.
Not here: how each group is computed (the way that is used for it).
Why: torch's weight gradient takes long for heavy weights. 384 to 384 channels of 13 x 13, 3 x 3, 2 groups, on one core:
5.0 to 2.5 ms.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .convolution import Convolution, Way

FEW = 4  # groups
HEAVY = 1 << 16  # values of a group's weight


class Grouped(Way):
    """Another way, used for each group."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.takes_float32 = way.takes_float32

    def serves(self, operation, conv, weight, x, y):
        """Whether there are a few groups with heavy weights that the other way serves."""
        if not 1 < conv.group <= FEW or weight.numel() < HEAVY * conv.group:
            return False
        return self._way.serves(operation, *next(_groups(conv, weight, x, y)))

    def convolve(self, conv, x, weight, bias, out):
        """Write the convolution of x into `out`."""
        biases = [None] * conv.group if bias is None else bias.chunk(conv.group)
        for (one, part, below, above), some in zip(_groups(conv, weight, x, out), biases, strict=True):
            self._way.convolve(one, below, part, some, above)

    def data_gradient(self, conv, dy, weight, out):
        """Write the gradient of x into `out`."""
        for one, part, below, above in _groups(conv, weight, out, dy):
            self._way.data_gradient(one, above, part, below)

    def add_weight_gradient(self, conv, dy, x, out):
        """Add the gradient of the weight to `out`."""
        for one, part, below, above in _groups(conv, out, x, dy):
            self._way.add_weight_gradient(one, above, below, part)


def _groups(conv: Convolution, weight: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> Iterator[
        tuple[Convolution, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield the convolution, the weight, bottom and top of each group."""
    one = conv._replace(group=1)
    for part, below, above in zip(weight.chunk(conv.group), x.chunk(conv.group, 1), y.chunk(conv.group, 1),
                                  strict=True):
        yield one, part, below, above

"""The other layers as steps: ReLU, sum, concatenation, crop, upsampling.

In, out: as of every step (step).
Not here: convolution and pooling (sliding); layers that run as they are (plan).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..kernels import autotune, upsampling
from .reach import Reach, inside, meet
from .step import Step

functional = torch.nn.functional


class Pointwise(Step):
    """A step whose top sees its bottoms at the same place."""

    def lengths(self, below):
        """As the bottom."""
        return tuple(below[0])

    def reach(self, below):
        """Where any bottom's image reaches; constant where all are."""
        axes = []
        for bottoms in zip(*below, strict=True):
            image = min(r.image[0] for r in bottoms), max(r.image[1] for r in bottoms)
            flat = max(r.flat[0] for r in bottoms), min(r.flat[1] for r in bottoms)
            flat = meet(flat, bottoms[0].whole)
            if not inside(image, flat):
                return None
            axes.append(Reach(bottoms[0].length, image, flat))
        return tuple(axes)

    def flat(self, below, lengths):
        """Where all are."""
        return tuple((max(0, *(s[0] for s in spans)), min(length, *(s[1] for s in spans)))
                     for spans, length in zip(zip(*below, strict=True), lengths[0], strict=True))

    def reads(self, area, below):
        """The same part of each."""
        return [area] * len(below)


class Rectify(Pointwise):
    """ReLU that follows no convolution, or has a leak."""

    def __init__(self, layer: Any, below: int, above: int) -> None:
        self.layer, self.below, self.above = layer, (below,), above

    def run(self, area, below, fetch, space):
        """max(x, 0) + slope * min(x, 0)."""
        return functional.leaky_relu(fetch(self.below[0], area), self.layer.negative_slope)

    def constant(self, below):
        """The same of the constant."""
        return functional.leaky_relu(below[0], self.layer.negative_slope)


class Add(Pointwise):
    """Eltwise SUM."""

    def __init__(self, layer: Any, below: Sequence[int], above: int) -> None:
        self.layer, self.below, self.above = layer, tuple(below), above

    def run(self, area, below, fetch, space):
        """Add, each times its coefficient."""
        return self._sum([fetch(number, area).float() for number in self.below])

    def _sum(self, xs: Sequence[torch.Tensor]) -> torch.Tensor:
        coeff = self.layer.coeff
        total = torch.add(xs[0] if coeff[0] == 1 else xs[0] * coeff[0], xs[1], alpha=coeff[1])
        for x, c in zip(xs[2:], coeff[2:], strict=True):
            total.add_(x, alpha=c)
        return total

    def constant(self, below):
        """The same of the constants."""
        return self._sum(below)


class Join(Pointwise):
    """Concat along the channels."""

    def __init__(self, layer: Any, below: Sequence[int], above: int) -> None:
        self.layer, self.below, self.above = layer, tuple(below), above

    def run(self, area, below, fetch, space):
        """Join."""
        return torch.cat([fetch(number, area) for number in self.below], 1)

    def constant(self, below):
        """Join."""
        return torch.cat(list(below))


class Cut(Step):
    """Crop of rows and columns."""

    has_constant = False

    def __init__(self, layer: Any, below: int, above: int, like: Callable[[], tuple[int, ...]]) -> None:
        self.layer, self.below, self.above, self.like = layer, (below,), above, like
        self.offset = layer.offset[2 - layer.axis:]

    def lengths(self, below):
        """Those of the blob it is cropped to."""
        return self.like()

    def reads(self, area, below):
        """The same part, from the offset on."""
        return [tuple((a + o, b + o) for (a, b), o in zip(area, self.offset, strict=True))]

    def run(self, area, below, fetch, space):
        """Fetch."""
        return fetch(self.below[0], self.reads(area, below)[0])


class Upsample(Step):
    """Deconvolution; with one kernel a channel as products, else as torch does it."""

    has_constant = False

    def __init__(self, layer: Any, below: int, above: int) -> None:
        self.layer, self.below, self.above = layer, (below,), above
        self._kernels: torch.Tensor | None = None

    def pack(self):
        """See whether the present weights are one kernel a channel."""
        self._kernels = self.layer.own_kernels(self.layer.blobs[0].read_data())

    def lengths(self, below):
        """As the layer says."""
        return self.layer.output_length(below[0][0], 0), self.layer.output_length(below[0][1], 1)

    def reads(self, area, below):
        """What reaches the part; all, where kernels leave gaps."""
        layer, spans = self.layer, []
        for i, ((begin, end), r) in enumerate(zip(area, below[0], strict=True)):
            kernel, stride, pad = layer.kernel[i], layer.stride[i], layer.pad[i]
            span = -(-(begin + pad - kernel + 1) // stride), (end - 1 + pad) // stride + 1
            spans.append(meet(span, r.whole) if kernel >= stride and layer.dilation[i] == 1 else r.whole)
        return [tuple(spans)]

    def run(self, area, below, fetch, space):
        """Compute the wanted part alone."""
        layer, read = self.layer, self.reads(area, below)[0]
        x = fetch(self.below[0], read).float().contiguous()
        weight, bias = layer.blobs[0].read_data(), layer._bias()
        kernels, self.doubt = self._kernels, x.sum()  # Inf or NaN times the zeros left out would be NaN
        first = [span[0] - r[0] * stride + pad  # of the part, in what the part of x makes without pad
                 for span, r, stride, pad in zip(area, read, layer.stride, layer.pad, strict=True)]
        height, width = (end - begin for begin, end in area)
        if kernels is None:
            window = layer.stride, [0, 0], layer.dilation, True, [0, 0], layer.group
            y = (autotune.convolution(layer, x, weight, bias, *window) if x.is_cuda
                 else torch.convolution(x, weight, bias, *window))
            return y[:, :, first[0]:first[0] + height, first[1]:first[1] + width]
        out = space.take((1, 1, 1, x.shape[0] * layer.num_output * height * width), x.dtype)
        out = out.view(x.shape[0], layer.num_output, height, width)
        upsampling.upsample(x, kernels, layer.stride, first, out)
        return out if bias is None else out.add_(bias.view(-1, 1, 1))

"""Layers as steps on parts of blobs.

In:   a layer; the part of its top that is wanted; parts of its bottoms, by `fetch`.
Out:  that part of the top, a tensor (N, C, H, W).
Not here: which part is wanted, what lies around it (program); layers that are run as they are (program, AsIs).
Each step says how the reach of its top follows from its bottoms', and which parts of them it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .. import common, upsampling
from .reach import Reach, Span, Window, inside, meet
from .space import Space

Area = tuple[Span, ...]  # rows, columns
Reaches = tuple[Reach, ...]
Fetch = Callable[[int, Area], torch.Tensor]
MANY = 256  # channels from which copying a part with its surroundings costs less than computing more of them
functional = torch.nn.functional


class Step:
    """What a step is asked. `below` and `above` number values, not blobs: a layer in place makes a new value."""

    layer: Any
    below: tuple[int, ...]
    above: int
    stride: int = 1  # the larger of the two
    has_constant = True  # knows flat and constant
    wide = False  # copying a part with its surroundings costs less than computing more of its bottom

    def lengths(self, below: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """Height and width of the top, for bottoms of these."""
        raise NotImplementedError

    def reach(self, below: Sequence[Reaches]) -> Reaches | None:
        """How far the image reaches; None: no telling, all of the top is to be computed."""
        return None

    def flat(self, below: Sequence[Sequence[Span]], lengths: Sequence[Sequence[int]]) -> Area:
        """Where the top is constant, for bottoms that are constant there and no image at all."""
        raise NotImplementedError

    def reads(self, area: Area, below: Sequence[Reaches]) -> list[Area]:
        """The parts of the bottoms that a part of the top is computed from; within the bottoms."""
        raise NotImplementedError

    def run(self, area: Area, below: Sequence[Reaches], fetch: Fetch, space: Space) -> torch.Tensor:
        """Compute a part of the top."""
        raise NotImplementedError

    def constant(self, below: Sequence[torch.Tensor]) -> torch.Tensor:
        """The constant (C,) of the top, for those of the bottoms."""
        raise NotImplementedError


class Sliding(Step):
    """A step whose top sees its bottom through a window."""

    windows: tuple[Window, ...]

    @property
    def stride(self):
        """Of the window."""
        return max(w.stride for w in self.windows)

    def lengths(self, below):
        """As the layer rounds them."""
        return self.layer.output_length(below[0][0], 0), self.layer.output_length(below[0][1], 1)

    def reach(self, below):
        """Through the window; None if either axis cannot tell."""
        lengths = self.lengths([[axis.length for axis in below[0]]])
        found = [w.reach(r, n) for w, r, n in zip(self.windows, below[0], lengths, strict=True)]
        return None if None in found else tuple(found)

    def flat(self, below, lengths):
        """Through the window."""
        return tuple(w.flat(span, length, above) for w, span, length, above in zip(
            self.windows, below[0], lengths[0], self.lengths(lengths), strict=True))

    def reads(self, area, below):
        """What the window sees, without what lies beyond the bottom."""
        return [tuple(meet(w.reads(span), r.whole) for w, span, r in zip(self.windows, area, below[0], strict=True))]

    def beyond(self, area: Area, below: Reaches) -> list[tuple[int, int]]:
        """How far the window looks beyond the bottom, before and after, rows and columns."""
        seen = [w.reads(span) for w, span in zip(self.windows, area, strict=True)]
        return [(max(-begin, 0), max(end - r.length, 0)) for (begin, end), r in zip(seen, below, strict=True)]


class Convolve(Sliding):
    """Convolution, with the ReLU in place that follows it."""

    def __init__(self, layer: Any, below: int, above: int) -> None:
        self.layer, self.below, self.above = layer, (below,), above
        self.relu = False
        self.windows = tuple(
            Window(layer.dilation[i] * (layer.kernel[i] - 1) + 1, layer.stride[i], layer.pad[i], True) for i in (0, 1))
        self.wide = layer.channels >= MANY
        self._weight = torch.empty(0)
        self._packed: torch.Tensor | None = None

    def pack(self) -> None:
        """Take the present weights."""
        weight = self.layer.blobs[0].read_data()
        if common.precision() == "bf16":
            weight = weight.to(torch.bfloat16)
        self._weight, self._packed = weight, None
        if _PACKS and weight.numel() >= 1 << 12:
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                weight, [0, 0], self.layer.stride, self.layer.dilation, self.layer.group, [])

    def run(self, area, below, fetch, space):
        """Convolve; padding is the kernel's own where all of the top is wanted, else it is laid around."""
        x, pad = fetch(self.below[0], self.reads(area, below)[0]), [0, 0]
        if area == tuple((0, n) for n in self.lengths([[r.length for r in below[0]]])):
            pad = self.layer.pad
        else:
            rows, columns = self.beyond(area, below[0])
            if any(rows + columns):
                x = functional.pad(x, [*columns, *rows])
        out = None
        if self._packed is not None:
            sides = (end - begin for begin, end in area)
            out = space.take((x.shape[0], self.layer.num_output, *sides), self._weight.dtype)
        return self._convolve(x, pad, out)

    def _convolve(self, x: torch.Tensor, pad: list[int], out: torch.Tensor | None = None) -> torch.Tensor:
        layer = self.layer
        x = x.to(self._weight.dtype).contiguous(memory_format=torch.channels_last)
        bias = layer.blobs[1].read_data().to(x.dtype) if len(layer.blobs) > 1 else None
        if out is not None:  # the kernel that writes where it is told to adds to what is there
            return torch.ops.mkldnn._convolution_pointwise_.binary(
                out.zero_(), x, self._packed, bias, pad, layer.stride, layer.dilation, layer.group, "add", 1.0,
                "relu" if self.relu else None, [], "")
        y = torch.convolution(x, self._weight, bias, layer.stride, pad, layer.dilation, False, [0, 0],
                              layer.group)
        return y.clamp_min_(0) if self.relu else y

    def constant(self, below):
        """The convolution of a constant plane, without an edge."""
        extents = [w.extent for w in self.windows]
        return self._convolve(below[0].view(1, -1, 1, 1).expand(1, -1, *extents), [0, 0])[0, :, 0, 0]


class Pool(Sliding):
    """MAX pooling."""

    def __init__(self, layer: Any, below: int, above: int) -> None:
        self.layer, self.below, self.above = layer, (below,), above
        self.windows = tuple(Window(layer.kernel[i], layer.stride[i], layer.pad[i], False) for i in (0, 1))

    def lengths(self, below):
        """As the layer rounds them."""
        return self.layer.pooled_length(below[0][0], 0), self.layer.pooled_length(below[0][1], 1)

    def run(self, area, below, fetch, space):
        """Pool; only what lies inside the bottom counts."""
        x = fetch(self.below[0], self.reads(area, below)[0])
        rows, columns = self.beyond(area, below[0])
        if rows[0] or columns[0]:
            x = functional.pad(x, [*columns, *rows], value=float("-inf"))
        out = space.take((*x.shape[:2], *(end - begin for begin, end in area)), x.dtype)
        places = space.take(out.shape, torch.int64)
        torch.ops.aten.max_pool2d_with_indices.out(x, self.layer.kernel, self.layer.stride, [0, 0], [1, 1], True,
                                                   out=out, indices=places)
        space.give_back(places)
        return out

    def constant(self, below):
        """The same."""
        return below[0]


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
        kernels = layer._kernels(x, weight)
        first = [span[0] - r[0] * stride + pad  # of the part, in what the part of x makes without pad
                 for span, r, stride, pad in zip(area, read, layer.stride, layer.pad, strict=True)]
        height, width = (end - begin for begin, end in area)
        if kernels is None:
            y = torch.convolution(x, weight, bias, layer.stride, [0, 0], layer.dilation, True, [0, 0], layer.group)
            return y[:, :, first[0]:first[0] + height, first[1]:first[1] + width]
        out = x.new_empty(x.shape[0], layer.num_output, height, width)
        upsampling.upsample(x, kernels, layer.stride, first, out)
        return out if bias is None else out.add_(bias.view(-1, 1, 1))


_PACKS = (torch.backends.mkldnn.is_available()
          and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
          and hasattr(torch.ops.mkldnn, "_convolution_pointwise"))

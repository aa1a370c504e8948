"""How far an image reaches into a blob, along one axis.

In:   the geometry of a layer (kernel, stride, pad, dilation) and the reach of its bottom.
Out:  the reach of its top; which part of the bottom a part of the top is computed from.
Not here: tensors (steps), both axes together (program).
Why: around an image, FCNs pad 100 pixels. A value whose receptive field sees nothing but padding depends on the weights
alone: it is one constant per channel (`flat`), except near the outer edge, where a convolution's own padding shows.
"""

from __future__ import annotations

from dataclasses import dataclass

FAR = 1 << 40  # farther than any blob is long
Span = tuple[int, int]  # from (included) to (excluded)


@dataclass(frozen=True)
class Reach:
    """Along one axis of a blob: its length, the span that the image reaches, and the span around it that is constant.

    Outside flat, values are neither the image's nor the constant.
    """

    length: int
    image: Span
    flat: Span

    @property
    def is_unknown(self) -> bool:
        """Whether all of the axis may be the image's."""
        return self.image == self.flat == (0, self.length)

    @property
    def whole(self) -> Span:
        """All of the axis."""
        return 0, self.length


def of_input(length: int) -> Reach:
    """The reach of a net's input: around it are zeros, as far as any layer pads."""
    return Reach(length, (0, length), (-FAR, FAR))


def of_unknown(length: int) -> Reach:
    """The reach where nothing is known beforehand: all of it may be the image's."""
    return Reach(length, (0, length), (0, length))


@dataclass(frozen=True)
class Window:
    """A sliding window along one axis. Beyond the bottom a convolution sees zeros, a maximum nothing."""

    extent: int
    stride: int
    pad: int
    sees_zeros: bool

    def reads(self, span: Span) -> Span:
        """The span of the bottom from which a span of the top is computed; it may reach beyond the bottom."""
        return span[0] * self.stride - self.pad, (span[1] - 1) * self.stride - self.pad + self.extent

    def image(self, span: Span, length: int) -> Span:
        """The span of a top of this length that sees anything of a span of the bottom."""
        first = -(-(span[0] - self.extent + 1 + self.pad) // self.stride)
        last = (span[1] - 1 + self.pad) // self.stride
        return max(first, 0), min(last + 1, length)

    def seen_flat(self, flat: Span, below: int) -> Span:
        """What is constant to this window, of a bottom that is `below` long, and beyond its ends."""
        begin, end = flat
        if not self.sees_zeros:  # a window over the edge sees no more than what is inside
            return (-FAR if begin <= 0 else begin), (FAR if end >= below else end)
        if begin > -FAR:  # beyond the bottom are zeros, not the constant
            return max(begin, 0), min(end, below)
        return flat

    def flat(self, flat: Span, below: int, length: int) -> Span:
        """The span of the top that is constant where `flat` of the bottom is; may be empty."""
        begin, end = self.seen_flat(flat, below)
        begin = max(-(-(begin + self.pad) // self.stride), 0)
        return begin, max(begin, min((end + self.pad - self.extent) // self.stride + 1, length))

    def reach(self, below: Reach, length: int) -> Reach | None:
        """The reach of a top of this length; None where its image part sees what is neither image nor constant."""
        if below.is_unknown:
            return None
        image = self.image(below.image, length)
        if not inside(self.reads(image), self.seen_flat(below.flat, below.length)):
            return None
        flat = self.flat(below.flat, below.length, length)
        return Reach(length, image, flat if inside(image, flat) else image)


def join(a: Span, b: Span) -> Span:
    """The smallest span that holds both."""
    return min(a[0], b[0]), max(a[1], b[1])


def meet(a: Span, b: Span) -> Span:
    """What two spans have in common; empty: equal ends."""
    begin = max(a[0], b[0])
    return begin, max(begin, min(a[1], b[1]))


def inside(a: Span, b: Span) -> bool:
    """Return whether a lies in b."""
    return b[0] <= a[0] and a[1] <= b[1]

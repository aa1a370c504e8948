"""The steps of a net, what each needs of the one before, and a run of them.

In:   a net's layers and wiring; the shapes of its inputs.
Out:  the values of blobs: whole where they are wanted, else the parts that others need.
Not here: one step's arithmetic (steps), when a net runs so, blobs that scripts look at (plan).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from .. import common
from .reach import FAR, Span, inside, join, meet, of_input, of_unknown
from .space import Space, order
from .step import Area, Reaches, Step

KEPT_SHAPES = 32  # geometries that are kept, and frames
FLAT = 3  # places of a constant between two edges, at least


@dataclass
class Geometry:
    """What holds for one shape of the inputs, by number of a value."""

    reach: dict[int, Reaches] = field(default_factory=dict)
    area: dict[int, Area] = field(default_factory=dict)  # that is computed


@dataclass
class Part:
    """A part of a value."""

    tensor: torch.Tensor
    area: Area


class Program:
    """Steps in order, and the numbers of the values that they make.

    Args:
        steps: each reads values of lower numbers.
        inputs: numbers of the values that nobody makes.
    """

    def __init__(self, steps: Sequence[Step], inputs: Sequence[int]) -> None:
        self.steps, self.inputs = list(steps), list(inputs)
        self._geometries: OrderedDict[tuple, Geometry] = OrderedDict()
        self._frames: OrderedDict[tuple, torch.Tensor] = OrderedDict()
        self._around: dict[int, torch.Tensor] = {}
        self._by_value = {step.above: step for step in self.steps}
        self._space = Space()

    def pack(self) -> None:
        """Take the present weights, and drop what was computed from earlier ones."""
        self.forget()
        for step in self.steps:
            step.pack()

    def forget(self) -> None:
        """Drop what was computed from weights that have changed."""
        self._frames.clear()
        self._around.clear()

    def weights(self) -> list[torch.Tensor]:
        """Give what steps read besides values: the parameters, and what they made of them."""
        blobs = [blob.read_data() for step in self.steps for blob in step.layer.blobs]
        return [*blobs, *(step.packed for step in self.steps if step.packed is not None)]

    def known(self) -> list[torch.Tensor]:
        """Give what was computed from weights alone."""
        return [*self._frames.values(), *self._around.values()]

    # -- geometry ------------------------------------------------------------------------------

    def geometry(self, lengths: dict[int, tuple[int, ...]], wanted: frozenset[int], parts: bool = True) -> Geometry:
        """Say what is to be computed.

        Args:
            lengths: height and width of each input.
            wanted: numbers of the values that are wanted whole.
            parts: whether values may be computed in part.
        """
        key = (*lengths.items(), wanted, parts)
        if key not in self._geometries:
            if len(self._geometries) >= KEPT_SHAPES:
                self._geometries.popitem(last=False)
            self._geometries[key] = self._solve(lengths, wanted, parts)
        self._geometries.move_to_end(key)
        return self._geometries[key]

    def _solve(self, lengths: dict[int, tuple[int, ...]], wanted: frozenset[int], parts: bool) -> Geometry:
        g = Geometry()
        start = of_input if parts and len(set(lengths.values())) == 1 else of_unknown
        for number, (height, width) in lengths.items():
            g.reach[number] = start(height), start(width)
        upto = max((i for i, step in enumerate(self.steps) if step.above in wanted), default=-1) + 1
        for step in self.steps[:upto]:
            below = [g.reach[number] for number in step.below]
            g.reach[step.above] = step.reach(below) or tuple(
                of_unknown(n) for n in step.lengths([[r.length for r in axes] for axes in below]))
        needs = {number: tuple(r.whole for r in g.reach[number]) for number in wanted}
        needs = {number: self._computed(area, g.reach[number], True) for number, area in needs.items()}
        for step in reversed(self.steps[:upto]):
            if step.above not in needs:  # nobody wants it
                continue
            area = g.area[step.above] = needs[step.above]
            below = [g.reach[number] for number in step.below]
            for number, read, reach in zip(step.below, step.reads(area, below), below, strict=True):
                # copying costs less than computing a wider part of a small value, or of all that led to it
                copied = step.wide or self.stride(number, own=True) > 1
                read = self._computed(read, reach, copied)
                needs[number] = tuple(join(a, b) for a, b in zip(needs.get(number, read), read, strict=True))
        return g

    @staticmethod
    def _computed(read: Area, reach: Reaches, copied: bool) -> Area:
        """The part of what is read that is to be computed; the rest is known, or laid around in a copy."""
        if not copied and all(inside(span, r.flat) for span, r in zip(read, reach, strict=True)):
            return read
        spans = [meet(span, r.image) for span, r in zip(read, reach, strict=True)]
        return tuple((a, b) if a < b else (r.image[0], r.image[0] + 1) for (a, b), r in zip(spans, reach, strict=True))

    # -- running -------------------------------------------------------------------------------

    def run(self, inputs: dict[int, torch.Tensor], wanted: frozenset[int],
            parts: bool = True) -> dict[int, torch.Tensor]:
        """Compute values.

        Args:
            inputs: tensors (N, C, H, W) by number.
            wanted: which values to give, whole.
            parts: whether others may be computed in part.

        Returns:
            Tensors by number; give them back when they were read.
        """
        lengths = {number: tuple(x.shape[2:]) for number, x in inputs.items()}
        g = self.geometry(lengths, wanted, parts)
        have = {number: Part(x, tuple((0, n) for n in x.shape[2:])) for number, x in inputs.items()}
        last_use = {number: i for i, step in enumerate(self.steps) if step.above in g.area for number in step.below}
        found: dict[int, torch.Tensor] = {}
        for number, x in inputs.items():
            if number not in self._around or len(self._around[number]) != x.shape[1]:
                self._around[number] = x.new_zeros(x.shape[1])

        copies: list[torch.Tensor] = []

        def fetch(number: int, area: Area) -> torch.Tensor:
            part = have[number]
            if all(inside(want, has) for want, has in zip(area, part.area, strict=True)):
                return _cut(part.tensor, part.area, area)
            copies.append(self._surrounded(number, area, part, g, inputs))
            return copies[-1]

        for number in wanted & set(inputs):
            found[number] = inputs[number]
        for i, step in enumerate(self.steps):
            area = g.area.get(step.above)
            if area is None:
                continue
            made = step.run(area, [g.reach[number] for number in step.below], fetch, self._space)
            have[step.above] = Part(made, area)
            if step.above in wanted:
                found[step.above] = fetch(step.above, tuple(r.whole for r in g.reach[step.above]))
            spent = [have.pop(n).tensor for n in set(step.below) if last_use[n] == i and n not in inputs]
            for tensor in (*spent, *copies):
                if not any(tensor.data_ptr() == kept.data_ptr() for kept in (made, *found.values())):
                    self._space.give_back(tensor)
            copies.clear()
        return found

    def doubt(self, found: dict[int, torch.Tensor]) -> torch.Tensor:
        """Sum up what the last run gave, where it was computed: not finite if Caffe may have computed something else.

        Caffe's maxima pass over NaN, torch's do not.
        """
        sums = [x.sum(dtype=torch.float32) for x in found.values()]
        for step in self.steps:
            if step.doubt is not None:
                sums.append(step.doubt)
                step.doubt = None
        return torch.stack(sums).sum() if sums else torch.zeros((), device=common.device())

    def give_back(self, found: dict[int, torch.Tensor]) -> None:
        """Let the memory of values be used again."""
        for tensor in found.values():
            self._space.give_back(tensor)

    def _surrounded(self, number: int, area: Area, part: Part, g: Geometry,
                    inputs: dict[int, torch.Tensor]) -> torch.Tensor:
        """Copy what was computed of a part, and lay around it what is known."""
        n, c = part.tensor.shape[:2]
        if all(inside(want, r.flat) for want, r in zip(area, g.reach[number], strict=True)):
            out = self._space.take((n, c, *(b - a for a, b in area)), part.tensor.dtype)
            out.copy_(self.around(number).view(1, -1, 1, 1))
        else:
            frame = self._frame(number, [r.length for r in g.reach[number]], inputs)
            out = _cut(frame, tuple(r.whole for r in g.reach[number]), area).expand(n, -1, -1, -1)
            out = out.contiguous(memory_format=order(out.dtype))
        common = tuple(meet(a, b) for a, b in zip(area, part.area, strict=True))
        _cut(out, area, common).copy_(_cut(part.tensor, part.area, common))
        return out

    # -- what is known beforehand --------------------------------------------------------------

    def around(self, number: int) -> torch.Tensor:
        """The constant (C,) around the image in a value."""
        if number not in self._around:
            step = self._by_value[number]
            self._around[number] = step.constant([self.around(below) for below in step.below])
        return self._around[number]

    def _frame(self, number: int, lengths: Sequence[int], inputs: dict[int, torch.Tensor]) -> torch.Tensor:
        """A value of these lengths as it is where there is no image, from a run of the smallest image that shows it.

        Its edges are those of the large one if both lengths leave the same rest when divided by the stride.
        """
        first = next(iter(inputs.values()))
        small, middles = zip(*(self._small(number, axis, first.shape[2 + axis]) for axis in (0, 1)), strict=True)
        key = (number, small)
        if key not in self._frames:
            if len(self._frames) >= KEPT_SHAPES:
                self._frames.popitem(last=False)
            zeros = {i: x.new_zeros((1, x.shape[1], *small)) for i, x in inputs.items()}
            found = self.run(zeros, frozenset([number]), parts=False)
            self._frames[key] = found[number].clone()
            self.give_back(found)
        self._frames.move_to_end(key)
        frame = self._frames[key]
        for axis, length, middle in zip((2, 3), lengths, middles, strict=True):
            n, more = frame.shape[axis], [-1] * 4
            more[axis] = length - n
            frame = torch.cat([frame.narrow(axis, 0, middle), frame.narrow(axis, middle, 1).expand(more),
                               frame.narrow(axis, middle, n - middle)], axis)
        return frame

    def _small(self, number: int, axis: int, length: int) -> tuple[int, int]:
        """The smallest length of the image, with the same rest, that shows FLAT constant places of a value.

        Returns:
            The length, and the middle of the constant places; `length` itself where no smaller one shows them.
        """
        stride = self.stride(number)
        for small in range(length % stride or stride, length, stride):
            begin, end = self._constant(number, axis, small)
            if end - begin >= FLAT:
                return small, (begin + end) // 2
        return length, 0

    def _constant(self, number: int, axis: int, length: int) -> Span:
        """Where a value is constant, for a square input of this length without an image."""
        flat: dict[int, Area] = {i: ((-FAR, FAR), (-FAR, FAR)) for i in self.inputs}
        lengths: dict[int, tuple[int, ...]] = {i: (length, length) for i in self.inputs}
        for step in self.steps:
            if step.has_constant and all(i in flat for i in step.below):
                below = [lengths[i] for i in step.below]
                flat[step.above] = step.flat([flat[i] for i in step.below], below)
                lengths[step.above] = step.lengths(below)
            if step.above == number:
                break
        return flat[number][axis]

    def stride(self, number: int, own: bool = False) -> int:
        """How many pixels of the input lie between two places of a value; or of its step's bottom."""
        step = self._by_value.get(number)
        if step is None:
            return 1
        return step.stride if own else step.stride * max(self.stride(below) for below in step.below)


def _cut(tensor: torch.Tensor, has: Area, wanted: Area) -> torch.Tensor:
    """Cut a part out of a part."""
    (top, _), (left, _) = has
    (a, b), (c, d) = wanted
    return tensor[:, :, a - top:b - top, c - left:d - left]

"""A program: steps in order, the part of each value that later steps need, and running them.

In:   steps; the shapes of the values that no step makes; which values are wanted.
Out:  the wanted values, whole; of all others only the parts that they need.
Not here: one step's arithmetic (sliding, pointwise, steps, by_layer), when a net runs this way (plan).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from .reach import FAR, Reach, Span, inside, join, meet, of_input, of_unknown
from .space import Space, order
from .step import Area, Place, Reaches, Run, Step

KEPT_SHAPES = 32  # geometries and frames that are kept
FLAT = 3  # least number of constant places between two edges

Values = dict[int, torch.Tensor]
Shapes = dict[int, tuple[int, ...]]
Fetch = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Geometry:
    """What holds for one shape of the inputs, by value."""

    reach: dict[int, Reaches] = field(default_factory=dict)
    area: dict[int, Area] = field(default_factory=dict)  # that is computed
    turns: list[Turn] = field(default_factory=list)
    has_run: bool = False


@dataclass
class Turn:
    """A step's turn in a run."""

    step: Step
    run: Run
    bottoms: list[tuple[int, Fetch | None, bool]]  # a value, how to get what is read of it, whether that is a copy
    tops: Sequence[int]
    spent: list[int]  # values whose last reader this is; their memory may be reused
    is_plain: bool  # every bottom is used as computed, without cutting or padding


class Program:
    """Steps in order, and a run of them.

    Args:
        steps: each reads values of steps before it, or inputs.
        inputs: the values that no step makes.
        wanted: the values that are computed whole.
        space: memory to compute in.
    """

    def __init__(self, steps: Sequence[Step], inputs: Sequence[int], wanted: frozenset[int], space: Space) -> None:
        self.steps, self.wanted = list(steps), wanted
        read = {value for step in self.steps for value in step.bottoms} | wanted
        self.inputs = [value for value in inputs if value in read]
        self._by_value = {value: step for step in self.steps for value in step.tops}
        self._geometries: OrderedDict[tuple, Geometry] = OrderedDict()
        self._frames: OrderedDict[tuple, torch.Tensor] = OrderedDict()
        self._around: dict[int, torch.Tensor] = {}
        self._space = space

    def forget(self) -> None:
        """Drop what was computed from weights that have changed."""
        self._frames.clear()
        self._around.clear()

    def weights(self) -> list[torch.Tensor]:
        """Return what steps read besides values: the parameters, and what they derived from them."""
        blobs = [blob.read_data() for step in self.steps for blob in step.parameters]
        return [*blobs, *(tensor for step in self.steps for tensor in step.packed)]

    def known(self) -> list[torch.Tensor]:
        """Return what was computed from weights alone."""
        return [*self._frames.values(), *self._around.values()]

    # -- geometry ------------------------------------------------------------------------------

    def geometry(self, shapes: Shapes, wanted: frozenset[int], parts: bool = True) -> Geometry:
        """Return what is to be computed, and how.

        Args:
            shapes: of the inputs.
            wanted: the values that are wanted whole.
            parts: whether other values may be computed in part.
        """
        key = (*shapes.items(), wanted, parts)
        found = self._geometries.get(key)
        if found is None:
            if len(self._geometries) >= KEPT_SHAPES:
                self._geometries.popitem(last=False)
            found = self._geometries[key] = self._solve(shapes, wanted, parts)
            self._plan_turns(found, wanted)
        elif len(self._geometries) > 1:
            self._geometries.move_to_end(key)
        return found

    def _solve(self, shapes: Shapes, wanted: frozenset[int], parts: bool) -> Geometry:
        g = Geometry()
        steps = self._needed(wanted)
        image = self._image_lengths(shapes) if parts else None
        for value, shape in shapes.items():
            lengths = shape[2:] if len(shape) == 4 else ()
            g.reach[value] = tuple((of_input if lengths == image else of_unknown)(n) for n in lengths)
        for step in steps:
            below = [g.reach[value] for value in step.bottoms]
            reach = step.reach(below) if parts else None
            if reach:
                g.reach.update(dict.fromkeys(step.tops, reach))
                continue
            below_lengths = [[r.length for r in axes] for axes in below]
            for i, value in enumerate(step.tops):
                g.reach[value] = tuple(of_unknown(n) for n in step.lengths(below_lengths, i))
        needs = {value: self._computed(tuple(r.whole for r in g.reach[value]), g.reach[value], True)
                 for value in wanted}
        for step in reversed(steps):
            if step.is_whole:
                g.area.update({value: tuple(r.whole for r in g.reach[value]) for value in step.tops})
            else:
                g.area.update(dict.fromkeys(step.tops, self._joined(
                    [needs[value] for value in step.tops if value in needs])))
            area = g.area[step.tops[0]]
            below = [g.reach[value] for value in step.bottoms]
            for value, read, reach in zip(step.bottoms, step.reads(area, below), below, strict=True):
                # copying costs less than computing a wider part of a small value, or of all that led to it
                maker = self._by_value.get(value)
                copied = step.prefers_copies or (maker is not None and max(maker.strides) > 1)
                read = self._computed(read, reach, copied)
                needs[value] = self._joined([needs[value], read]) if value in needs else read
        return g

    def _needed(self, wanted: frozenset[int]) -> list[Step]:
        values, found = set(wanted), []
        for step in reversed(self.steps):
            if not values.isdisjoint(step.tops):
                values.update(step.bottoms)
                found.append(step)
        return found[::-1]

    @staticmethod
    def _image_lengths(shapes: Shapes) -> tuple[int, ...]:
        """Return height and width of the largest input; what lies around inputs of this size is known."""
        planes = [shape for shape in shapes.values() if len(shape) == 4]
        return max(planes, key=math.prod)[2:] if planes else ()

    @staticmethod
    def _joined(areas: Sequence[Area]) -> Area:
        first, *rest = areas
        for area in rest:
            first = tuple(join(a, b) for a, b in zip(first, area, strict=True))
        return first

    @staticmethod
    def _computed(read: Area, reach: Reaches, copied: bool) -> Area:
        """Return the part of what is read that is to be computed; the rest is known, or added around it in a copy."""
        read = tuple((a, b) if a < b else _one_place(r) for (a, b), r in zip(read, reach, strict=True))
        if not copied and all(inside(span, r.flat) for span, r in zip(read, reach, strict=True)):
            return read
        spans = [meet(span, r.image) for span, r in zip(read, reach, strict=True)]
        return tuple((a, b) if a < b else _one_place(r) for (a, b), r in zip(spans, reach, strict=True))

    # -- turns ---------------------------------------------------------------------------------

    def _plan_turns(self, g: Geometry, wanted: frozenset[int]) -> None:
        """Decide how each step gets its bottoms, and when memory is spent."""
        steps = [step for step in self.steps if step.tops[0] in g.area]
        root: dict[int, int] = {}  # whose memory a value may lie in
        for step in steps:
            for value in step.tops:
                memory = step.bottoms[0] if step.shares_memory else value
                root[value] = root.get(memory, memory)
        last_use = {root.get(value, value): i for i, step in enumerate(steps) for value in step.bottoms}
        last_read = {value: i for i, step in enumerate(steps) for value in step.bottoms}
        kept = {root.get(value, value) for value in wanted}
        sharers: dict[int, int] = {}
        for value in root.values():
            sharers[value] = sharers.get(value, 0) + 1
        for i, step in enumerate(steps):
            area, below = g.area[step.tops[0]], [g.reach[value] for value in step.bottoms]
            reads = step.reads(area, below)
            fetches = [self._fetch(value, read, g) for value, read in zip(step.bottoms, reads, strict=True)]
            first = step.bottoms[0]
            overwrites = (step.can_overwrite and self._is_free(first, i, root, sharers, last_read, kept)
                          and step.bottoms.count(first) == 1 and g.area[first] == reads[0])
            run = step.bind(Place(area, below, reads, overwrites, self._space))
            spent = [value for value, last in last_use.items() if last == i and value in root and value not in kept
                     and not (overwrites and value == first)]
            bottoms = [(value, *fetch) for value, fetch in zip(step.bottoms, fetches, strict=True)]
            is_plain = all(fetch is None for fetch, _ in fetches)
            g.turns.append(Turn(step, run, bottoms, step.tops, spent, is_plain))

    @staticmethod
    def _is_free(value: int, i: int, root: dict[int, int], sharers: dict[int, int], last_read: dict[int, int],
                 kept: set[int]) -> bool:
        """Whether a step may write into a bottom's memory: made here, shared with nobody, read for the last time."""
        return root.get(value) == value and sharers[value] == 1 and last_read[value] == i and value not in kept

    def _fetch(self, value: int, area: Area, g: Geometry) -> tuple[Fetch | None, bool]:
        """Return how to get a part of a value from the computed part (None: that is it), and whether that copies."""
        has = g.area.get(value) or tuple(r.whole for r in g.reach[value])
        if area == has:
            return None, False
        if any(begin >= end for begin, end in area):  # a window that lies beyond it
            return lambda x: x.new_empty((*x.shape[:2], *(end - begin for begin, end in area))), False
        if all(inside(want, span) for want, span in zip(area, has, strict=True)):
            return lambda x: _cut(x, has, area), False
        return lambda x: self._surrounded(value, area, x, has, g), True

    # -- running -------------------------------------------------------------------------------

    def run(self, inputs: Values) -> Values:
        """Compute the wanted values.

        Args:
            inputs: tensors by value.

        Returns:
            Tensors by value; valid until `give_back`.
        """
        return self._run(inputs, self.wanted, True)

    def _run(self, inputs: Values, wanted: frozenset[int], parts: bool) -> Values:
        g = self.geometry({value: tuple(x.shape) for value, x in inputs.items()}, wanted, parts)
        for value, x in inputs.items():
            if value not in self._around and x.dim() == 4:
                self._around[value] = x.new_zeros(x.shape[1])
        have = dict(inputs)
        for turn in g.turns:
            copies: list[torch.Tensor] = []
            if turn.is_plain:  # most are; the loop below takes three times as long
                bottoms = [have[value] for value in turn.step.bottoms]
            else:
                bottoms = []
                for value, fetch, is_copy in turn.bottoms:
                    part = have[value] if fetch is None else fetch(have[value])
                    if is_copy:
                        copies.append(part)
                    bottoms.append(part)
            have.update(zip(turn.tops, turn.run(*bottoms), strict=True))
            if not g.has_run:
                for value in turn.tops:
                    _check(turn.step, have[value], g.area[value])
            for value in turn.spent:
                self._space.give_back(have[value])
            if copies and not turn.step.shares_memory:  # else they last until the end
                for copy in copies:
                    self._space.give_back(copy)
        g.has_run = True
        return {value: self._whole(value, have[value], g) for value in wanted}

    def _whole(self, value: int, part: torch.Tensor, g: Geometry) -> torch.Tensor:
        fetch, _ = self._fetch(value, tuple(r.whole for r in g.reach[value]), g)
        return part if fetch is None else fetch(part)

    def checks(self, found: Values) -> torch.Tensor:
        """Return a sum over the results of the last run: not finite whenever Caffe's result may differ.

        Caffe's maxima ignore NaN, torch's do not.
        """
        sums = [x.sum(dtype=torch.float32) for x in found.values()]
        for step in self.steps:
            if step.checks is not None:
                sums.append(step.checks)
                step.checks = None
        if len(sums) == 1:
            return sums[0]
        return torch.stack(sums).sum() if sums else torch.zeros(())

    def give_back(self) -> None:
        """Let the memory of the last run be reused."""
        self._space.take_back()

    def _surrounded(self, value: int, area: Area, part: torch.Tensor, has: Area, g: Geometry) -> torch.Tensor:
        """Copy what was computed of a value, and surround it with what is known."""
        n, c = part.shape[:2]
        reach = g.reach[value]
        if all(inside(want, r.flat) for want, r in zip(area, reach, strict=True)):
            out = self._space.take((n, c, *(b - a for a, b in area)), part.dtype)
            out.copy_(self.around(value).view(1, -1, 1, 1))
        else:
            frame = self._frame(value, [r.length for r in reach], g)
            out = _cut(frame, tuple(r.whole for r in reach), area).expand(n, -1, -1, -1)
            out = out.to(part.dtype).contiguous(memory_format=order(part.dtype))
            out = out.clone() if out.data_ptr() == frame.data_ptr() else out
        inner = tuple(meet(a, b) for a, b in zip(area, has, strict=True))
        _cut(out, area, inner).copy_(_cut(part, has, inner))
        return out

    # -- what is known beforehand --------------------------------------------------------------

    def around(self, value: int) -> torch.Tensor:
        """Return the constant (C,) around the image in a value."""
        if value not in self._around:
            step = self._by_value[value]
            constants = step.constant([self.around(below) for below in step.bottoms])
            self._around.update(zip(step.tops, constants, strict=True))
        return self._around[value]

    def _frame(self, value: int, lengths: Sequence[int], g: Geometry) -> torch.Tensor:
        """Return a value of these lengths as it is where the input is all zeros.

        It is computed once, for the smallest input that shows both edges and a constant middle, which is then
        stretched. The edges match if both input lengths leave the same remainder modulo the stride.
        """
        images = self._images_of(value)
        first = g.reach[images[0]]
        small, middles = zip(*(self._small(value, axis, first[axis].length) for axis in (0, 1)), strict=True)
        key = (value, small)
        if key not in self._frames:
            if len(self._frames) >= KEPT_SHAPES:
                self._frames.popitem(last=False)
            zeros = {i: self._around[i].new_zeros((1, len(self._around[i]), *small)) for i in images}
            self._frames[key] = self._run(zeros, frozenset([value]), False)[value].clone()
        self._frames.move_to_end(key)
        frame = self._frames[key]
        for axis, length, middle in zip((2, 3), lengths, middles, strict=True):
            n, more = frame.shape[axis], [-1] * 4
            more[axis] = length - n
            frame = torch.cat([frame.narrow(axis, 0, middle), frame.narrow(axis, middle, 1).expand(more),
                               frame.narrow(axis, middle, n - middle)], axis)
        return frame

    def _images_of(self, value: int) -> list[int]:
        """Return the inputs that a value is computed from."""
        values = {value}
        for step in reversed(self.steps):
            if not values.isdisjoint(step.tops):
                values.update(step.bottoms)
        return [i for i in self.inputs if i in values]

    def _small(self, value: int, axis: int, length: int) -> tuple[int, int]:
        """Return the smallest length of the image, with the same remainder, that shows FLAT constant places of a value.

        Returns:
            The length, and the middle of the constant places; `length` itself where no smaller one shows them.
        """
        stride = self.stride(value, axis)
        for small in range(length % stride or stride, length, stride):
            begin, end = self._constant(value, axis, small)
            if end - begin >= FLAT:
                return small, (begin + end) // 2
        return length, 0

    def _constant(self, value: int, axis: int, length: int) -> Span:
        """Return the span of an axis where a value is constant, if the input is a square of zeros of this length."""
        flat: dict[int, Area] = {i: ((-FAR, FAR), (-FAR, FAR)) for i in self.inputs}
        lengths: dict[int, tuple[int, ...]] = {i: (length, length) for i in self.inputs}
        for step in self.steps:
            if step.has_constant and all(i in flat for i in step.bottoms):
                below = [lengths[i] for i in step.bottoms]
                area, above = step.flat([flat[i] for i in step.bottoms], below), step.lengths(below, 0)
                for top in step.tops:
                    flat[top], lengths[top] = area, above
            if value in step.tops:
                break
        return flat[value][axis]

    def stride(self, value: int, axis: int) -> int:
        """Return how many pixels of the input lie between two places of a value, along one axis."""
        step = self._by_value.get(value)
        if step is None:
            return 1
        return step.strides[axis] * math.lcm(*(self.stride(below, axis) for below in step.bottoms))


def _one_place(reach: Reach) -> Span:
    """Return a place to compute where nothing is needed: where the image begins, or the last one."""
    begin = max(0, min(reach.image[0], reach.length - 1))
    return begin, begin + 1


def _check(step: Step, made: torch.Tensor, area: Area) -> None:
    """Raise if a step made something other than it should have."""
    want = tuple(end - begin for begin, end in area)
    if made.dim() == 4 and tuple(made.shape[2:]) != want:
        names = ", ".join(layer.name for layer in step.layers) or type(step).__name__
        raise RuntimeError(f"{names}: made {tuple(made.shape)}, want planes of {want}")


def _cut(tensor: torch.Tensor, has: Area, wanted: Area) -> torch.Tensor:
    """Cut a part out of a part."""
    (top, _), (left, _) = has
    (a, b), (c, d) = wanted
    return tensor[:, :, a - top:b - top, c - left:d - left]

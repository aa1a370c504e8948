"""When a TEST net may run as a plan, and what happens to the blobs that are left out.

In:   a net that is to run forward from its first to its last layer.
Out:  its outputs, losses and every blob that a script holds a view of, as after Caffe's own pass; the other blobs are
    computed when they are looked at, by a pass layer by layer over the same inputs.
Not here: the steps (steps), parts of blobs (program), the pass layer by layer (net).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from .. import common
from ..errors import NetError
from ..layer import Layer
from . import steps
from .graphs import Graphs
from .program import Program
from .sliding import Convolve, Pool
from .step import Step

if TYPE_CHECKING:
    from ..net.net import Net

# Layers that only compute their tops from their bottoms, the same at every pass in phase TEST.
PURE = frozenset("""AbsVal Accuracy ArgMax BatchNorm Bias BNLL Clip Concat Convolution Crop Deconvolution Dropout
Eltwise ELU EuclideanLoss Exp Flatten HingeLoss InfogainLoss InnerProduct Log LRN MultinomialLogisticLoss MVN Pooling
Power PReLU Reduction ReLU Reshape Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split
Swish TanH Threshold Tile""".split())


class Plan:
    """The plan of one net. `Plan.of(net)` gives None where there is nothing to gain, or a layer has effects."""

    def __init__(self, net: Net, segments: list[Segment | int], sources: list[int]) -> None:
        self._net, self._segments, self._sources = net, segments, sources
        self._others = [i for i in range(len(net.layers)) if i not in sources]
        self._weights: list[tuple] = []
        self._kept: list[tuple[Any, torch.Tensor]] = []  # source blobs and their data at the last pass
        self._left_out: list[Any] = []  # memories that hold nothing yet
        self._lost = False  # nor can they any more

    @classmethod
    def of(cls, net: Net) -> Plan | None:
        """Make the plan of a net, if one serves."""
        w = net._w
        sources = [i for i, bottoms in enumerate(w.bottom_ids) if not bottoms]
        others = [layer for layer, bottoms in zip(w.layers, w.bottom_ids, strict=True) if bottoms]
        if net.phase != common.TEST or any(layer.type not in PURE for layer in others) or _edits_shared(net):
            return None
        segments = _segments(net)
        gains = any(isinstance(step, Convolve) for s in segments if isinstance(s, Segment)
                    for step in s.program.steps)
        return cls(net, segments, sources) if gains else None

    def run(self) -> float:
        """Run the whole net; give its loss."""
        w = self._net._w
        for i in self._sources:
            self._net.forward_layer(i)
        for i in self._others:
            self._net.reshape_layer(i)
        self._drop_left_out()
        for segment in self._segments:
            if isinstance(segment, Segment):
                segment.refresh()
        self._kept = [(blob, blob.read_data().clone()) for i in self._sources for blob in w.top_vecs[i]]
        written, doubts, losses = {id(blob._data) for blob, _ in self._kept}, [], []
        for part in self._segments:
            if not isinstance(part, Segment):
                losses += self._net.forward_layer(part)
                written.update(id(blob._data) for blob in w.top_vecs[part])
            else:
                doubts.append(part.run(w.blobs, written))
        numbers = torch.stack([*doubts, *losses]).tolist()  # the host waits for a GPU once
        if not all(math.isfinite(number) for number in numbers[:len(doubts)]):
            self._restore()
            return self._by_layer()
        self._left_out = [blob._data for blob in w.blobs if id(blob._data) not in written]
        for blob in w.blobs:
            blob._data.looked = False
        for memory in self._left_out:
            memory.leave_out(self.fill)
        self._watch_weights(self._before_weights_change)
        return sum(numbers[len(doubts):], 0.0)

    def _by_layer(self) -> float:
        """Run all layers but the sources one by one; give the net's loss."""
        return sum((float(loss) for i in self._others for loss in self._net.forward_layer(i)), 0.0)

    def fill(self) -> None:
        """Compute what was left out, over the inputs of the last pass."""
        if not any(memory.is_left_out() for memory in self._left_out):
            return
        # DEVIATION D38: Caffe has written every blob in its pass.
        if self._lost or self._is_stale():
            raise NetError("net: weights were written through a view since the last forward, which left out the blob "
                           "you look at; run forward again, or look at the blob before you write")
        self._drop_left_out()
        shapes = [(blob, blob.shape) for blob in self._net._w.blobs]  # scripts may have prepared the next pass
        now = [blob.read_data().clone() for blob, _ in self._kept]
        self._restore()
        with common.arithmetic():
            self._by_layer()
        for blob, shape in shapes:
            blob.reshape(*shape)
        for (blob, _), values in zip(self._kept, now, strict=True):
            blob.write_data().copy_(values)

    def _before_weights_change(self) -> None:
        """Compute what was left out, while the weights of the pass are there; if they changed unseen, it is lost."""
        if self._is_stale():
            self._lost = True
            self._watch_weights(None)
        else:
            self.fill()

    def _is_stale(self) -> bool:
        return any(segment.is_stale() for segment in self._segments if isinstance(segment, Segment))

    def _watch_weights(self, call: Callable[[], None] | None) -> None:
        for blob in self._net._w.params:
            blob._data.before_write(call)

    def _restore(self) -> None:
        """Put back the inputs of the last pass."""
        for blob, kept in self._kept:
            blob.reshape(*kept.shape)
            blob.write_data().copy_(kept)

    def _drop_left_out(self) -> None:
        for memory in self._left_out:
            memory.leave_out(None)
        self._watch_weights(None)
        self._left_out, self._lost = [], False


class Segment:
    """Layers in a row that run as one program, and which blobs carry its inputs and values."""

    def __init__(self, program: Program, blob_of_input: dict[int, int], value_of_blob: dict[int, int],
                 wanted: frozenset[int]) -> None:
        self.program, self._inputs, self._values, self._wanted = program, blob_of_input, value_of_blob, wanted
        self._graphs = Graphs(program)
        self._seen: list[Any] = []
        self._copies: dict[int, torch.Tensor] = {}

    def run(self, blobs: Sequence[Any], written: set[int]) -> torch.Tensor:
        """Compute the blobs that are wanted, watched, or were looked at after the last pass.

        Returns:
            A number that is not finite if one of them may be none of Caffe's.
        """
        inputs = {number: blobs[i].read_data() for number, i in self._inputs.items()}
        targets = {}
        for i, number in self._values.items():
            memory = blobs[i]._data
            if (i in self._wanted or memory.looked or memory.is_watched()) and id(memory) not in written:
                targets[i] = number
        found, doubt = self._graphs.run(inputs, frozenset(targets.values()))
        for i, number in targets.items():
            blobs[i].write_data().copy_(found[number])
            written.add(id(blobs[i]._data))
        self.program.give_back(found)
        return doubt

    def refresh(self) -> None:
        """Pack again, and forget what was computed, if any weight has changed."""
        now = self._weights()
        seen: list[Any] = [common.precision(), common.on_host(), common.device(),
                           *((id(memory), memory.version) for memory in now)]
        if seen == self._seen and not self.is_stale():
            return
        self.program.pack()
        self._graphs.forget()
        self._seen = seen
        self._copies = {id(memory): memory.read().clone() for memory in now if _may_change_unseen(memory)}

    def is_stale(self) -> bool:
        """Tell whether weights were written through a view or tensor that a script holds."""
        return any(self._was_edited(memory) for memory in self._weights() if _may_change_unseen(memory))

    def _weights(self) -> list[Any]:
        return [blob._data for step in self.program.steps for blob in step.layer.blobs]

    def _was_edited(self, memory: Any) -> bool:
        """Compare with the values that were packed; the first time there is nothing to compare with."""
        copy = self._copies.get(id(memory))
        return copy is None or not torch.equal(copy, memory.read())


def _may_change_unseen(memory: Any) -> bool:
    """Tell whether a script holds a view of what layers read; on a GPU that is the device's tensor alone."""
    return memory.is_watched() if common.on_host() else memory.is_held


# -- building ----------------------------------------------------------------------------------


def _edits_shared(net: Net) -> bool:
    """Tell whether a layer works in place on data that another blob shares; order matters then."""
    w = net._w
    count: dict[int, int] = {}
    for blob in w.blobs:
        count[id(blob._data)] = count.get(id(blob._data), 0) + 1
    return any(i in tops and count[id(w.blobs[i]._data)] > 1
               for layer, bottoms, tops in zip(w.layers, w.bottom_ids, w.top_ids, strict=True)
               for i in bottoms if layer.type not in ("Split", "Dropout"))


def _segments(net: Net) -> list[Segment | int]:
    """Cut the layers into programs and layers that run as they are (by number); sources are left out."""
    w = net._w
    parts: list[list[int] | int] = []
    for i, layer in enumerate(w.layers):
        if not w.bottom_ids[i]:
            continue
        if not _is_step(layer, w.bottom_vecs[i]):
            parts.append(i)
        elif parts and isinstance(parts[-1], list):
            parts[-1].append(i)
        else:
            parts.append([i])
    return [part if isinstance(part, int) else _segment(net, part) for part in parts]


def _segment(net: Net, layers: list[int]) -> Segment:
    w = net._w
    values: dict[int, int] = {}  # blob -> its value at this point
    inputs: dict[int, int] = {}  # value -> blob
    made: list[Step] = []
    numbers = iter(range(1 << 30))

    def value_of(blob: int) -> int:
        if blob not in values:
            values[blob] = next(numbers)
            inputs[values[blob]] = blob
        return values[blob]

    for i in layers:
        below = [value_of(blob) for blob in w.bottom_ids[i]]
        layer, tops = w.layers[i], w.top_ids[i]
        if layer.type in ("Split", "Dropout"):
            values.update(dict.fromkeys(tops, below[0]))
        elif _fuses(layer, made, below[0], tops[0] == w.bottom_ids[i][0], values):
            made[-1].relu = True  # type: ignore[attr-defined]
        else:
            made.append(_step(layer, below, next(numbers), w.bottom_vecs[i]))
            values[tops[0]] = made[-1].above
    inside = set(layers)
    wanted = set(w.output_ids)
    for i, bottoms in enumerate(w.bottom_ids):
        if i not in inside:
            wanted.update(bottoms)
    produced = {blob: number for blob, number in values.items() if number not in inputs}
    return Segment(Program(made, list(inputs)), inputs, produced, frozenset(wanted & set(produced)))


def _fuses(layer: Layer, made: list[Step], below: int, in_place: bool, values: dict[int, int]) -> bool:
    """Tell whether this is a plain ReLU in place right after a convolution whose value nobody else has."""
    return (layer.type == "ReLU" and in_place and layer.negative_slope == 0  # type: ignore[attr-defined]
            and bool(made) and isinstance(made[-1], Convolve) and made[-1].above == below
            and sum(number == below for number in values.values()) == 1)


def _is_step(layer: Any, bottom: Sequence[Any]) -> bool:
    """Tell whether a layer, with bottoms of these shapes, can be a step."""
    if any(len(blob.shape) != 4 for blob in bottom):
        return False
    if layer.type == "Convolution":
        return len(bottom) == 1 and layer.num_spatial_axes == 2 and layer.channel_axis == 1
    if layer.type == "Deconvolution":
        return len(bottom) == 1 and layer.num_spatial_axes == 2 and layer.channel_axis == 1
    if layer.type == "Pooling":
        return (layer.is_max and not layer.global_pooling and len(layer.layer_param.top) == 1 and layer.round_up
                and all(stride <= kernel for stride, kernel in zip(layer.stride, layer.kernel, strict=True)))
    if layer.type == "Eltwise":
        return layer.layer_param.eltwise_param.operation == layer.layer_param.eltwise_param.SUM
    if layer.type == "Concat":
        return len(bottom) > 1 and layer.axis == 1
    if layer.type == "Crop":
        return layer.axis == 2
    return layer.type in ("ReLU", "Split", "Dropout")


def _step(layer: Any, below: list[int], above: int, bottom: Sequence[Any]) -> Step:
    if layer.type == "Crop":
        return steps.Cut(layer, below[0], above, lambda: bottom[1].shape[2:])
    kinds = {"Convolution": Convolve, "Deconvolution": steps.Upsample, "Pooling": Pool,
             "ReLU": steps.Rectify, "Eltwise": steps.Add, "Concat": steps.Join}
    many = layer.type in ("Eltwise", "Concat")
    return kinds[layer.type](layer, below if many else below[0], above)

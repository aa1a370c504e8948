"""When a TEST net may run as a plan, what a pass writes, and how blobs that it left out are computed on demand.

In:   a net's wiring, ways to run and to reshape one layer, and the turn of whoever runs the net.
Out:  the losses of whole passes; outputs, and every blob that a script holds a view of, as after Caffe's own pass. The
    other blobs are computed when somebody looks at them, by a pass layer by layer over the same inputs and weights.
Not here: what a pass computes (trace), how (program), which weights have changed (weights).
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch

from .. import common, log
from ..blob import Blob, shape_version
from ..syncedmem import SyncedMemory
from .fuse import Fuser
from .graphs import Graphs
from .program import Program, Values
from .space import Space
from .trace import Trace, signature, trace
from .weights import Weights

if TYPE_CHECKING:
    from ..net.wiring import Wiring

KEPT_PROGRAMS = 4  # for blobs that are wanted by turns
MOST_REPEATS = 3  # after so many passes in a row that had to be rerun layer by layer,
REST = 30  # the plan is skipped for this many

RunLayer = Callable[[int], Sequence[torch.Tensor]]


class Plan:
    """The plan of one net; `Plan.of` makes one where that is allowed and worthwhile."""

    def __init__(self, wiring: Wiring, run_layer: RunLayer, reshape_layer: Callable[[int], None],
                 turn: AbstractContextManager[None]) -> None:
        self._wiring, self._run_layer, self._reshape_layer, self._turn = wiring, run_layer, reshape_layer, turn
        self._sources = [i for i, node in enumerate(wiring.nodes) if node.is_source]
        self._others = [i for i, node in enumerate(wiring.nodes) if not node.is_source]
        self._blobs = wiring.blobs
        self._shaped_at = -1  # the shape version that everything below fits
        self._signature: tuple = ()
        self._compiled = Compiled(Trace())
        self._is_empty = False  # a blob has no values
        self._endings: list[tuple[int, SyncedMemory, Blob]] = []
        self._always: frozenset[int] = frozenset()  # values that are wanted in every pass
        self._seen: set[SyncedMemory] = set()  # memories that a script asked for; they add themselves
        self._weights = Weights()
        self._setting: tuple = ()  # precision and device that weights are packed for
        self._inputs: list[tuple[Blob, torch.Tensor]] = []  # of the last pass
        self._is_behind = False  # layers and blobs that were left out know nothing about the last pass
        self._repeats, self._rest = 0, 0

    @classmethod
    def of(cls, wiring: Wiring, phase: int, run_layer: RunLayer, reshape_layer: Callable[[int], None],
           turn: AbstractContextManager[None]) -> Plan | None:
        """Return the plan of a net; None if it is not in phase TEST, a layer is not pure, or nothing can be gained."""
        layers = [node.layer for node in wiring.nodes if not node.is_source]
        may_run = phase == common.TEST and all(layer.is_pure and layer.phase == common.TEST for layer in layers)
        # Without a convolution there is little arithmetic, and a plan's own overhead may eat up the gain.
        gains = any(node.layer.type == "Convolution" for node in wiring.nodes)
        return cls(wiring, run_layer, reshape_layer, turn) if may_run and gains else None

    # -- a pass --------------------------------------------------------------------------------

    def run(self) -> list[float]:
        """Run the whole net; return its losses."""
        losses = [loss for i in self._sources for loss in self._run_layer(i)]
        if shape_version() != self._shaped_at:
            self._fit_shapes()
        if self._is_empty or self._rest > 0:
            self._rest -= 1
            return self._by_layer(losses)
        self._refresh_weights()
        sources, program = self._compiled.trace.sources, self._compiled.program_for(self._wanted())
        kept = [(blob, blob.read_data().clone()) for blob in sources.values()]
        try:
            found, checks = program.run({value: sources[value].read_data() for value in program.inputs})
        except Exception as problem:  # running the layers shows which one it is, and whether it fails without a plan
            program.give_back()
            return self._without(losses, problem)
        inner = [torch.dot(found[value].float().reshape(-1), blob.read_diff().reshape(-1))
                 for value, blob in self._compiled.trace.losses]
        *numbers, check = _on_host([*losses, *inner, checks])
        if not math.isfinite(check):
            program.give_back()
            return self._repeat(losses)
        self._write(found)
        program.give_back()
        self._inputs, self._is_behind, self._repeats = kept, True, 0
        self._weights.settle()
        return numbers

    def _without(self, losses: list[torch.Tensor], problem: Exception) -> list[float]:
        """Run layer by layer, now and from now on, because the plan failed."""
        found = self._by_layer(losses)
        log.warning(f"a net's plan failed, and it runs layer by layer: {problem}", "plan.py:1")
        self._rest = sys.maxsize
        return found

    def _repeat(self, losses: list[torch.Tensor]) -> list[float]:
        """Run layer by layer where values may differ from Caffe's; skip the plan for a while if it keeps happening."""
        self._repeats += 1
        if self._repeats >= MOST_REPEATS:
            self._repeats, self._rest = 0, REST
        return self._by_layer(losses)

    def _by_layer(self, losses: list[torch.Tensor]) -> list[float]:
        """Run all layers but the sources one by one; return all losses."""
        inner = [loss for i in self._others for loss in self._run_layer(i)]
        self._is_behind = False
        self._weights.keep_nothing()
        return [float(loss) for loss in [*losses, *inner]]

    def _wanted(self) -> frozenset[int]:
        """Return the values that this pass must compute whole."""
        if not self._seen:
            return self._always
        return self._always.union(value for value, memory, _ in self._endings if memory in self._seen)

    def _write(self, found: Values) -> None:
        """Write what was computed whole into its blobs, and leave out the others."""
        for value, memory, blob in self._endings:
            if value in found:
                blob.write_data().copy_(found[value])
            else:
                memory.leave_out(self.catch_up)
        self._seen.intersection_update([memory for memory in self._seen if memory.is_watched()])

    # -- shapes and weights --------------------------------------------------------------------

    def _fit_shapes(self) -> None:
        """Reshape all layers but the sources; trace the pass again if memories are shared differently."""
        for i in self._others:
            self._reshape_layer(i)
        now = signature(self._wiring.nodes, self._blobs)
        if now != self._signature:
            self._compiled, self._signature = Compiled(trace(self._wiring.nodes)), now
        self._fit_memories(self._compiled.trace)
        if self._weights.watch([parameter.blob for parameter in self._wiring.params]):
            self._setting = ()
        self._is_empty = any(blob.count == 0 for blob in self._blobs)
        self._shaped_at = shape_version()

    def _fit_memories(self, followed: Trace) -> None:
        """Find the memories that the pass writes; those of outputs and sources are always written."""
        # what lies in a source's memory is written before that memory is
        fleeting = followed.in_memory_of_sources()
        endings = sorted(followed.endings, key=lambda ending: ending.value not in fleeting)
        self._endings = [(ending.value, ending.blob._data, ending.blob) for ending in endings]
        seen = {id(self._blobs[i]._data) for i in self._wiring.output_ids}
        seen.update(id(blob._data) for blob in followed.sources.values())
        self._always = frozenset([value for value, memory, _ in self._endings if id(memory) in seen]
                                 + [value for value, _ in followed.losses])
        for _, memory, _ in self._endings:
            memory.lookers = self._seen
        self._seen.update(memory for _, memory, _ in self._endings if memory.is_watched())

    def _refresh_weights(self) -> None:
        """Forget what was derived from weights that have changed."""
        setting, changed = (common.precision(), common.device()), self._weights.changed()
        if setting != self._setting:
            self._compiled.forget(None)
            self._setting = setting
        elif changed:
            self._compiled.forget(changed)

    # -- layers and blobs that a pass left out -------------------------------------------------

    def catch_up(self) -> None:
        """Bring layers, and blobs that were left out, to their state after Caffe's own pass.

        All layers run one by one over the inputs and weights of the last pass. What scripts have written since, and
        shapes that they have prepared, stay as they are.
        """
        if self._is_behind:
            with self._turn:  # a thread that looks at a blob runs the net
                self._run_last_pass()

    def _run_last_pass(self) -> None:
        self._is_behind = False
        shapes = [(blob, blob.shape) for blob in self._blobs]
        memories = {id(blob._data): blob._data for blob in self._blobs}.values()
        present = [(memory, memory.read().clone()) for memory in memories if not memory.is_left_out()]
        try:
            with common.arithmetic(), self._weights.of_last_pass():
                for blob, values in self._inputs:
                    blob.reshape(*values.shape)
                    blob.write_data().copy_(values)
                for i in self._others:
                    self._run_layer(i)
        finally:
            for blob, shape in shapes:
                blob.reshape(*shape)
            for memory, values in present:
                memory.write().copy_(values)
        self._weights.keep_nothing()


class Compiled:
    """What a trace is compiled to: programs for the values that are wanted, which share steps and memory."""

    def __init__(self, followed: Trace) -> None:
        self.trace = followed
        self._fuser = Fuser(followed.operations, followed.sources)
        self._programs: OrderedDict[frozenset[int], Graphs] = OrderedDict()
        self._space = Space()

    def program_for(self, wanted: frozenset[int]) -> Graphs:
        """Return the program that computes these values whole."""
        if wanted not in self._programs:
            if len(self._programs) >= KEPT_PROGRAMS:
                self._programs.popitem(last=False)
            program = Program(self._fuser.steps_for(wanted), list(self.trace.sources), wanted, self._space)
            self._programs[wanted] = Graphs(program)
        self._programs.move_to_end(wanted)
        return self._programs[wanted]

    def forget(self, memories: set[int] | None) -> None:
        """Drop what was derived from the parameters in these memories, by id; None: from all."""
        for step in self._fuser.all_steps():
            if memories is None or any(id(blob._data) in memories for blob in step.parameters):
                step.pack()
        for graphs in self._programs.values():
            graphs.forget()


def _on_host(tensors: Sequence[torch.Tensor]) -> list[float]:
    """Return numbers on the host, waiting for a device only once."""
    if len(tensors) == 1:
        return tensors[0].reshape(1).tolist()
    return torch.stack([tensor.to(common.device()) for tensor in tensors]).tolist()

"""Programs as CUDA graphs: kernels recorded once, and relaunched as one while all they depend on stays the same.

In:   a program; its inputs and wanted values, pass after pass.
Out:  the same values, by a graph where one is recorded.
Not here: what a program computes (program), when weights have changed (plan), the switch (common.set_graphs).
Source: PyTorch's notes on CUDA semantics, "CUDA Graphs"; torch/cuda/graphs.py. Caffe has nothing of the kind.

A graph repeats kernels at the addresses it was recorded with. Inputs are copied into tensors of its own; weights
and what was computed from them are held, and a program forgets its graphs when it forgets these; values in between lie
in the graph's memory, which the next graph may overwrite: values must be read before the next run.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .. import common, log
from .program import Program

WARM = 3  # passes in a row before one is recorded: kernels have been chosen, frames and memory exist
KEPT = 4  # graphs of a program

Values = dict[int, torch.Tensor]
Made = tuple[Values, torch.Tensor]  # found values, and the program's check of them


class Recorder:
    """The code that touches torch.cuda; tests replace it."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, torch.cuda.Stream] = {}
        self._alive: dict[torch.device, weakref.WeakSet[torch.cuda.CUDAGraph]] = defaultdict(weakref.WeakSet)
        self._failed: torch.cuda.CUDAGraph | None = None

    def serves(self, device: torch.device) -> bool:
        """Return whether a device has graphs."""
        return device.type == "cuda"

    def record(self, work: Callable[[], Any], device: torch.device) -> tuple[Callable[[], None], Any]:
        """Record what `work` launches.

        It runs twice: once normally, so that libraries have their memory on the recording stream, and once to be
        recorded, when nothing is computed.

        Args:
            work: launches kernels, and neither reads on the host nor draws random numbers.
            device: a GPU.

        Returns:
            What launches the kernels again, and what `work` returned: tensors that hold values after each launch.

        Raises:
            Exception: it cannot be recorded. Streams and random numbers are then as before.
        """
        before, generator = torch.cuda.current_stream(device), torch.cuda.default_generators[device.index]
        state = generator.graphsafe_get_state()
        generator.graphsafe_set_state(generator.clone_state())  # a failed recording leaves it unusable
        with torch.cuda.device(device):
            try:
                return self._record(work, device, before)
            finally:
                generator.graphsafe_set_state(state)
                torch.cuda.set_stream(before)  # torch.cuda.graph does not, if the recording cannot be ended

    def _record(self, work: Callable[[], Any], device: torch.device,
                before: torch.cuda.Stream) -> tuple[Callable[[], None], Any]:
        if device not in self._streams:
            self._streams[device] = torch.cuda.Stream(device)
        stream = self._streams[device]
        stream.wait_stream(before)
        with torch.cuda.stream(stream):
            work()
        before.wait_stream(stream)
        alive = next(iter(self._alive[device]), None)  # a pool ends with the last graph in it
        pool = torch.cuda.graph_pool_handle() if alive is None else alive.pool()
        graph = torch.cuda.CUDAGraph()
        try:  # "global" would forbid the threads that read ahead to take memory meanwhile
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                made = work()
        except BaseException:
            self._failed = graph  # the allocator may still call it
            with contextlib.suppress(RuntimeError):  # it has already ended
                torch._C._cuda_endAllocateToPool(device.index, pool)
            raise
        self._alive[device].add(graph)
        return graph.replay, made


recorder = Recorder()


@dataclass
class Graph:
    """A recorded run."""

    replay: Callable[[], None]
    inputs: Values  # what it reads
    made: Made
    held: list[torch.Tensor]  # what else it reads: its memory must not be reused


class Graphs:
    """A program, and its most recently used graphs."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._graphs: OrderedDict[tuple, Graph] = OrderedDict()
        self._last: tuple | None = None
        self._times = 0

    @property
    def inputs(self) -> list[int]:
        """The values that the program reads and does not make."""
        return self._program.inputs

    def forget(self) -> None:
        """Drop all graphs, and what was computed from weights: they have changed."""
        self._program.forget()
        self._graphs.clear()
        self._last = None

    def give_back(self) -> None:
        """Let the memory of the last run be reused."""
        self._program.give_back()

    def run(self, inputs: Values) -> Made:
        """Compute values, as Program.run.

        Returns:
            Values by number, valid until any program's next run; and the program's check of them.
        """
        if not common.graphs() or not recorder.serves(common.device()):
            return self._plainly(inputs)
        weights = [tensor.data_ptr() for tensor in self._program.weights()]  # up to date on the device from here on
        key = (common.device(), common.precision(), tuple(weights),
               *((number, x.shape) for number, x in inputs.items()))
        self._times = self._times + 1 if key == self._last else 1
        self._last = key
        if key not in self._graphs and self._times > WARM:
            self._record(key, inputs)
        if key not in self._graphs:
            return self._plainly(inputs)
        self._graphs.move_to_end(key)
        graph = self._graphs[key]
        for number, x in inputs.items():
            graph.inputs[number].copy_(x)
        graph.replay()
        found, check = graph.made
        return found, check.clone()  # it is read after other graphs have run

    def _plainly(self, inputs: Values) -> Made:
        found = self._program.run(inputs)
        return found, self._program.checks(found)

    def _record(self, key: tuple, inputs: Values) -> None:
        """Record a run, or give up graphs for this process."""
        own = {number: x.clone() for number, x in inputs.items()}
        known = self._program.known()
        try:
            replay, made = recorder.record(lambda: self._plainly(own), common.device())
            if {id(tensor) for tensor in known} != {id(tensor) for tensor in self._program.known()}:
                raise RuntimeError("what is known beforehand was computed again while recording")
        except Exception as problem:
            self._program.forget()  # what was computed while recording holds no values
            common.set_graphs(False)
            log.warning(f"CUDA graphs: a plan could not be recorded; all continue without: {problem}", "graphs.py:1")
            return
        if len(self._graphs) >= KEPT:
            self._graphs.popitem(last=False)
        self._graphs[key] = Graph(replay, own, made, [*self._program.weights(), *known])

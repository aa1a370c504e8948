"""NCCL: what lets solvers of several processes train as one.

In:   a Solver, an identifier that its processes share; set_solver_count, set_solver_rank.
Out:  an object for solver.add_callback and net.after_backward: the mean of the gradients over all processes.
Not here: starting the processes, how they find each other (process_group).
Source: BVLC parallel.cpp; torch.distributed does the sending.
Large gradients are reduced in place, with layer_wise_reduce while the layers below still compute theirs; the
many small ones (biases) go together, as one flat copy. What no layer touched is 0 and is sent like the rest, so
that all processes always send the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from .. import common
from ..errors import SolverError
from . import process_group

if TYPE_CHECKING:
    from ..blob import Blob
    from .solver import Solver

_UID_BYTES = 128
_LARGE = 1 << 16  # values; smaller arrays cost more to send one by one than to copy
REDUCTIONS = ("mean", "sum")


class NCCL:
    """The gradients' mean over all solvers that train together, before every update.

    Args:
        solver: this process's solver.
        uid: what `new_uid` returned in one process, the same in all; ignored where torchrun started them.
        reduce: mean, as in Caffe, or sum. Ours.
        exact_normalizer: let losses divide by the mean over the processes of what they normalise with (pixels that
            count, batch size), so that the mean of the gradients is that of one large batch. Ours; Caffe's is a mean
            of means. All processes must run their train nets forward equally often.

    Raises:
        SolverError: an invalid uid or reduction, or the processes do not find each other.
    """

    def __init__(self, solver: Solver, uid: bytes, reduce: str = "mean", exact_normalizer: bool = False) -> None:
        if not isinstance(uid, bytes) or len(uid) != _UID_BYTES:
            raise SolverError(f"NCCL: got uid {uid!r:.40}, want what NCCL.new_uid() returned")
        if reduce not in REDUCTIONS:
            raise SolverError(f"NCCL: got reduce {reduce!r}, want mean or sum")
        self._solver = solver
        self._count = common.solver_count()
        self._scale = 1 / self._count if reduce == "mean" else 1.0
        self._passes = 0  # backward passes of this iteration
        self._sent: dict[int, Any] = {}  # by id of a blob: its reduction, which may still be running
        if self._count != 1:
            process_group.join(uid)
            common.set_normalizer(_mean_over_processes if exact_normalizer else None)

    @staticmethod
    def new_uid() -> bytes:
        """Return a new identifier, 128 bytes, to hand to all processes that are to train together."""
        uid = os.urandom(_UID_BYTES)
        process_group.forget_at_exit(uid)
        return uid

    def bcast(self) -> None:
        """Send the first solver's weights, history and iteration to all others.

        Raises:
            SolverError: another process is gone.
        """
        if self._count == 1:
            return
        solver = self._solver
        # DEVIATION D39: Caffe sends the weights alone, and every solver must have restored the same state.
        where = torch.tensor([solver._iter, solver._current_step], dtype=torch.float64)
        blobs = [*solver.net.learnable_params, *solver._history()]
        with torch.no_grad(), process_group.told():
            _apply(_broadcast, [where, *(blob.edit_data() for blob in blobs)])
        solver._iter, solver._current_step = (int(value) for value in where.tolist())

    def on_start(self) -> None:
        """Start counting an iteration's passes."""
        self._passes = 0
        self._sent.clear()

    def run(self, layer: int) -> None:
        """Send one layer's large gradients, in an iteration's last pass, while layers below still compute theirs.

        Raises:
            SolverError: another process is gone.
        """
        net, param = self._solver.net, self._solver.param
        if layer == len(net.layers) - 1:
            self._passes += 1
        if self._count == 1 or not param.layer_wise_reduce or net.debug_info or self._passes != param.iter_size:
            return
        self._refuse_shared()
        with torch.no_grad(), process_group.told():
            for blob in net.layers[layer].blobs:
                if blob.count >= _LARGE:
                    self._sent[id(blob)] = _reduce(blob.edit_diff())

    def on_gradients_ready(self) -> None:
        """Send all gradients that `run` did not, and wait until all are reduced.

        Raises:
            SolverError: layer_wise_reduce of a net that shares parameters; another process is gone.
        """
        if self._solver.param.layer_wise_reduce:
            self._refuse_shared()
        if self._count == 1:
            return
        params: list[Blob] = self._solver.net.learnable_params
        with torch.no_grad(), process_group.told():
            _apply(_reduce, [blob.edit_diff() for blob in params if id(blob) not in self._sent])
            for sent in self._sent.values():
                sent.wait()
            self._sent.clear()
            if self._scale != 1 and params:
                torch._foreach_mul_([blob.edit_diff() for blob in params], self._scale)

    def _refuse_shared(self) -> None:
        net = self._solver.net
        if len(net.wiring.params) != len(net.learnable_params):
            raise SolverError("Layer-wise reduce is not supported for nets with shared weights.: write "
                              "layer_wise_reduce: false into the solver prototxt")


def has_nccl() -> bool:
    """Return whether several processes can train together: on GPUs by NCCL, on CPUs by gloo."""
    return dist.is_available()


def _reduce(values: torch.Tensor) -> Any:
    return dist.all_reduce(values, dist.ReduceOp.SUM, async_op=True)


def _broadcast(values: torch.Tensor) -> Any:
    return dist.broadcast(values, 0, async_op=True)


def _apply(send: Callable[[torch.Tensor], Any], arrays: list[torch.Tensor]) -> None:
    """Send large arrays in place, the others as one flat copy per type; wait until all have arrived."""
    running = [send(array) for array in arrays if array.numel() >= _LARGE]
    for kind in dict.fromkeys((array.dtype, array.device) for array in arrays):
        small = [array for array in arrays if array.numel() < _LARGE and (array.dtype, array.device) == kind]
        if small:
            flat = torch.cat([array.reshape(-1) for array in small])
            send(flat).wait()
            for array, values in zip(small, flat.split([array.numel() for array in small]), strict=True):
                array.copy_(values.view_as(array))
    for one in running:
        one.wait()


def _mean_over_processes(amount: float) -> float:
    total = torch.tensor(float(amount), dtype=torch.float64)
    with process_group.told():
        _reduce(total).wait()
    return float(total) / common.solver_count()

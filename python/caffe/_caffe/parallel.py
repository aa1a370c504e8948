"""NCCL: what lets solvers of several processes train as one.

In:   a Solver, an identifier that its processes share; set_solver_count, set_solver_rank.
Out:  an object for solver.add_callback and net.after_backward.
Not here: starting the processes.
Source: BVLC parallel.cpp. One process, which shares with nobody, works; more are refused.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import common
from .errors import SolverError

if TYPE_CHECKING:
    from .solver import Solver

_UID_BYTES = 128


class NCCL:
    """The gradients' mean over all solvers that train together, before every update.

    Args:
        solver: this process's solver.
        uid: what `new_uid` gave in one process, the same in all.

    Raises:
        SolverError: several solvers (set_solver_count), or no such uid.
    """

    def __init__(self, solver: Solver, uid: bytes) -> None:
        if not isinstance(uid, bytes) or len(uid) != _UID_BYTES:
            raise SolverError(f"NCCL: got uid {uid!r:.40}, want what NCCL.new_uid() gave")
        if common.solver_count() != 1:
            raise SolverError(f"NCCL: got a solver count of {common.solver_count()}; training in several processes is "
                              "not there yet, only a count of 1 works (caffe.has_nccl() tells)")
        self._solver = solver

    @staticmethod
    def new_uid() -> bytes:
        """Return a new identifier, 128 bytes, to hand to all processes that are to train together."""
        return os.urandom(_UID_BYTES)

    def bcast(self) -> None:
        """Give all solvers the weights of the first; alone there is nobody to give them to."""

    def on_start(self) -> None:
        """Do nothing; called before an iteration's passes."""

    def run(self, layer: int) -> None:
        """Take the mean of one layer's gradients, while layers below still compute theirs; alone it is the own one."""

    def on_gradients_ready(self) -> None:
        """Take the mean of all gradients that `run` did not; alone it is the own one.

        Raises:
            SolverError: layer_wise_reduce of a net that shares parameters.
        """
        net = self._solver.net
        if self._solver.param.layer_wise_reduce and len(net._w.params) != len(net.learnable_params):
            raise SolverError("Layer-wise reduce is not supported for nets with shared weights.: write "
                              "layer_wise_reduce: false into the solver prototxt")


def has_nccl() -> bool:
    """Tell whether several GPUs can train together; not yet."""
    return False

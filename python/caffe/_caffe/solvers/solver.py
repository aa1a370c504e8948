"""Solver: runs a net forwards and backwards, lets a rule update it, tests it, saves it.

In:   a solver prototxt (or SolverParameter), from the working folder its paths are relative to.
Out:  a trained `net`, tested `test_nets`, snapshots, Caffe's log lines.
Not here: the update rule and the learning rate (sgd_solver), files (snapshot), building the
      nets (nets), lines (training_log).
Source: BVLC solver.cpp, _caffe.cpp.
"""

from __future__ import annotations

import functools
import math
import operator
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .. import common, log
from ..errors import SolverError
from ..files.proto_text import read_solver_param
from ..net.net import Net
from ..paths import path_of
from . import not_finite, snapshot, training_log
from .losses import Loss, Losses
from .nets import build_test_nets, build_train_net
from .parallel import NCCL

NONE, STOP, SNAPSHOT = "none", "stop", "snapshot"  # what can be asked of a solver while it runs


class Solver:
    """What all of Caffe's solvers share; `apply_update` is the rule's.

    Args:
        param_file: path of a solver prototxt. Its `solver_mode` and `device_id` are ignored, as
            in pycaffe: use set_mode_gpu and set_device.

    Raises:
        SolverError: a parameter that is missing, contradictory or not supported.
        NetError or ProtoError: a file or a net that cannot be read or built.
    """

    type = ""

    def __init__(self, param_file: str | os.PathLike[str]) -> None:
        self._init(read_solver_param(path_of(type(self).__name__, param_file, "a solver prototxt")))

    @classmethod
    def from_param(cls, param: Any) -> Solver:
        """Build a solver from an upgraded SolverParameter message, which is copied."""
        solver = cls.__new__(cls)
        copy = type(param)()
        copy.CopyFrom(param)
        solver._init(copy)
        return solver

    def _init(self, param: Any) -> None:
        log.info(f"Initializing solver from parameters: \n{param}", "solver.cpp:45")
        self.param = param
        self._check_param()
        if param.random_seed >= 0:
            common.set_random_seed(param.random_seed + common.solver_rank())
        self._net: Net = build_train_net(param)
        self._test_nets: list[Net] = build_test_nets(param)
        log.info("Solver scaffolding done.", "solver.cpp:57")
        self._iter = 0
        self._current_step = 0
        self._losses = Losses(param.average_loss)
        self._mean_scores: list[np.ndarray] = [np.zeros(0, np.float32)] * len(self.test_nets)
        self._timer = training_log.IterationTimer()
        self._warned = False
        self._callbacks: list[tuple[Callable[[], Any], Callable[[], Any]]] = []
        self._requested_action: Callable[[], str] = lambda: NONE
        self._stopped = False
        self._pre_solve()

    def _check_param(self) -> None:
        param = self.param
        if param.type and self.type and param.HasField("type") and param.type != self.type:
            # Caffe: the class decides, whatever `type` says; get_solver obeys `type`.
            log.warning(f'{self.type}Solver: the solver prototxt says type "{param.type}", which this class does not '
                        "obey; use caffe.get_solver", "solver.cpp:45")
        if param.average_loss < 1:
            raise SolverError(f"average_loss should be non-negative.: got {param.average_loss}, want at least 1")
        if param.iter_size < 1:
            raise SolverError(f"solver: got iter_size {param.iter_size}, want at least 1")
        if param.snapshot and common.root_solver():
            snapshot.check_snapshot_place(param)

    @property
    def net(self) -> Net:
        """The net in training."""
        return self._net

    @property
    def test_nets(self) -> list[Net]:
        """The nets of the tests, which use the weights of the net in training."""
        return self._test_nets

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise SolverError("a solver cannot be pickled or copied; write its state, solver.snapshot(), and restore it in "
                          "another: solver.restore(path)")

    # -- what the rule provides ----------------------------------------------------------------

    def apply_update(self) -> None:
        """Update the weights from their diffs and count one iteration."""
        raise NotImplementedError

    def _pre_solve(self) -> None:
        """Allocate what the rule remembers between iterations."""

    # DEVIATION D11: Caffe notices these only after the first forward and backward.
    def _check_ready(self) -> None:
        """Refuse parameters with which no iteration could complete, before the first one runs."""

    def _history(self) -> list[Any]:
        """Return the blobs the rule remembers, in the order of the solver state."""
        return []

    # -- training ------------------------------------------------------------------------------

    @property
    def iter(self) -> int:
        """How often the weights have been updated."""
        return self._iter

    def step(self, iters: int) -> None:
        """Train for `iters` iterations, with the tests, displays and snapshots that fall due."""
        with self.net.turn:
            self._step(iters)

    def _step(self, iters: int) -> None:
        self._check_ready()
        start_iter = self._iter
        stop_iter = start_iter + operator.index(iters)  # as Boost: 1.5 is a TypeError
        self._losses.begin()
        self._stopped = False
        self._timer.start(start_iter)
        while self._iter < stop_iter:
            self.net.clear_param_diffs()
            if (self.param.test_interval and self._iter % self.param.test_interval == 0
                    and (self._iter > 0 or self.param.test_initialization)):
                if common.root_solver():
                    self._test_all()
                if self._stopped:
                    break
            self._one_iteration(start_iter)
            request = self._requested_action()
            due = self.param.snapshot and self._iter % self.param.snapshot == 0
            if common.root_solver() and (due or request == SNAPSHOT):
                self.snapshot()
            if request == STOP:
                self._stopped = True
                break

    def _one_iteration(self, start_iter: int) -> None:
        param, net = self.param, self.net
        for on_start, _ in self._callbacks:
            on_start()
        display = bool(param.display) and self._iter % param.display == 0
        net.debug_info = display and param.debug_info
        self._losses.add([self._forward_backward() for _ in range(param.iter_size)], self._iter, start_iter)
        self._fetch_losses(only_many=not display)
        if display:
            training_log.display(net, self._iter, self._timer.lap(self._iter), param.display, self.smoothed_loss)
        for _, on_gradients_ready in self._callbacks:
            on_gradients_ready()
        self.apply_update()

    def _forward_backward(self) -> list[Loss]:  # on a device the scalars whose sum is the loss
        losses: list[Loss] = self.net.forward_losses()
        if common.device() is common.CPU or not_finite.stops():
            loss = sum((float(loss) for loss in losses), 0.0)
            self._look(self._iter, loss)
            losses = [loss]
        self.net.backward_from_to(len(self.net.layers) - 1, 0)
        return losses

    def _look(self, iteration: int, loss: float) -> None:
        if not math.isfinite(loss) and not self._warned:
            self._warned = True
            not_finite.report(self.net, loss, iteration, self.param.base_lr, self._iter)

    @property
    def smoothed_loss(self) -> float:
        """Mean of the last average_loss losses of this call of `step`; reading it waits for a device."""
        self._fetch_losses()
        return self._losses.smoothed

    def _fetch_losses(self, only_many: bool = False) -> None:
        for iteration, loss in self._losses.fetch() if self._losses.many or not only_many else ():
            self._look(iteration, loss)

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train up to max_iter, from a solver state where one is given; then save, display and test.

        Raises:
            SolverError, NetError, ProtoError: see `restore` and `step`.
        """
        param, is_root = self.param, common.root_solver()
        self._check_ready()
        if param.snapshot_after_train and is_root:
            snapshot.check_snapshot_place(param)
        log.info(f"Solving {self.net.name}", "solver.cpp:289")
        log.info(f"Learning Rate Policy: {param.lr_policy}", "solver.cpp:290")
        if resume_file is not None:
            resume_file = path_of("solver.solve", resume_file, "a solverstate")
            log.info(f"Restoring previous solver status from {resume_file}", "solver.cpp:297")
            self.restore(resume_file)
        start_iter = self._iter
        self.step(param.max_iter - self._iter)
        if is_root and param.snapshot_after_train and not (param.snapshot and self._iter % param.snapshot == 0):
            self.snapshot()
        if self._stopped:
            log.info("Optimization stopped early.", "solver.cpp:315")
            return
        # Caffe: one more forward pass (its data are used up) only to display the loss after the last update.
        if param.display and self._iter % param.display == 0:
            self._losses.add([[self.net.forward_from_to(0, len(self.net.layers) - 1)]], self._iter, start_iter)
            log.info(f"Iteration {self._iter}, loss = {self.smoothed_loss:g}", "solver.cpp:327")
        if is_root and param.test_interval and self._iter % param.test_interval == 0:
            self._test_all()
        self._fetch_losses()
        log.info("Optimization Done.", "solver.cpp:332")

    # -- testing -------------------------------------------------------------------------------

    def _test_all(self) -> None:
        for i in range(len(self.test_nets)):
            self._test(i)
            if self._stopped:
                return

    def _test(self, test_net_id: int) -> None:
        """Print the mean outputs of test_iter batches, with the weights of the train net."""
        log.info(f"Iteration {self._iter}, Testing net (#{test_net_id})", "solver.cpp:347")
        net, count = self.test_nets[test_net_id], self.param.test_iter[test_net_id]
        net.share_with(self.net)
        losses, sums = [], torch.zeros(0)
        for i in range(count):
            if self._asked_to_stop():
                log.info("Test interrupted.", "solver.cpp:396")
                return
            losses.append(net.forward_losses())
            values = training_log.outputs(net)
            if i > 0 and sums.shape != values.shape:
                raise SolverError(f"test net #{test_net_id}: its outputs changed from {sums.numel()} to "
                                  f"{values.numel()} values between batches; want one size for a mean")
            sums = sums + values if i > 0 else values
        if self.param.test_compute_loss:
            total = functools.reduce(operator.add, (sum((float(loss) for loss in batch), 0.0) for batch in losses))
            log.info(f"Test loss: {total / count:g}", "solver.cpp:401")
        self._mean_scores[test_net_id] = sums.cpu().numpy() / np.float32(count)
        training_log.test_outputs(net, self._mean_scores[test_net_id])

    def _asked_to_stop(self) -> bool:
        """Act on what was requested while a test ran."""
        while (request := self._requested_action()) != NONE:
            if request == SNAPSHOT:
                self.snapshot()
            self._stopped = self._stopped or request == STOP
        return self._stopped

    # -- files ---------------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write <snapshot_prefix>_iter_<iter>.caffemodel and .solverstate, or .caffemodel.h5 and .solverstate.h5.

        Raises:
            SolverError or ProtoError: they cannot be written; earlier files stay. Only the first solver saves.
        """
        if not common.root_solver():
            raise SolverError(f"snapshot: got solver rank {common.solver_rank()}; the first (rank 0) alone saves")
        snapshot.check_snapshot_place(self.param)
        self._fetch_losses()  # whoever saves weights should know of a loss that was nan
        snapshot.save(self.param, self.net, self._history(), self._iter, self._current_step)

    def restore(self, state_file: str | os.PathLike[str]) -> None:
        """Continue from a .solverstate: iteration, weights, history, step of multistep.

        Raises:
            SolverError: it does not fit this solver, or its weights are missing.
            ProtoError: a file is missing, empty, cut off or something else.
        """
        path = path_of("solver.restore", state_file, "a solverstate")
        state = snapshot.load(path, self.net, self._history())
        self._iter, self._current_step = state.iter, state.current_step

    # -- more of pycaffe -----------------------------------------------------------------------

    def share_weights(self, net: Net) -> None:
        """Let another net use the weights of this solver's net."""
        if not isinstance(net, Net):
            raise TypeError(f"solver.share_weights: got {type(net).__name__}, want a caffe.Net")
        net.share_with(self.net)

    def set_action_function(self, requested_action: Callable[[], str]) -> None:
        """Ask `requested_action()` after each iteration and before each test batch what to do: NONE, STOP, SNAPSHOT.

        Each answer is acted on once: it must return NONE until something new is requested.
        """
        self._requested_action = requested_action

    def add_callback(self, on_start: Any, on_gradients_ready: Any = None) -> None:
        """Call on_start() before each iteration's passes and on_gradients_ready() before its update.

        Args:
            on_start: a function, or an NCCL, which is both.
            on_gradients_ready: a function; none with an NCCL.

        Raises:
            SolverError: other arguments.
        """
        if isinstance(on_start, NCCL) and on_gradients_ready is None:
            on_start, on_gradients_ready = on_start.on_start, on_start.on_gradients_ready
        if not callable(on_start) or not callable(on_gradients_ready):
            raise SolverError(f"add_callback: got {on_start!r} and {on_gradients_ready!r}; want two functions, "
                              "on_start and on_gradients_ready, or one NCCL object")
        self._callbacks.append((on_start, on_gradients_ready))

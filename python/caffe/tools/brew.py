"""`caffe train` and `caffe test`.

In:   options of the tool `caffe`.
Out:  Caffe's log lines; training snapshots.
Not here: the training loop (_caffe.solvers.solver), signals, the progress line.
Source: BVLC tools/caffe.cpp.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from .._caffe import common, log
from .._caffe.files.proto_text import read_solver_param
from .._caffe.net.net import Net
from .._caffe.solvers.factory import solver_of
from .._caffe.solvers.solver import Solver
from .._caffe.solvers.training_log import output_values
from . import gpus
from .progress import Progress
from .signals import SignalActions


def stages(options: SimpleNamespace) -> list[str]:
    """Return the names in -stage."""
    return [name for name in options.stage.split(",") if name]


def train(options: SimpleNamespace) -> None:
    """Train from the beginning, from weights, or from a snapshot.

    Raises:
        ValueError: missing or mutually exclusive options. CaffeError: see caffe.get_solver.
    """
    if not options.solver:
        raise ValueError("Need a solver definition to train. (-solver solver.prototxt)")
    if options.snapshot and options.weights:
        raise ValueError("Give a snapshot to resume training or weights to finetune but not both.")
    actions = SignalActions(options.sigint_effect, options.sighup_effect)
    param = read_solver_param(options.solver)
    param.train_state.level = options.level
    param.train_state.stage.extend(stages(options))
    if options.snapshot or options.weights:
        param.ClearField("weights")
    if options.weights:
        param.weights.append(options.weights)
    _choose_device(options, param)
    with actions.listening():
        solver = solver_of(param, options.solver)
        if options.snapshot:
            log.info(f"Resuming from {options.snapshot}", "caffe.cpp:242")
            solver.restore(options.snapshot)
        log.info("Starting Optimization", "caffe.cpp:248")
        _solve(solver, actions)
    log.info("Optimization Done.", "caffe.cpp:259")


def _choose_device(options: SimpleNamespace, param: Any) -> None:
    """Use the device of -gpu, otherwise the solver's if it names one."""
    if options.gpu:
        numbers = gpus.chosen(options.gpu)
        gpus.select(numbers)
        param.device_id, param.solver_mode = numbers[0], param.GPU
    elif param.HasField("solver_mode") and param.solver_mode == param.GPU:
        # without CUDA these two warn and continue on the CPU, as they do for scripts
        common.set_device(max(param.device_id, 0))
        common.set_mode_gpu()
        log.info(f"Using {common.device()}, as the solver says", "caffe.cpp:218")
        if common.device().type == "cpu":
            gpus.say_threads()
    else:
        gpus.select([])


def _solve(solver: Solver, actions: SignalActions) -> None:
    with Progress(solver.iter, solver.param.max_iter) as progress:

        def action() -> str:
            progress.update(solver.iter, f"loss {solver.smoothed_loss:.5g}, ")
            return actions.requested()

        solver.set_action_function(action)
        solver.solve()


def test(options: SimpleNamespace) -> None:
    """Run a net with weights over `iterations` batches, and print the mean of its outputs.

    Raises:
        ValueError: options that are missing. CaffeError: a net or weights that cannot be used.
    """
    if not options.model:
        raise ValueError("Need a model definition to score. (-model net.prototxt)")
    if not options.weights:
        raise ValueError("Need model weights to score. (-weights net.caffemodel)")
    if options.iterations < 1:
        raise ValueError(f"-iterations {options.iterations}: want at least 1")
    gpus.select(gpus.chosen(options.gpu)[:1])
    net = Net(options.model, common.TEST, options.level, stages(options))
    for name in options.weights.split(","):
        net.copy_from(name)
    log.info(f"Running for {options.iterations} iterations.", "caffe.cpp:291")
    names = [net._blob_names[i] for i, blob in zip(net._outputs, net.output_blobs, strict=True)
             for _ in range(blob.count)]
    weights = [net._blob_loss_weights[i] for i, blob in zip(net._outputs, net.output_blobs, strict=True)
               for _ in range(blob.count)]
    loss, sums = 0.0, np.zeros(len(names), np.float32)
    for i in range(options.iterations):
        loss += net.forward_from_to(0, len(net.layers) - 1)
        values = output_values(net)
        if values.shape != sums.shape:
            raise ValueError(f"the net's outputs changed from {sums.size} to {values.size} values between batches; "
                             "want one size for a mean")
        sums += values
        for name, value in zip(names, values, strict=True):
            log.info(f"Batch {i}, {name} = {value:g}", "caffe.cpp:313")
    log.info(f"Loss: {loss / options.iterations:g}", "caffe.cpp:318")
    for name, weight, mean in zip(names, weights, sums / np.float32(options.iterations), strict=True):
        weighted = f" (* {weight:g} = {weight * mean:g} loss)" if weight else ""
        log.info(f"{name} = {mean:g}{weighted}", "caffe.cpp:330")

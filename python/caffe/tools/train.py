"""train.py: pycaffe's training on GPUs; on one, or on the CPU, until several train together.

In:   train.py --solver SOLVER [--snapshot STATE] [--gpus N [N ...]] [--timing].
Out:  what the solver saves; with --timing, each layer's milliseconds at every display.
Not here: the tool `caffe` (command).   Source: BVLC python/train.py, for behaviour.
"""

from __future__ import annotations

import argparse
from functools import partial

from .._caffe import log
from .._caffe.solver import Solver
from .._caffe.solver_factory import get_solver
from .._caffe.timer import Timer
from . import gpus
from .entry import tool


def train(solver_file: str, snapshot: str | None, numbers: list[int], timing: bool = False) -> Solver:
    """Train to max_iter.

    Args:
        solver_file: path of a solver prototxt.
        snapshot: solver state to go on from.
        numbers: GPUs; none computes on the CPU.
        timing: log what each layer takes.

    Raises:
        CaffeError: more than one GPU, or see caffe.get_solver.
    """
    gpus.select(numbers)
    solver = get_solver(solver_file)
    if timing:
        show_times(solver)
    # DEVIATION D57: BVLC's steps max_iter times, also after a snapshot, and does not save what it ends with.
    solver.solve(snapshot)
    return solver


def show_times(solver: Solver) -> None:
    """Let a solver log, at every display, the milliseconds of each layer and of all passes."""
    net = solver.net
    timers = {name: [Timer() for _ in net.layers] for name in ("forw", "back")}
    whole = Timer()

    def start(name: str, layer: int) -> None:
        timers[name][layer].start()

    def stop(name: str, layer: int) -> None:
        timers[name][layer].stop()

    net.before_forward(partial(start, "forw"))
    net.after_forward(partial(stop, "forw"))
    net.before_backward(partial(start, "back"))
    net.after_backward(partial(stop, "back"))

    def show() -> None:
        whole.stop()
        if solver.param.display and solver.iter % solver.param.display == 0:
            lines = [f"{name} {i:3d} {layer:>8} : {timer.ms:.2f}" for name, each in timers.items()
                     for i, (layer, timer) in enumerate(zip(net._layer_names, each, strict=True))]
            log.info("\n" + "\n".join(lines) + f"\nforward and backward: {whole.ms:.2f}", "train.py:0")

    solver.add_callback(whole.start, show)


@tool
def main(argv: list[str]) -> int:
    """Run train.py; gives the exit code."""
    parser = argparse.ArgumentParser(prog="train.py", description="Train with a solver prototxt.")
    parser.add_argument("--solver", required=True, help="Solver proto definition.")
    parser.add_argument("--snapshot", help="Solver snapshot to restore.")
    parser.add_argument("--gpus", type=int, nargs="+", help="List of device ids; GPU 0 where there is one, else the "
                        "CPU. More than one is not there yet.")
    parser.add_argument("--timing", action="store_true", help="Show timing info.")
    options = parser.parse_args(argv)
    if options.gpus is None:
        numbers = gpus.first()
    else:
        numbers = gpus.chosen(",".join(map(str, options.gpus)))
    train(options.solver, options.snapshot, numbers, options.timing)
    return 0

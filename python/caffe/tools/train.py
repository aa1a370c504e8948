"""train.py: pycaffe's training in one process per GPU, or in several on the CPU.

In:   train.py --solver SOLVER [--snapshot STATE] [--gpus N [N ...] | --cpu COUNT] [--timing].
Out:  what the solver saves; with --timing, each layer's milliseconds at every display.
Not here: what the processes exchange (_caffe.solvers.parallel), starting them (together), the
      tool `caffe` (command).
Source: BVLC python/train.py, for behaviour.
"""

from __future__ import annotations

import argparse
from functools import partial

from .._caffe import common, log
from .._caffe.solvers.factory import get_solver
from .._caffe.solvers.parallel import NCCL
from .._caffe.solvers.solver import Solver
from .._caffe.timer import Timer
from . import gpus
from .entry import tool
from .together import in_processes


def train(solver_file: str, snapshot: str | None, numbers: list[int], timing: bool = False) -> Solver:
    """Train to max_iter in this process.

    Args:
        solver_file: path of a solver prototxt.
        snapshot: solver state to resume from.
        numbers: one GPU; none computes on the CPU.
        timing: log the time each layer takes.

    Raises:
        CaffeError: see caffe.get_solver.
    """
    gpus.select(numbers)
    solver = get_solver(solver_file)
    if snapshot:
        solver.restore(snapshot)
    if timing and common.root_solver():
        show_times(solver)
    # DEVIATION D35: BVLC's steps max_iter times, even after a snapshot, and does not save the final weights.
    solver.solve()
    return solver


def train_rank(solver_file: str, snapshot: str | None, numbers: list[int], timing: bool, uid: bytes, rank: int,
               count: int) -> None:
    """Train to max_iter together with other processes, which do the same with different ranks.

    Args:
        solver_file: as `train`.
        snapshot: as `train`.
        numbers: GPUs, one for each rank; none computes on the CPU.
        timing: as `train`, of rank 0.
        uid: what NCCL.new_uid returned.
        rank: number of this process, from 0.
        count: how many there are.

    Raises:
        CaffeError: see caffe.get_solver and caffe.NCCL.
    """
    common.set_solver_count(count)
    common.set_solver_rank(rank)
    common.set_multiprocess(True)
    gpus.select(numbers[rank:rank + 1])
    solver = get_solver(solver_file)
    if snapshot:
        solver.restore(snapshot)
    nccl = NCCL(solver, uid)
    nccl.bcast()
    if timing and rank == 0:
        show_times(solver)
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.solve()


def show_times(solver: Solver) -> None:
    """Make a solver log, at every display, the milliseconds of each layer and of all passes."""
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
    """Run train.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="train.py", description="Train with a solver prototxt.")
    parser.add_argument("--solver", required=True, help="Solver proto definition.")
    parser.add_argument("--snapshot", help="Solver snapshot to restore.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--gpus", nargs="+", metavar="N", help="List of device ids, a process for each; GPU 0 if "
                       "there is one, else the CPU.")
    where.add_argument("--cpu", type=int, metavar="COUNT", help="Train on the CPU in this many processes.")
    parser.add_argument("--timing", action="store_true", help="Show timing info.")
    options = parser.parse_args(argv)
    if options.cpu is not None and options.cpu < 1:
        parser.error(f"--cpu {options.cpu}: want a number of processes from 1 up")
    numbers = [] if options.cpu else gpus.first()
    if options.gpus is not None:
        numbers = gpus.chosen(",".join(options.gpus))
    count = options.cpu or len(numbers) or 1
    if count == 1:
        train(options.solver, options.snapshot, numbers, options.timing)
        return 0
    log.info(f"Using devices {numbers}" if numbers else f"Using {count} processes on the CPU", "train.py:0")
    return in_processes(train_rank, count, options.solver, options.snapshot, numbers, options.timing, NCCL.new_uid())

"""`caffe time`: how long each layer takes, how much it computes, and its share of both.

In:   options of the tool `caffe`: a net, optionally weights, a phase, how many iterations.
Out:  Caffe's log lines of mean times; then a table on stdout.
Not here: counting operations (flops).   Source: BVLC tools/caffe.cpp, time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch

from .._caffe import common, log
from .._caffe.net.net import Net
from . import gpus
from .brew import stages
from .flops import flops

PHASES = {"": common.TRAIN, "TRAIN": common.TRAIN, "TEST": common.TEST}


def time_net(options: SimpleNamespace) -> None:
    """Run a net forwards and backwards, layer by layer, and print mean times.

    Raises:
        ValueError: options that are missing or wrong. CaffeError: a net that cannot be built.
    """
    if not options.model:
        raise ValueError("Need a model definition to time. (-model net.prototxt)")
    if options.phase not in PHASES:
        raise ValueError(f"phase must be \"TRAIN\" or \"TEST\"; got {options.phase!r}")
    if options.iterations < 1:
        raise ValueError(f"-iterations {options.iterations}: want at least 1")
    gpus.select(gpus.chosen(options.gpu)[:1])
    net = Net(options.model, PHASES[options.phase], options.level, stages(options))
    for name in filter(None, options.weights.split(",")):
        net.copy_from(name)
    last = len(net.layers) - 1
    log.info("Performing Forward", "caffe.cpp:356")
    log.info(f"Initial loss: {net.forward_from_to(0, last):g}", "caffe.cpp:361")
    log.info("Performing Backward", "caffe.cpp:362")
    net.backward_from_to(last, 0)
    print_table(net, *_measure(net, options.iterations))


def _measure(net: Net, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean milliseconds of each layer, (layers,) forward and backward, and log them."""
    count = len(net.layers)
    forward, backward = np.zeros(count), np.zeros(count)
    log.info("*** Benchmark begins ***", "caffe.cpp:371")
    log.info(f"Testing for {iterations} iterations.", "caffe.cpp:372")
    whole = time.perf_counter()
    totals = np.zeros(2)
    for i in range(iterations):
        begin = time.perf_counter()
        for layer in range(count):
            forward[layer] += _milliseconds(net.forward_from_to, layer)
        middle = time.perf_counter()
        # DEVIATION D33: Caffe also runs, and times, backward of layers that training leaves out.
        for layer in reversed(range(count)):
            backward[layer] += _milliseconds(net.backward_from_to, layer)
        end = time.perf_counter()
        totals += (middle - begin, end - middle)
        log.info(f"Iteration: {i + 1} forward-backward time: {1000 * (end - begin):g} ms.", "caffe.cpp:396")
    forward, backward = forward / iterations, backward / iterations
    _report(net, forward, backward, 1000 * totals / iterations, 1000 * (time.perf_counter() - whole))
    return forward, backward


def _milliseconds(run: Callable[[int, int], object], layer: int) -> float:
    begin = time.perf_counter()
    run(layer, layer)
    if common.device().type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - begin)


def _report(net: Net, forward: np.ndarray, backward: np.ndarray, means: np.ndarray, whole: float) -> None:
    log.info("Average time per layer: ", "caffe.cpp:401")
    for name, ahead, back in zip(net._layer_names, forward, backward, strict=True):
        log.info(f"{name:>10}\tforward: {ahead:g} ms.", "caffe.cpp:404")
        log.info(f"{name:>10}\tbackward: {back:g} ms.", "caffe.cpp:407")
    log.info(f"Average Forward pass: {means[0]:g} ms.", "caffe.cpp:412")
    log.info(f"Average Backward pass: {means[1]:g} ms.", "caffe.cpp:414")
    log.info(f"Average Forward-Backward: {means.sum():g} ms.", "caffe.cpp:416")
    log.info(f"Total Time: {whole:g} ms.", "caffe.cpp:418")
    log.info("*** Benchmark ends ***", "caffe.cpp:419")


def print_table(net: Net, forward: np.ndarray, backward: np.ndarray) -> None:
    """Print a row per layer: milliseconds and their share, GFLOPs forward, their share, and GFLOPs per second.

    Args:
        net: a net that has run.
        forward: (layers,) milliseconds.
        backward: likewise.
    """
    work = np.array([flops(node.layer, node.bottoms, node.tops) for node in net.wiring.nodes]) / 1e9
    both = forward + backward
    width = max(5, *(len(name) for name in net._layer_names))
    kinds = max(4, *(len(layer.type) for layer in net.layers))
    print(f"{'layer':<{width}}  {'type':<{kinds}}  {'forward ms':>10}  {'backward ms':>11}  {'time':>6}  "
          f"{'GFLOP':>9}  {'work':>6}  {'GFLOP/s':>8}")
    rows = zip([*net._layer_names, "all"], [*(layer.type for layer in net.layers), ""],
               np.append(forward, forward.sum()), np.append(backward, backward.sum()),
               np.append(both, both.sum()) / (both.sum() or 1), np.append(work, work.sum()),
               np.append(work, work.sum()) / (work.sum() or 1), strict=True)
    for name, kind, ahead, back, time_share, amount, work_share in rows:
        speed = 1000 * amount / ahead if ahead > 0 else 0.0
        print(f"{name:<{width}}  {kind:<{kinds}}  {ahead:>10.3f}  {back:>11.3f}  {time_share:>6.1%}  "
              f"{amount:>9.4g}  {work_share:>6.1%}  {speed:>8.1f}")

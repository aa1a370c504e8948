"""What the engine itself takes a layer, besides PyTorch's kernels: `python -m bench.per_layer [--quick] [--json]`.

In:   nothing; the net is ResNet-101 at three scales with shared weights, 1,370 layers, whose blobs are 1 x 1.
Out:  microseconds a layer: a forward pass less its ATen calls alone, each called again with the same tensors. Calls
      that only look at a tensor another way count as the engine's own; JSON has the figure with them as ATen's, too.
Not here: building the net (loading). One thread, for there is nothing to share out; each run takes both in turn.

A plan runs BatchNorm, Scale and ReLU with the convolution before them; its time is shared out over all layers. What the
same pass takes layer by layer (caffe.set_plans(False)) is a figure of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import caffe
from bench.loading import three_scales
from bench.measure import counted
from bench.worker import peak_gib

RUNS, QUICK_RUNS = 40, 3


class Recorder(TorchDispatchMode):
    """Keeps every call that reaches ATen, with its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((func.is_view, func._op, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def build() -> caffe.Net:
    """Build the net with small random weights and an image of one pixel."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(three_scales(side=1))
        net = caffe.Net(str(path), caffe.TEST)
    rng = np.random.default_rng(1)
    kinds = dict(zip(net._layer_names, (layer.type for layer in net.layers), strict=True))
    for name, blobs in net.params.items():
        for blob in blobs:
            values = 0.1 * rng.standard_normal(blob.data.shape)
            # statistics: means, variances and their weight; others would make values that are not finite
            blob.data[...] = 1 + np.abs(values) if kinds[name] == "BatchNorm" else values
    net.blobs["data"].data[...] = 1
    return net


def seconds(call) -> float:
    """Return how long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def measure(runs: int) -> dict:
    """Return a row of the table with the figures it is made of."""
    net = build()
    found = own_time(net, runs)
    caffe.set_plans(False)
    try:
        by_layer = own_time(net, runs)
    finally:
        caffe.set_plans(True)
    return {"name": "layers", "what": f"engine's own time a layer, {len(net.layers):,} layers of 1×1 blobs",
            "unit": "µs", "sides": {"ours": found.pop("own")}, "ratios": {}, "agrees": {}, "layers": len(net.layers),
            "by_layer": by_layer["own"], **found}


def own_time(net: caffe.Net, runs: int) -> dict:
    """Return microseconds a layer that a pass takes besides ATen, and what they are made of."""
    for _ in range(3):
        net.forward()
    recorder = Recorder()
    with recorder:
        net.forward()

    def replay(calls: list[tuple]) -> None:
        with torch.no_grad():
            for _, op, args, kwargs in calls:
                op(*args, **kwargs)

    computing = [call for call in recorder.calls if not call[0]]
    times = []
    for _ in range(runs):
        replay(computing)
        times.append([seconds(net.forward), seconds(lambda: replay(computing)),
                      seconds(lambda: replay(recorder.calls))])
    passes, alone, with_views = zip(*times)
    layers = len(net.layers)
    own = counted([1e6 * (whole - aten) / layers for whole, aten in zip(passes, alone)], peak_gib=peak_gib())
    return {"own": own, "aten_calls": len(computing), "views": len(recorder.calls) - len(computing),
            "pass_ms": counted([1e3 * t for t in passes]), "aten_ms": counted([1e3 * t for t in alone]),
            "own_without_views": counted([1e6 * (whole - aten) / layers for whole, aten in zip(passes, with_views)])}


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs in place of {RUNS}")
    parser.add_argument("--json", action="store_true", help="print the row of the table as JSON")
    args = parser.parse_args(argv)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        row = measure(QUICK_RUNS if args.quick else RUNS)
    finally:
        torch.set_num_threads(threads)
    if args.json:
        print(json.dumps([row]))
        return 0
    print(f"{row['layers']} layers, {row['aten_calls']} ATen calls: a pass {row['pass_ms']['median']:.2f} ms, "
          f"the calls alone {row['aten_ms']['median']:.2f} ms; the engine's own "
          f"{row['sides']['ours']['median']:.1f} µs a layer "
          f"({row['sides']['ours']['least']:.1f} to {row['sides']['ours']['most']:.1f}), "
          f"layer by layer {row['by_layer']['median']:.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

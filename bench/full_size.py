"""Time and memory of the paper's nets at full size: `python -m bench.full_size [--image FILE] [--runs 3]`.

In:   an image (default: a 500 x 500 one of noise); weights are random, for which neither time nor memory care.
Out:  a table: FCN-8s forward, FCN-32s training step (forward, backward, update), best and median seconds, peak memory.
Each row runs in a process of its own, so that the peaks are its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np

import caffe
from caffe.proto import caffe_pb2
from nets.prototxt import read_prototxt, write_prototxt

ROWS = {"fcn8s_forward": "FCN-8s, forward, 500 x 500", "fcn32s_step": "FCN-32s, training step, 500 x 500"}


def load_image(path: str | None) -> np.ndarray:
    """Give a (3, 500, 500) float32 BGR image less the mean."""
    if path is None:
        return np.random.default_rng(0).normal(0, 60, (3, 500, 500)).astype(np.float32)
    from PIL import Image

    with Image.open(path) as opened:
        rgb = np.asarray(opened.convert("RGB").resize((500, 500)), np.float32)
    return (rgb[..., ::-1] - np.array((104.00699, 116.66877, 122.67892), np.float32)).transpose(2, 0, 1)


def fill(net) -> None:
    """Give every parameter small random values."""
    rng = np.random.default_rng(1)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.standard_normal(blob.shape, np.float32) * 0.01


def fcn8s_forward(image: np.ndarray, runs: int) -> list[float]:
    """Time forward passes of the deploy net."""
    net = caffe.Net("models/voc-fcn8s/deploy.prototxt", caffe.TEST)
    fill(net)
    net.blobs["data"].reshape(1, *image.shape)
    net.blobs["data"].data[...] = image
    return _times(net.forward, runs)


def fcn32s_step(image: np.ndarray, runs: int) -> list[float]:
    """Time iterations of the released solver, with the image and a label in place of the data layer."""
    net = read_prototxt("models/voc-fcn32s/train.prototxt", caffe_pb2.NetParameter())
    data = caffe_pb2.LayerParameter(name="data", type="Input", top=["data", "label"])
    data.input_param.shape.add().dim.extend((1, *image.shape))
    data.input_param.shape.add().dim.extend((1, 1, *image.shape[1:]))
    net.layer[0].CopyFrom(data)
    solver = read_prototxt("models/voc-fcn32s/solver.prototxt", caffe_pb2.SolverParameter())
    with tempfile.TemporaryDirectory() as folder:
        write_prototxt(net, f"{folder}/train.prototxt")
        solver.train_net, solver.snapshot_prefix = f"{folder}/train.prototxt", f"{folder}/train"
        del solver.test_net[:], solver.test_iter[:]
        solver.ClearField("test_interval")
        write_prototxt(solver, f"{folder}/solver.prototxt")
        solver = caffe.SGDSolver(f"{folder}/solver.prototxt")
    fill(solver.net)
    solver.net.blobs["data"].data[...] = image
    solver.net.blobs["label"].data[...] = np.random.default_rng(2).integers(0, 21, image.shape[1:])
    return _times(lambda: solver.step(1), runs)


def _times(function, runs: int) -> list[float]:
    function()  # the first pass allocates
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return times


def main() -> int:
    """Run all rows, or one for the parent process."""
    parser = argparse.ArgumentParser(description="Time and memory of the full-size nets.")
    parser.add_argument("--image", help="photograph, resized to 500 x 500")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        times = globals()[args.row](load_image(args.image), args.runs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"best": min(times), "median": statistics.median(times), "peak_gib": peak}))
        return 0
    for row, title in ROWS.items():
        command = [sys.executable, "-m", "bench.full_size", "--row", row, "--runs", str(args.runs)]
        command += ["--image", str(Path(args.image).resolve())] if args.image else []
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(f"{title:<36} best {found['best']:6.2f} s   median {found['median']:6.2f} s   "
              f"peak {found['peak_gib']:.1f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

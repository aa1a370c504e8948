"""Time of a slim FCN-8s step, whole and by layer: `python -m bench.step [--size 256x192] [--runs 30] [--layers]`.

In:   nothing but the engine; the net is VGG-16 of widths 8, 16, 32, 64, 64 with fc 256, 7 classes, pad 100.
Out:  best and median milliseconds of forward and forward + backward; with --layers each layer's best.
Not here: full-size nets (`python -m bench`). Compare two versions on one machine, not numbers of two machines.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np

import caffe
from caffe import layers as L
from caffe import params as P

WIDTHS, FC, CLASSES = (8, 16, 32, 64, 64), 256, 7
FROZEN = [{"lr_mult": 0}]


def conv_relu(bottom, num_output: int, kernel_size: int = 3, pad: int = 1):
    """Stack a convolution and a ReLU in place."""
    conv = L.Convolution(bottom, num_output=num_output, kernel_size=kernel_size, pad=pad,
                         weight_filler={"type": "msra"})
    return conv, L.ReLU(conv, in_place=True)


def upsample(bottom, kernel_size: int, stride: int):
    """Upsample bilinearly, with frozen weights."""
    return L.Deconvolution(bottom, param=FROZEN, convolution_param={
        "num_output": CLASSES, "kernel_size": kernel_size, "stride": stride, "bias_term": False})


def slim_fcn8s(height: int, width: int) -> str:
    """Return the net as text."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, height, width]})
    n.label = L.Input(shape={"dim": [1, 1, height, width]})
    below = n.data
    for stage, (channels, depth) in enumerate(zip(WIDTHS, (2, 2, 3, 3, 3)), 1):
        for i in range(1, depth + 1):
            pad = 100 if below is n.data else 1
            n[f"conv{stage}_{i}"], n[f"relu{stage}_{i}"] = conv_relu(below, channels, pad=pad)
            below = n[f"relu{stage}_{i}"]
        n[f"pool{stage}"] = below = L.Pooling(below, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    for name, kernel in (("6", 7), ("7", 1)):
        n[f"fc{name}"], n[f"relu{name}"] = conv_relu(below, FC, kernel, 0)
        n[f"drop{name}"] = below = L.Dropout(n[f"relu{name}"], in_place=True)
    n.score_fr = L.Convolution(below, num_output=CLASSES, kernel_size=1)
    n.upscore2 = upsample(n.score_fr, 4, 2)
    n.score_pool4 = L.Convolution(n.pool4, num_output=CLASSES, kernel_size=1)
    n.score_pool4c = L.Crop(n.score_pool4, n.upscore2, crop_param={"offset": 5})
    n.fuse_pool4 = L.Eltwise(n.upscore2, n.score_pool4c)
    n.upscore_pool4 = upsample(n.fuse_pool4, 4, 2)
    n.score_pool3 = L.Convolution(n.pool3, num_output=CLASSES, kernel_size=1)
    n.score_pool3c = L.Crop(n.score_pool3, n.upscore_pool4, crop_param={"offset": 9})
    n.fuse_pool3 = L.Eltwise(n.upscore_pool4, n.score_pool3c)
    n.upscore8 = upsample(n.fuse_pool3, 16, 8)
    n.score = L.Crop(n.upscore8, n.data, crop_param={"offset": 31})
    n.loss = L.SoftmaxWithLoss(n.score, n.label, loss_param={"normalize": False, "ignore_label": 255})
    return str(n.to_proto())


def build(height: int, width: int) -> caffe.Net:
    """Build the net, fill its inputs and its upsampling weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        path.write_text(slim_fcn8s(height, width))
        caffe.set_random_seed(1)
        net = caffe.Net(str(path), caffe.TRAIN)
    rng = np.random.RandomState(1)
    net.blobs["data"].data[...] = rng.normal(0, 60, net.blobs["data"].data.shape)
    net.blobs["label"].data[...] = rng.randint(0, CLASSES, net.blobs["label"].data.shape)
    for name in ("upscore2", "upscore_pool4", "upscore8"):
        weight = net.params[name][0].data
        ramp = 1 - abs(np.arange(weight.shape[-1]) - (weight.shape[-1] - 1) / 2) / (weight.shape[-1] / 2)
        weight[range(CLASSES), range(CLASSES)] = np.outer(ramp, ramp)
    return net


def milliseconds(call, runs: int) -> list[float]:
    """Return the time of each of `runs` calls, after two to warm up."""
    times = []
    for i in range(runs + 2):
        start = time.perf_counter()
        call()
        if i > 1:
            times.append((time.perf_counter() - start) * 1e3)
    return times


def by_layer(net: caffe.Net, runs: int) -> None:
    """Print each layer's best forward and backward."""
    names = list(net._layer_names)
    for i, name in enumerate(names):
        ahead = min(milliseconds(lambda i=i: net._forward(i, i), runs))
        back = min(milliseconds(lambda i=i: net._backward(i, i), runs))
        print(f"{name:32s} {ahead:7.3f} {back:7.3f}")


def main(argv: list[str] | None = None) -> int:
    """Time the net and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="256x192", help="height x width of the image")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--layers", action="store_true", help="print each layer's time, too")
    args = parser.parse_args(argv)
    net = build(*map(int, args.size.split("x")))

    def step() -> None:
        net.clear_param_diffs()
        net.forward()
        net.backward()

    for name, call in (("forward", net.forward), ("forward + backward", step)):
        times = milliseconds(call, args.runs)
        print(f"{name:20s} best {min(times):7.2f} ms   median {statistics.median(times):7.2f} ms")
    if args.layers:
        print(f"{'layer':32s} forward backward")
        by_layer(net, args.runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

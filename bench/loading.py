"""Time to import caffe, to read FCN-8s' weights, to build a net of 1,370 layers: `python -m bench.loading [PART ...]`.

In:   nothing but the engine and models/voc-fcn8s/deploy.prototxt; 1.1 GB of room in the folder for temporary files.
Out:  JSON on stdout: the best of five in seconds (`import` above torch's), MB of memory beside the file's own pages.
Not here: forward and backward (step.py, measures.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np

import caffe
from caffe import layers as L

FCN8S = Path(__file__).resolve().parent.parent / "models" / "voc-fcn8s" / "deploy.prototxt"
BLOCKS = ((4, 3, 1), (8, 4, 2), (16, 23, 1), (32, 3, 1))  # a sixteenth of ResNet-101: channels, blocks, stride
RATES = (6, 12, 18, 24)
RUNS = 5
IMPORT = "import time, torch; start = time.perf_counter(); import caffe; print(time.perf_counter() - start)"


class Scale:
    """One of three copies of the trunk: its layers by its suffix, its parameters by names that all copies share."""

    def __init__(self, spec: caffe.NetSpec, suffix: str, pad: int) -> None:
        self.n, self.suffix, self.pad = spec, suffix, pad

    def conv(self, name: str, bottom, bias: bool = False, **param):
        """Add a convolution."""
        names = [{"name": f"{name}_w", "lr_mult": 1}, {"name": f"{name}_b", "lr_mult": 2}][:2 if bias else 1]
        self.n[name + self.suffix] = L.Convolution(bottom, param=names, bias_term=bias, **param)
        return self.n[name + self.suffix]

    def unit(self, name: str, bottom, relu: bool = True, **param):
        """Add convolution, BatchNorm, Scale and, where asked, ReLU."""
        top = self.conv(name, bottom, **param)
        top = self.n["bn_" + name + self.suffix] = L.BatchNorm(top, in_place=True, use_global_stats=True, param=[
            {"name": f"bn_{name}_{i}", "lr_mult": 0, "decay_mult": 0} for i in range(3)])
        top = self.n["scale_" + name + self.suffix] = L.Scale(top, in_place=True, bias_term=True, param=[
            {"name": f"scale_{name}_{i}", "lr_mult": 0} for i in range(2)])
        if relu:
            top = self.n["relu_" + name + self.suffix] = L.ReLU(top, in_place=True)
        return top

    def block(self, name: str, bottom, channels: int, stride: int, widen: bool):
        """Add a bottleneck."""
        short = self.unit(f"{name}_1", bottom, False, num_output=4 * channels, kernel_size=1,
                          stride=stride) if widen else bottom
        top = self.unit(f"{name}_2a", bottom, num_output=channels, kernel_size=1, stride=stride)
        top = self.unit(f"{name}_2b", top, num_output=channels, kernel_size=3, pad=1)
        top = self.unit(f"{name}_2c", top, False, num_output=4 * channels, kernel_size=1)
        top = self.n[name + self.suffix] = L.Eltwise(short, top)
        top = self.n[f"relu_{name}{self.suffix}"] = L.ReLU(top, in_place=True)
        return top

    def trunk(self, bottom):
        """Add the whole trunk and its four classifiers at different rates, summed."""
        top = self.unit("conv1", bottom, num_output=4, kernel_size=7, stride=2, pad=3)
        top = self.n["pool1" + self.suffix] = L.Pooling(top, kernel_size=3, stride=2, pad=self.pad)
        for stage, (channels, depth, stride) in enumerate(BLOCKS, 2):
            for i in range(depth):
                top = self.block(f"res{stage}_{i}", top, channels, stride if i == 0 else 1, widen=i == 0)
        heads = [self.conv(f"fc1_c{i}", top, True, num_output=5, kernel_size=3, pad=rate, dilation=rate)
                 for i, rate in enumerate(RATES)]
        self.n["fc1" + self.suffix] = L.Eltwise(*heads)
        return self.n["fc1" + self.suffix]


def three_scales(side: int = 65) -> str:
    """Return the net as text: ResNet-101 at three scales with every parameter shared by its name.

    Args:
        side: of the image; at 1 every blob of the trunks is 1 x 1, and what takes time is the number of layers.
    """
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 3, side, side]})
    n.data_075, n.data_05 = (L.Pooling(n.data, kernel_size=side // k + 1, stride=1) for k in (4, 2))
    scales = (("", n.data), ("_075", n.data_075), ("_05", n.data_05))
    tops = [Scale(n, suffix, pad=int(side == 1)).trunk(data) for suffix, data in scales]
    for name, top in zip(("up_075", "up_05"), tops[1:]):
        n[name] = L.Crop(L.Deconvolution(top, param={"lr_mult": 0}, convolution_param={
            "num_output": 5, "kernel_size": 4, "stride": 2, "bias_term": False}), tops[0], offset=0)
    n.fc_fusion = L.Eltwise(tops[0], n.up_075, n.up_05, operation=2)
    return str(n.to_proto())


def seconds(call: Callable[[], object]) -> float:
    """Return the best time of RUNS calls."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(min(times), 3)


def importing(folder: Path) -> dict:
    """Import caffe after torch, in processes of their own."""
    runs = [subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
            for _ in range(RUNS + 1)]
    return {"seconds": round(min(float(run.stdout) for run in runs), 3)}


def own_memory() -> int:
    """Return the MB that this process has, without pages of files."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) // 1024


def reading(folder: Path) -> dict:
    """Read FCN-8s' weights into a net that has just been built, and into one that had them."""
    path, rng, fresh = folder / "fcn8s.caffemodel", np.random.default_rng(1), []
    net = caffe.Net(str(FCN8S), caffe.TEST)
    for blobs in net.params.values():
        for blob in blobs:
            rng.standard_normal(out=blob.data, dtype=np.float32)
    net.save(str(path))
    before = own_memory()
    again = seconds(lambda: net.copy_from(str(path)))
    more = own_memory() - before
    for _ in range(RUNS):
        net = caffe.Net(str(FCN8S), caffe.TEST)
        start = time.perf_counter()
        net.copy_from(str(path))
        fresh.append(time.perf_counter() - start)
    return {"bytes": path.stat().st_size, "seconds": round(min(fresh), 3), "seconds_again": again, "more_mb": more}


def building(folder: Path) -> dict:
    """Build ResNet-101 at three scales."""
    path = folder / "net.prototxt"
    path.write_text(three_scales())
    net = caffe.Net(str(path), caffe.TEST)
    owned = len(net.learnable_params)
    return {"layers": len(net.layers), "parameters": sum(len(layer.blobs) for layer in net.layers),
            "owned": owned, "seconds": seconds(lambda: caffe.Net(str(path), caffe.TEST))}


PARTS = {"import": importing, "read": reading, "build": building}


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args(argv).parts or list(PARTS)
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"got {', '.join(unknown)}, want of {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({name: PARTS[name](Path(folder)) for name in parts}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

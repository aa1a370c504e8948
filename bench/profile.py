"""Where a net's time goes: `python -m bench.profile NAME [--deploy] [--size 500x500] [--runs 5]`.

In:   a net of models/: its train.prototxt with an Input in place of the data layer, or with --deploy its deploy net.
Out:  a table and a plot: milliseconds of each layer forward and backward, and the GFLOP/s it reaches beside those of
      a matrix product and of a convolution in the same process; PROFILE-NAME.json and .png beside bench's results.
Not here: counting operations (caffe.tools.flops: with every product with zero, so more than the peak is possible
      where padding is not computed, or tiles take fewer products). A TEST net runs layer by layer here; the last
      line is a whole pass, as a user gets it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import startup

if __name__ == "__main__":
    startup.ensure_environment()
os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np
import torch

import caffe
from bench import report
from bench.inputs import MODELS, fill, with_input
from bench.machine import stamp
from bench.peers import BenchError
from caffe.proto import caffe_pb2
from caffe.tools.flops import flops
from nets.prototxt import read_prototxt, write_prototxt


def best(call: Callable[[], object], runs: int) -> float:
    """Return the shortest time of some calls, in milliseconds."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    return min(times)


def peaks(runs: int, small: bool) -> dict[str, float]:
    """Return GFLOP/s of a matrix product and of a 3 x 3 convolution, fp32, as PyTorch computes them here."""
    n, side = (128, 16) if small else (2048, 128)
    a, image, kernel = torch.randn(n, n), torch.randn(1, 256, side, side), torch.randn(256, 256, 3, 3)
    with torch.no_grad():
        product = best(lambda: a @ a, runs + 2)
        convolution = best(lambda: torch.conv2d(image, kernel, padding=1), runs + 2)
    return {"matrix product": 2e-6 * n**3 / product,
            "convolution": 2e-6 * kernel.numel() * side**2 / convolution}


def sizes_of(name: str, size: tuple[int, int] | None) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input of a net, and of a label of that size under any other name."""
    deploy = read_prototxt(MODELS / name / "deploy.prototxt", caffe_pb2.NetParameter())
    shapes = {}
    for layer in deploy.layer:
        if layer.type == "Input":
            dims = list(layer.input_param.shape[0].dim)
            shapes[layer.top[0]] = tuple(dims[:2]) + (size or tuple(dims[2:]))
    return shapes


def build(name: str, deploy: bool, size: tuple[int, int] | None) -> caffe.Net:
    """Build the net with random weights and inputs.

    Raises:
        BenchError: there is no such net, or it has no training net.
    """
    path = MODELS / name / ("deploy.prototxt" if deploy else "train.prototxt")
    if not deploy and not path.exists():
        path = MODELS / name / "trainval.prototxt"
    if not path.exists() or not (MODELS / name / "deploy.prototxt").exists():
        there = ", ".join(sorted(p.parent.name for p in MODELS.glob("*/deploy.prototxt")))
        raise BenchError(f"net '{name}': no '{path}'; there are: {there}")
    shapes = sizes_of(name, size)
    message = read_prototxt(path, caffe_pb2.NetParameter())
    if not deploy:
        label = (1, 1, *next(iter(shapes.values()))[2:])
        message = with_input(message, {top: shapes.get(top, label) for top in message.layer[0].top})
    with tempfile.TemporaryDirectory() as folder:
        write_prototxt(message, Path(folder) / "net.prototxt")
        net = caffe.Net(str(Path(folder) / "net.prototxt"), caffe.TEST if deploy else caffe.TRAIN)
    fill(net)
    rng = np.random.default_rng(0)
    for top, shape in shapes.items():
        if deploy:
            net.blobs[top].reshape(*shape)
        net.blobs[top].data[...] = rng.standard_normal(shape, np.float32)
    return net


def layers(net: caffe.Net, backward: bool, runs: int) -> list[dict]:
    """Return a row a layer: its best times in milliseconds and its operations in GFLOP."""
    net.forward()
    if backward:
        net.backward()
    rows = []
    for i, node in enumerate(net.wiring.nodes):
        name, layer = node.name, node.layer
        work = flops(layer, node.bottoms, node.tops) / 1e9
        ahead = best(lambda i=i: net._forward(i, i), runs)
        back = best(lambda i=i: net._backward(i, i), runs) if backward else 0.0
        sides = any(node.bottom_need_backward) + any(layer.param_propagate_down)  # each as much as forward
        rows.append({"layer": name, "type": layer.type, "forward_ms": ahead, "backward_ms": back, "gflop": work,
                     "backward_gflop": work * sides if backward else 0.0})
    return rows


def rate(work: float, milliseconds: float) -> float:
    """Return GFLOP/s."""
    return 1e3 * work / milliseconds if milliseconds > 0 else 0.0


def text(result: dict) -> str:
    """Return the table."""
    lines = [f"{'layer':24} {'type':16} {'forward ms':>11} {'GFLOP/s':>9} {'backward ms':>12} {'GFLOP/s':>9} "
             f"{'time':>6}"]
    total = sum(row["forward_ms"] + row["backward_ms"] for row in result["layers"])
    for row in result["layers"]:
        share = (row["forward_ms"] + row["backward_ms"]) / total
        lines.append(f"{row['layer']:24} {row['type']:16} {row['forward_ms']:11.3f} "
                     f"{rate(row['gflop'], row['forward_ms']):9.1f} {row['backward_ms']:12.3f} "
                     f"{rate(row['backward_gflop'], row['backward_ms']):9.1f} {share:6.1%}")
    lines.append(f"all layers one by one {total:.1f} ms; a whole pass {result['pass_ms']:.1f} ms")
    lines += [f"peak of this machine, {name}: {peak:.1f} GFLOP/s" for name, peak in result["peaks"].items()]
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    """Draw GFLOP/s of the layers that take most of the time, beside the peaks."""
    rows = sorted(result["layers"], key=lambda row: -row["forward_ms"] - row["backward_ms"])[:24]
    drawn, (left, right) = report.figure(12, 0.25 * len(rows) + 1.5, 2)
    for i, row in enumerate(rows):
        left.barh(-i, row["forward_ms"], color="C0")
        left.barh(-i, row["backward_ms"], left=row["forward_ms"], color="C1")
        right.barh(-i + 0.2, rate(row["gflop"], row["forward_ms"]), 0.4, color="C0")
        right.barh(-i - 0.2, rate(row["backward_gflop"], row["backward_ms"]), 0.4, color="C1")
    for i, (name, peak) in enumerate(result["peaks"].items()):
        right.axvline(peak, color="black", linestyle=("-", "--")[i], linewidth=1, label=f"peak, {name}")
    left.set_yticks([-i for i in range(len(rows))], [row["layer"] for row in rows], fontsize=7)
    right.set_yticks([])
    left.set_xlabel("ms (blue: forward, orange: backward)")
    right.set_xlabel("GFLOP/s")
    right.legend(fontsize=7)
    drawn.suptitle(f"{result['net']}, {result['date']}, {result['machine']}", fontsize=8)
    report.save(drawn, path)


def _size(text: str) -> tuple[int, ...]:
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"got '{text}', want height and width, as 500x333")
    return tuple(map(int, sides))


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.splitlines()[0])
    parser.add_argument("net", metavar="NAME", help="folder in models/")
    parser.add_argument("--deploy", action="store_true", help="the net that is used, forward only")
    parser.add_argument("--size", type=_size, metavar="HxW", help="height x width (default: the net's own)")
    parser.add_argument("--runs", type=report.runs, default=5, help="of each layer; the best counts")
    parser.add_argument("--quick", action="store_true", help="64x64, one run, small peaks")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT") or None)
    args = parser.parse_args(argv)
    size = args.size or ((64, 64) if args.quick else None)
    folder = report.folder_for(args.out, args.quick)
    runs = 1 if args.quick else args.runs
    print(f"convolutions with {caffe.choose_threads()}", file=sys.stderr)
    net = build(args.net, args.deploy, size)
    rows = layers(net, not args.deploy, runs)
    whole = best(net.forward if args.deploy else lambda: (net.forward(), net.backward()), runs)
    name = f"profile-{args.net}{'-deploy' if args.deploy else ''}"
    result = {"name": name, "net": args.net, **stamp(), "peaks": peaks(runs, args.quick), "pass_ms": whole,
              "layers": rows}
    report.write_json(result, folder)
    plot(result, folder / f"{name}.png")
    print(text(result))
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

"""The files that all peers read: `python -m bench.inputs FOLDER NAME ...` writes weights and solvers of nets.

In:   names of nets in models/; a folder for files of some hundred MB a net.
Out:  NAME.caffemodel and NAME.npz with the same random weights; NAME-solver.prototxt with an Input in place of the
      data layer, where the net can be trained; NAME.json with what eager PyTorch must know of it.
Not here: images (measure), peers. In a process of its own, so that memory it takes is nobody's.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np

import caffe
from caffe.proto import caffe_pb2
from nets.prototxt import read_prototxt, write_prototxt
from surgery import interp

MODELS = Path(__file__).resolve().parent.parent / "models"


def fill(net: caffe.Net) -> None:
    """Give weights that neither let values vanish nor grow from layer to layer; bilinear ones where it upsamples."""
    rng = np.random.default_rng(1)
    for name, blobs in net.params.items():
        weights = blobs[0].data
        if name.startswith("upscore"):
            weights[...] = 0
            continue
        std = 0.01 if name.startswith("score") else np.sqrt(2 / weights[0].size)
        rng.standard_normal(out=weights, dtype=np.float32)
        weights *= np.float32(std)
    interp(net, [name for name in net.params if name.startswith("upscore")])


def write_weights(folder: Path, name: str) -> None:
    """Write the weights of a net in Caffe's format and in NumPy's."""
    net = caffe.Net(str(MODELS / name / "deploy.prototxt"), caffe.TEST)
    fill(net)
    net.save(str(folder / f"{name}.caffemodel"))
    np.savez(folder / f"{name}.npz", **{f"{layer}/{i}": blob.data for layer, blobs in net.params.items()
                                        for i, blob in enumerate(blobs)})


def with_input(net, sizes: dict[str, tuple[int, ...]]):
    """Return the message with an Input layer in place of its first layer, which reads data."""
    data = caffe_pb2.LayerParameter(name=net.layer[0].name, type="Input", top=net.layer[0].top)
    for top in net.layer[0].top:
        data.input_param.shape.add().dim.extend(sizes[top])
    net.layer[0].CopyFrom(data)
    return net


def write_training(folder: Path, name: str, size: tuple[int, int]) -> None:
    """Write the net, its solver, and the solver's settings as JSON."""
    net = read_prototxt(MODELS / name / "train.prototxt", caffe_pb2.NetParameter())
    write_prototxt(with_input(net, {"data": (1, 3, *size), "label": (1, 1, *size)}), folder / f"{name}-train.prototxt")
    solver = read_prototxt(MODELS / name / "solver.prototxt", caffe_pb2.SolverParameter())
    solver.train_net, solver.snapshot_prefix = str(folder / f"{name}-train.prototxt"), str(folder / name)
    for field in ("test_net", "test_iter", "test_interval", "snapshot", "display"):
        solver.ClearField(field)
    write_prototxt(solver, folder / f"{name}-solver.prototxt")
    dropout = [layer.dropout_param.dropout_ratio for layer in net.layer if layer.type == "Dropout"][0]
    settings = {"lr": solver.base_lr, "momentum": solver.momentum, "weight_decay": solver.weight_decay,
                "clip": solver.clip_gradients, "dropout": dropout,
                "reduction": "mean" if net.layer[-1].loss_param.normalize else "sum"}
    (folder / f"{name}.json").write_text(json.dumps(settings))


def main(folder: str, *names: str) -> int:
    """Write the files of each NAME, or NAME:HxW where it is to be trained at that size."""
    for given in names:
        name, _, size = given.partition(":")
        write_weights(Path(folder), name)
        if size:
            height, width = map(int, size.split("x"))
            write_training(Path(folder), name, (height, width))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

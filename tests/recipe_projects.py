"""A project in which every recipe can be run: nets (very slim or whole), miniatures of the data, random weights.

In:   a folder; which net.
Out:  models/NET/*.prototxt with solver.prototxt, data/, and the caffemodels that the recipe starts from.
Not here: running (release_order.py, bench/every_recipe.py), what must come out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import miniatures
import numpy as np
from google.protobuf import text_format
from train_project import make_data

import caffe
from nets.alexnet import AlexNet
from nets.googlenet import GoogLeNet
from nets.prototxt import write_prototxt
from nets.vgg16 import Vgg16
from nets.zoo import ZOO, phases
from solvers.recipes import RECIPES, solver_param

TINY = {Vgg16: dict(widths=(4, 4, 8, 8, 8), fc=16), AlexNet: dict(widths=(4, 8, 8, 8, 8), fc=16),
        GoogLeNet: dict(width=1 / 16)}
NET_OF = {"vgg16-fcn": "ilsvrc-vgg16-fcn", "alexnet-fcn": "ilsvrc-caffenet-fcn",
          "googlenet-fcn": "ilsvrc-googlenet-fcn", "squeezenet_v1.0": "voc-fcn-squeezenet"}


def make_sets(root: Path, size: tuple[int, int] = (18, 22)) -> None:
    """Write all data sets.

    Images are tiny because Caffe sums the loss pixel by pixel in single precision: over 2,000 pixels of a net whose
    scores are zero its sum is off by 2e-5, over 400 by less than 1e-6.
    """
    for make in (miniatures.voc, miniatures.sbdd, miniatures.context, miniatures.nyud, miniatures.siftflow):
        make(root, size=size)
    make_data(root, "shapes", classifier=224)


def make_recipe(root: Path, name: str, tiny: bool = True) -> None:
    """Write a net's prototxts, its solver and what it starts from, as far as these are not there yet."""
    make_nets(root, name, tiny)
    (root / f"models/{name}/snapshot").mkdir(exist_ok=True)
    (root / f"models/{name}/solver.prototxt").write_text(solver_text(name))
    row = RECIPES[name]
    sources = [(graft.net, graft.weights) for graft in row.transplants] or [
        (NET_OF.get(Path(weights).stem, Path(weights).stem), weights) for weights in row.sources]
    for net, weights in sources:
        make_nets(root, net, tiny)
        if not (root / weights).exists():
            make_weights(root / weights, root / f"models/{net}/deploy.prototxt", scores=net in RECIPES)


def solver_text(name: str) -> str:
    """Give a recipe's solver prototxt."""
    param = solver_param(name)
    if not param.HasField("random_seed"):
        param.random_seed = 7  # for the masks of dropout, which both engines then draw alike
    return text_format.MessageToString(param)


def make_nets(root: Path, name: str, tiny: bool) -> None:
    """Write the prototxts of all phases."""
    row = ZOO[name]
    if tiny and type(row.trunk) in TINY:
        row = replace(row, trunk=replace(row.trunk, **TINY[type(row.trunk)]))
    for phase in phases(name):
        path = root / f"models/{name}/{phase}.prototxt"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_prototxt(row.build(phase, {}).to_proto(), path)


def make_weights(path: Path, prototxt: Path, scores: bool) -> None:
    """Save random weights that keep the size of what passes through; scores small, or zero; upsampling zero."""
    net, rng = caffe.Net(str(prototxt), caffe.TEST), np.random.RandomState(3)
    for layer, blobs in net.params.items():
        if layer.startswith("scale"):
            continue
        weights = blobs[0].data
        std = np.sqrt(2 / weights[0].size) * (0.1 * scores if layer.startswith("score") else "up" not in layer)
        weights[...] = std * rng.standard_normal(weights.shape).astype(np.float32)
        for blob in blobs[1:]:
            blob.data[...] = rng.uniform(-0.1, 0.1, blob.data.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    net.save(str(path))

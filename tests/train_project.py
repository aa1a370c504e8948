"""A project in a temporary folder that every recipe can be trained in within a second or two.

In:   a folder, a net's name.
Out:  models/<net>/*.prototxt (VGG16 of the paper's width made slim), data of two tiny images, initial weights.
Not here: what training must make of it (test_solve.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

import caffe
from data.sets import SETS
from nets.prototxt import write_prototxt
from nets.zoo import ZOO, phases, slimmed
from solvers.recipes import RECIPES, Recipe

NAMES = ("one", "two")
SHORT = dict(snapshot=2, step=2, max_iter=6)


def make_project(root: Path, name: str) -> Recipe:
    """Write all that the recipe of `name` needs; gives the recipe."""
    folder = root / "models" / name
    folder.mkdir(parents=True)
    for phase in phases(name):
        write_prototxt(slimmed(ZOO[name]).build(phase, {}).to_proto(), folder / f"{phase}.prototxt")
    row = RECIPES[name]
    make_data(root, row.dataset, classifier=224 if "googlenet" in name else 64)  # its last pool is 7 x 7
    if row.init:
        make_weights(root / row.init, folder / "deploy.prototxt")
    return row


def make_weights(path: Path, prototxt: Path, seed: int = 0) -> None:
    """Save a net's layers, but for its scores, with small random weights."""
    net, rng = caffe.Net(str(prototxt), caffe.TEST), np.random.RandomState(seed)
    for layer, blobs in net.params.items():
        for blob in blobs:
            blob.data[...] = rng.normal(0, 0.1, blob.data.shape)
        if layer.startswith("score"):
            blobs[0].data[...] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    net.save(str(path))


def make_data(root: Path, dataset: str, classifier: int = 64) -> None:
    """Write every split of a data set with two images of 24 x 20 pixels, halves of two classes."""
    rng = np.random.RandomState(1)
    for split in SETS[dataset].splits:
        folder, numbered = root / split.folder, not split.label
        for path in (folder / split.ids, folder / split.image, folder / split.label):
            path.parent.mkdir(parents=True, exist_ok=True)
        names = [f"{name}.png" if numbered else name for name in NAMES]
        (folder / split.ids).write_text("".join(f"{n} {i}\n" if numbered else f"{n}\n" for i, n in enumerate(names)))
        for i, name in enumerate(names):
            size = (classifier, classifier) if numbered else (20, 24)
            image, label = rng.randint(0, 256, (*size, 3), np.uint8), np.zeros(size, np.uint8)
            label[:, 12:] = i + 1
            Image.fromarray(image).save(folder / split.image.format(name), "png")
            if split.label.endswith(".mat"):
                scipy.io.savemat(folder / split.label.format(name), {"GTcls": {"Segmentation": label}})
            elif split.label:
                Image.fromarray(label).save(folder / split.label.format(name))
    if dataset == "voc":  # the nets of photographs train on VOC's own split
        lists = root / SETS["voc"].val_dir / "ImageSets/Segmentation"
        (lists / "train.txt").write_text((lists / "seg11valid.txt").read_text())


def shortened(name: str, **changes: object) -> Recipe:
    """Give a recipe of a few iterations."""
    return replace(RECIPES[name], **{**SHORT, **changes})

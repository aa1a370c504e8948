"""The zoo: one row for every net, and the messages of its phases.

In:   a name, a phase (train, val, deploy), and folders where they differ from the defaults.
Out:  a NetParameter.
Not here: files (prototxt), solver settings (solvers), layers (vgg16, squeezenet, heads, data_layers).
Source: the released nets; ours beside them are written in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import caffe
from caffe import layers as L
from data.sets import SETS
from nets import NetError, squeezenet, vgg16
from nets.blocks import image_input, segmentation_loss
from nets.data_layers import classification_layer, sbdd_layer, voc_layer
from nets.heads import AT_ONCE, Skip, fcn_head
from nets.squeezenet import SqueezeNet
from nets.vgg16 import Vgg16

DIRS = {  # from the project's root; `emit(..., voc_dir=...)` puts another in its place
    "sbdd_dir": SETS["voc"].train_dir,
    "voc_dir": SETS["voc"].val_dir,
    "shapes_dir": SETS["shapes"].train_dir,
    "classifier_dir": "data/shapes/classifier",
}


@dataclass(frozen=True)
class Feed:
    """The data layer of one phase."""

    layer: str  # sbdd, voc or classification
    dir_key: str  # in DIRS
    split: str
    mean: tuple[float, float, float]  # B, G, R
    options: dict[str, Any] = field(default_factory=dict)

    def tops(self, dirs: dict[str, str]) -> tuple[L, L]:
        """Give the data and label Tops."""
        folder = dirs[self.dir_key]
        if self.layer == "classification":
            return classification_layer(f"{folder}/images", f"{folder}/{self.split}.txt", self.mean, **self.options)
        if self.layer == "sbdd":
            return sbdd_layer(folder, self.split, self.mean, **self.options)
        return voc_layer(folder, self.split, self.mean, **self.options)


@dataclass(frozen=True)
class Fcn:
    """A row: a fully convolutional net for segmentation."""

    num_classes: int
    train: Feed
    val: Feed
    trunk: Vgg16 | SqueezeNet = Vgg16()
    stride: int = 32  # of the finest stream
    skips: tuple[Skip, ...] | None = None  # instead of the stride's plain ones
    normalize: bool = False  # the loss: mean over pixels, or their sum
    size: tuple[int, int] = (500, 500)  # of the deploy net's example image
    phases = ("train", "val", "deploy")

    def build(self, phase: str, dirs: dict[str, str]) -> caffe.NetSpec:
        """Give the net of a phase, up to the loss or, for deploy, the score."""
        n = caffe.NetSpec()
        trunk = self.trunk
        if phase == "deploy":
            n.data = image_input(*self.size)
            trunk = replace(trunk, dropout=None)
        else:
            n.data, n.label = (self.train if phase == "train" else self.val).tops(dirs)
        if isinstance(trunk, SqueezeNet):
            squeezenet.fcn(n, n.data, self.num_classes, trunk)
        else:
            top = vgg16.convolutional(n, n.data, trunk)
            fcn_head(n, top, n.data, self.num_classes, self.stride, self.skips)
        if phase != "deploy":
            n.loss = segmentation_loss(n.score, n.label, self.normalize)
        return n


@dataclass(frozen=True)
class Classifier:
    """A row: VGG16 as a classifier, with InnerProduct fc6 to fc8."""

    num_classes: int
    trunk: Vgg16
    train: Feed | None = None
    val: Feed | None = None
    score_filler: dict[str, Any] | None = None  # of fc8; None: the trunk's
    size: tuple[int, int] = (224, 224)

    @property
    def phases(self) -> tuple[str, ...]:
        """Give the phases this net has: deploy alone where it is not trained here."""
        return ("train", "val", "deploy") if self.train else ("deploy",)

    def build(self, phase: str, dirs: dict[str, str]) -> caffe.NetSpec:
        """Give the net of a phase: with loss (and accuracy in val), or with probabilities."""
        n = caffe.NetSpec()
        if phase == "deploy":
            n.data = image_input(*self.size)
            plain = replace(self.trunk, dropout=None)
            n.prob = L.Softmax(vgg16.classifier(n, n.data, plain, self.num_classes, self.score_filler))
            return n
        feed = self.train if phase == "train" else self.val
        assert feed is not None  # phases has neither otherwise
        n.data, n.label = feed.tops(dirs)
        top = vgg16.classifier(n, n.data, self.trunk, self.num_classes, self.score_filler)
        if phase == "val":
            n.accuracy = L.Accuracy(top, n.label)
        n.loss = L.SoftmaxWithLoss(top, n.label)
        return n


@dataclass(frozen=True)
class CastForm:
    """A row: a classifier's trunk in convolutional form, for the cast of its weights (surgery)."""

    trunk: Vgg16  # as the classifier's, so that on its image size fc7 is 1 x 1 and equal to the classifier's
    size: tuple[int, int] = (224, 224)
    phases = ("deploy",)

    def build(self, phase: str, dirs: dict[str, str]) -> caffe.NetSpec:
        """Give the net up to relu7, for any image size from 1 fc7 place up."""
        n = caffe.NetSpec()
        n.data = image_input(*self.size)
        vgg16.convolutional(n, n.data, replace(self.trunk, dropout=None, weight_filler=None))
        return n


_VOC, _SHAPES = SETS["voc"], SETS["shapes"]
VOC: dict[str, Any] = dict(
    num_classes=len(_VOC.classes), train=Feed("sbdd", "sbdd_dir", "train", _VOC.mean_bgr),
    val=Feed("voc", "voc_dir", "seg11valid", _VOC.mean_bgr))
# Photographs and labels of one folder in VOC layout, trained at mean loss over the pixels.
PHOTOGRAPHS: dict[str, Any] = dict(
    num_classes=len(_VOC.classes), normalize=True,
    train=Feed("voc", "voc_dir", "train", _VOC.mean_bgr, dict(mirror=True)),
    val=Feed("voc", "voc_dir", "seg11valid", _VOC.mean_bgr))
# The embedded set. Its nets start from stock fillers, made for inputs of about unit size; hence scale.
_SHAPES_OPTIONS = dict(scale=_SHAPES.scale, classes=len(_SHAPES.classes))  # a label of another class names its file
SHAPES: dict[str, Any] = dict(
    num_classes=len(_SHAPES.classes), normalize=True, size=(192, 256),
    train=Feed("voc", "shapes_dir", "train", _SHAPES.mean_bgr, dict(mirror=True, **_SHAPES_OPTIONS)),
    val=Feed("voc", "shapes_dir", "seg11valid", _SHAPES.mean_bgr, _SHAPES_OPTIONS))
SHAPES_BATCH = 16

# Slim: same layers and names, an eighth of the width. Dropout .5 would slow so small a net badly.
SLIM = Vgg16(widths=(8, 16, 32, 64, 64), fc=256, dropout=0.1)
# The one place that says how the slim classifier starts.
SLIM_CLASSIFIER = replace(SLIM, pad=1, weight_filler=dict(type="msra"))
SLIM_SCORE_FILLER = dict(type="gaussian", std=0.06)

ZOO: dict[str, Fcn | Classifier | CastForm] = {
    "voc-fcn32s": Fcn(**VOC, stride=32),
    "voc-fcn16s": Fcn(**VOC, stride=16),
    "voc-fcn8s": Fcn(**VOC, stride=8),
    "voc-fcn8s-atonce": Fcn(**VOC, stride=8, skips=AT_ONCE),
    "voc-fcn-squeezenet": Fcn(**PHOTOGRAPHS, trunk=SqueezeNet(), stride=8),
    "shapes-vgg16": Classifier(
        len(_SHAPES.classes) - 1, SLIM_CLASSIFIER, score_filler=SLIM_SCORE_FILLER,  # no background
        train=Feed("classification", "classifier_dir", "train", _SHAPES.mean_bgr,
                   dict(batch=SHAPES_BATCH, mirror=True, scale=_SHAPES.scale)),
        val=Feed("classification", "classifier_dir", "val", _SHAPES.mean_bgr,
                 dict(batch=SHAPES_BATCH, scale=_SHAPES.scale))),
    "shapes-vgg16-fcn": CastForm(SLIM_CLASSIFIER),
    "shapes-fcn32s": Fcn(**SHAPES, trunk=SLIM, stride=32),
    "shapes-fcn16s": Fcn(**SHAPES, trunk=SLIM, stride=16),
    "shapes-fcn8s": Fcn(**SHAPES, trunk=SLIM, stride=8),
    "ilsvrc-vgg16": Classifier(1000, Vgg16(pad=1)),
    "ilsvrc-vgg16-fcn": CastForm(Vgg16(pad=1)),
}


def phases(name: str) -> tuple[str, ...]:
    """Give the phases of a net of the zoo: train, val, deploy, or deploy alone."""
    return _row(name).phases


def emit(name: str, phase: str, **dirs: str | None) -> Any:
    """Give the NetParameter of a net's phase.

    Args:
        name: a key of ZOO.
        phase: train, val or deploy.
        **dirs: folders in place of those in DIRS; None keeps the default.

    Raises:
        NetError: unknown name, phase or folder; lists the known.
    """
    row = _row(name)
    if phase not in row.phases:
        raise NetError(f"net '{name}': no phase '{phase}', has {', '.join(row.phases)}")
    if set(dirs) - set(DIRS):
        raise NetError(f"net '{name}': unknown folder {sorted(set(dirs) - set(DIRS))}, known are {sorted(DIRS)}")
    given = {key: value for key, value in dirs.items() if value is not None}
    return row.build(phase, {**DIRS, **given}).to_proto()


def _row(name: str) -> Fcn | Classifier | CastForm:
    if name not in ZOO:
        raise NetError(f"net '{name}': not in the zoo; known are {', '.join(ZOO)}")
    return ZOO[name]

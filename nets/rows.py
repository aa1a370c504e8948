"""What a row of the zoo can be, and how it becomes a net: an FCN, a classifier, a classifier to be cast.

In:   a data set's heads, feeds, a trunk, strides; a phase, and folders where they differ from the defaults.
Out:  a NetSpec.
Not here: which nets there are (zoo), layers (vgg16, alexnet, googlenet, squeezenet, heads, data_layers).
Source: the released nets; ours beside them are written in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Union

import caffe
from caffe import layers as L
from data.set_types import Head
from nets import NetError, squeezenet
from nets.alexnet import AlexNet
from nets.blocks import average, image_input, score, segmentation_loss
from nets.data_layers import Feed
from nets.googlenet import GoogLeNet
from nets.heads import FcnHead, Skip
from nets.squeezenet import SqueezeNet
from nets.vgg16 import Vgg16

Trunk = Union[Vgg16, AlexNet, GoogLeNet]
CHANNELS = {"color": 3, "hha": 3, "depth": 1}


@dataclass(frozen=True)
class Fcn:
    """A row: a fully convolutional net for segmentation."""

    heads: tuple[Head, ...]
    train: Feed
    val: Feed
    trunk: Trunk | SqueezeNet = Vgg16()
    inputs: tuple[tuple[str, str], ...] = (("data", "color"),)  # blob and kind (color, hha, depth) of each
    fusion: str = ""  # of several inputs: early (their channels side by side) or late (a trunk each)
    stride: int = 32  # of the finest stream
    skips: tuple[Skip, ...] | None = None  # instead of the stride's plain ones
    kernel: int | None = None  # of the last upsampling; None: twice the stride
    normalize: bool = False  # the loss: mean over pixels, or their sum
    class_weights: str | None = None  # binaryproto of InfogainLoss's matrix; None: all classes count alike
    size: tuple[int, int] = (500, 500)  # of the deploy net's example image
    phases: tuple[str, ...] = ("train", "val", "deploy")

    def build(self, phase: str, dirs: dict[str, str]) -> caffe.NetSpec:
        """Give the net of a phase, up to the losses or, for deploy, the scores."""
        n, row = caffe.NetSpec(), self
        if phase == "deploy":
            row = replace(self, trunk=replace(self.trunk, dropout=None))
            for blob, kind in self.inputs:
                name: dict[str, Any] = dict(name="input") if len(self.inputs) == 1 else {}
                n[blob] = image_input(*self.size, CHANNELS[kind], **name)
        else:
            feed = self.train if phase == self.phases[0] else self.val
            tops = [blob for blob, _ in self.inputs] + [head.label for head in self.heads]
            for blob, top in zip(tops, feed.tops(len(tops), dirs)):
                n[blob] = top
        for head, found in row._scores(n):
            if phase != "deploy":
                n[head.loss] = segmentation_loss(found, n[head.label], self.normalize, self.class_weights)
        return n

    def _scores(self, n: caffe.NetSpec) -> Any:
        """Add trunks and heads; give each head with its score as soon as it is there."""
        images = [n[blob] for blob, _ in self.inputs]
        if isinstance(self.trunk, SqueezeNet):
            yield self.heads[0], squeezenet.fcn(n, images[0], len(self.heads[0].classes), self.trunk)
        elif self.fusion == "late":
            yield self.heads[0], self._late(n, images, len(self.heads[0].classes))
        else:
            if self.fusion == "early":
                n.data = L.Concat(*images)
                images = [n.data]
            elif len(images) != 1 or self.fusion:
                raise NetError(f"FCN: fusion '{self.fusion}' of {len(images)} inputs, want early or late")
            top = self.trunk.convolutional(n, images[0])
            scored = f"score_{self.trunk.end if self.trunk.end.startswith('pool') else 'fr'}"
            for head in self.heads:
                n[scored + head.suffix] = start = score(top, len(head.classes))
                yield head, self._head(len(head.classes), head.suffix).add(n, start, images[0])

    def _late(self, n: caffe.NetSpec, images: list[L], num_classes: int) -> L:
        """Score each input by a trunk of its own, whose names end in the input's, and average."""
        assert not isinstance(self.trunk, SqueezeNet)
        scored = []
        for (blob, _), image in zip(self.inputs, images):
            n[f"score_fr{blob}"] = start = score(self.trunk.convolutional(n, image, blob), num_classes)
            scored.append(start)
        n.score_fused = average(*scored)
        trunks = tuple(blob for blob, _ in self.inputs)
        return self._head(num_classes, trunks=trunks).add(n, n.score_fused, images[0])

    def _head(self, num_classes: int, suffix: str = "", trunks: tuple[str, ...] = ("",)) -> FcnHead:
        return FcnHead(num_classes, self.stride, self.skips, self.kernel, suffix, trunks)


@dataclass(frozen=True)
class Classifier:
    """A row: a trunk as a classifier, with InnerProducts."""

    num_classes: int
    trunk: Trunk
    train: Feed | None = None
    val: Feed | None = None
    score_filler: dict[str, Any] | None = None  # of the last layer; None: the trunk's
    size: tuple[int, int] = (224, 224)
    inputs = (("data", "color"),)

    @property
    def phases(self) -> tuple[str, ...]:
        """Give the phases this net has: deploy alone where it is not trained here."""
        return ("train", "val", "deploy") if self.train else ("deploy",)

    def build(self, phase: str, dirs: dict[str, str]) -> caffe.NetSpec:
        """Give the net of a phase: with loss (and accuracy in val), or with probabilities."""
        n = caffe.NetSpec()
        if phase == "deploy":
            n.data = image_input(*self.size, name="input")
            plain = replace(self.trunk, dropout=None)
            n.prob = L.Softmax(plain.classifier(n, n.data, self.num_classes, self.score_filler))
            return n
        feed = self.train if phase == "train" else self.val
        assert feed is not None  # phases has neither otherwise
        n.data, n.label = feed.tops(2, dirs)
        top = self.trunk.classifier(n, n.data, self.num_classes, self.score_filler)
        if phase == "val":
            n.accuracy = L.Accuracy(top, n.label)
        n.loss = L.SoftmaxWithLoss(top, n.label)
        return n


@dataclass(frozen=True)
class CastForm:
    """A row: a classifier's trunk in convolutional form, for the cast of its weights (surgery)."""

    trunk: Trunk  # as the classifier's, so that on its image size fc7 is 1 x 1 and equal to the classifier's
    size: tuple[int, int] = (224, 224)
    phases = ("deploy",)
    inputs = (("data", "color"),)

    def build(self, phase: str, dirs: dict[str, str]) -> caffe.NetSpec:
        """Give the net up to the trunk's end, for any image size from one place there up."""
        n = caffe.NetSpec()
        n.data = image_input(*self.size, name="input")
        replace(self.trunk, dropout=None, weight_filler=None).convolutional(n, n.data)
        return n


Row = Union[Fcn, Classifier, CastForm]

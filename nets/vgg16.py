"""VGG16's trunk: thirteen convolutions in five blocks, then fc6 and fc7, in either of two forms.

In:   a NetSpec with a blob of images, and a Vgg16 that says how wide, how padded, with which dropout.
Out:  the NetSpec with conv1_1 ... pool5, fc6, relu6, (drop6,) fc7, relu7(, drop7); the last Top.
Not here: scores and heads, data, weights.
Source: Simonyan and Zisserman 2014, configuration D; FCN's settings of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import caffe
from caffe import layers as L
from nets import NetError
from nets.blocks import conv_relu, dropout, fillers, full_relu, learn, max_pool

CONVOLUTIONS = (2, 2, 3, 3, 3)  # in each block


@dataclass(frozen=True)
class Vgg16:
    """How a trunk is made; the defaults are the published one."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)  # num_output of each block's convolutions
    fc: int = 4096  # num_output of fc6 and fc7
    pad: int = 100  # of conv1_1; from 97 on, every image size >= 1 serves (1 in the classifier)
    dropout: float | None = 0.5  # None: no dropout layers, as in deploy nets
    weight_filler: dict[str, Any] | None = None  # None: weights are copied in, zero until then


def convolutional(n: caffe.NetSpec, bottom: L, vgg: Vgg16) -> L:
    """Add the trunk with fc6 and fc7 as convolutions (7 x 7 and 1 x 1); gives fc7's Top."""
    top = _blocks(n, bottom, vgg)
    n.fc6, n.relu6 = conv_relu(top, vgg.fc, kernel_size=7, pad=0, weight_filler=vgg.weight_filler)
    top = _drop(n, "drop6", n.relu6, vgg)
    n.fc7, n.relu7 = conv_relu(top, vgg.fc, kernel_size=1, pad=0, weight_filler=vgg.weight_filler)
    return _drop(n, "drop7", n.relu7, vgg)


def classifier(n: caffe.NetSpec, bottom: L, vgg: Vgg16, num_classes: int,
               score_filler: dict[str, Any] | None = None) -> L:
    """Add the trunk with fc6, fc7 and the scores fc8 as InnerProducts; gives fc8's Top."""
    top = _blocks(n, bottom, vgg)
    n.fc6, n.relu6 = full_relu(top, vgg.fc, vgg.weight_filler)
    top = _drop(n, "drop6", n.relu6, vgg)
    n.fc7, n.relu7 = full_relu(top, vgg.fc, vgg.weight_filler)
    top = _drop(n, "drop7", n.relu7, vgg)
    n.fc8 = L.InnerProduct(top, num_output=num_classes, param=learn(),
                           **fillers(score_filler or vgg.weight_filler))
    return n.fc8


def _blocks(n: caffe.NetSpec, bottom: L, vgg: Vgg16) -> L:
    if len(vgg.widths) != len(CONVOLUTIONS):
        raise NetError(f"VGG16: widths {vgg.widths}, want one for each of its {len(CONVOLUTIONS)} blocks")
    top = bottom
    for block, (width, count) in enumerate(zip(vgg.widths, CONVOLUTIONS), start=1):
        for i in range(1, count + 1):
            pad = vgg.pad if (block, i) == (1, 1) else 1
            conv, relu = conv_relu(top, width, pad=pad, weight_filler=vgg.weight_filler)
            n[f"conv{block}_{i}"], n[f"relu{block}_{i}"] = conv, relu
            top = relu
        n[f"pool{block}"] = top = max_pool(top)
    return top


def _drop(n: caffe.NetSpec, name: str, top: L, vgg: Vgg16) -> L:
    if vgg.dropout is None:
        return top
    n[name] = dropout(top, vgg.dropout)
    return n[name]

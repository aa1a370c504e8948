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
from nets.blocks import LEARN, STILL, conv_relu, drop, full_relu, full_score, max_pool

CONVOLUTIONS = (2, 2, 3, 3, 3)  # in each block


@dataclass(frozen=True)
class Vgg16:
    """How a trunk is made; the defaults are the published one."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512)  # num_output of each block's convolutions
    fc: int = 4096  # num_output of fc6 and fc7
    pad: int = 100  # of conv1_1; from 97 on, every image size >= 1 serves (1 in the classifier)
    dropout: float | None = 0.5  # None: no dropout layers, as in deploy nets
    weight_filler: dict[str, Any] | None = None  # None: weights are copied in, zero until then
    first: str = "conv1_1"  # another name, so that weights for 3 channels are not copied into it
    learns: bool = True  # False: every weight stays as it is copied in
    end: str = "fc7"  # or a pool, for a net that looks no farther

    def convolutional(self, n: caffe.NetSpec, bottom: L, suffix: str = "") -> L:
        """Add the trunk with fc6 and fc7 as convolutions (7 x 7 and 1 x 1); gives the last Top.

        Args:
            n: receives the layers.
            bottom: images.
            suffix: glued to the name of every layer, where two trunks are in one net.
        """
        top = self._blocks(n, bottom, suffix)
        if self.end != "fc7":
            return top
        settings: dict[str, Any] = dict(pad=0, weight_filler=self.weight_filler, param=LEARN if self.learns else STILL)
        for name, kernel_size in (("6", 7), ("7", 1)):
            conv, relu = conv_relu(top, self.fc, kernel_size=kernel_size, **settings)
            n[f"fc{name}{suffix}"], n[f"relu{name}{suffix}"] = conv, relu
            top = drop(n, f"drop{name}{suffix}", relu, self.dropout)
        return top

    def classifier(self, n: caffe.NetSpec, bottom: L, num_classes: int,
                   score_filler: dict[str, Any] | None = None) -> L:
        """Add the trunk with fc6, fc7 and the scores fc8 as InnerProducts; gives fc8's Top."""
        top = self._blocks(n, bottom)
        n.fc6, n.relu6 = full_relu(top, self.fc, self.weight_filler)
        top = drop(n, "drop6", n.relu6, self.dropout)
        n.fc7, n.relu7 = full_relu(top, self.fc, self.weight_filler)
        top = drop(n, "drop7", n.relu7, self.dropout)
        n.fc8 = full_score(top, num_classes, score_filler or self.weight_filler)
        return n.fc8

    def _blocks(self, n: caffe.NetSpec, bottom: L, suffix: str = "") -> L:
        if len(self.widths) != len(CONVOLUTIONS):
            raise NetError(f"VGG16: widths {self.widths}, want one for each of its {len(CONVOLUTIONS)} blocks")
        top = bottom
        for block, (width, count) in enumerate(zip(self.widths, CONVOLUTIONS), start=1):
            for i in range(1, count + 1):
                is_first = (block, i) == (1, 1)
                conv, relu = conv_relu(top, width, pad=self.pad if is_first else 1, weight_filler=self.weight_filler,
                                       param=LEARN if self.learns else STILL)
                name = self.first if is_first else f"conv{block}_{i}"
                n[f"{name}{suffix}"], n[f"relu{block}_{i}{suffix}"] = conv, relu
                top = relu
            n[f"pool{block}{suffix}"] = top = max_pool(top)
            if self.end == f"pool{block}":
                break
        return top

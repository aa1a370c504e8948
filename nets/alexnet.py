"""CaffeNet, the release's AlexNet, as a trunk: each pool comes before its normalisation.

In:   a NetSpec with a blob of images, and an AlexNet that says how wide, how padded, with which dropout.
Out:  the NetSpec with conv1 ... pool5, fc6, relu6, (drop6,) fc7, relu7(, drop7); the last Top.
Not here: scores and heads, data, weights.
Source: bvlc_reference_caffenet; FCN's settings of it. bvlc_alexnet normalises before it pools, so its weights
belong to another net.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import caffe
from caffe import layers as L
from nets import NetError
from nets.blocks import conv_relu, drop, full_relu, full_score, max_pool, normalise


@dataclass(frozen=True)
class AlexNet:
    """How a trunk is made; the defaults are the published one."""

    widths: tuple[int, ...] = (96, 256, 384, 384, 256)  # num_output of conv1 ... conv5
    fc: int = 4096  # num_output of fc6 and fc7
    pad: int = 100  # of conv1 (0 in the classifier, which takes 227 x 227)
    dropout: float | None = 0.5  # None: no dropout layers, as in deploy nets
    weight_filler: dict[str, Any] | None = None  # None: weights are copied in, zero until then
    end = "fc7"

    def convolutional(self, n: caffe.NetSpec, bottom: L, suffix: str = "") -> L:
        """Add the trunk with fc6 and fc7 as convolutions (6 x 6 and 1 x 1); gives the last Top."""
        top = self._blocks(n, bottom, suffix)
        for number, kernel_size in ((6, 6), (7, 1)):
            top = self._conv(n, f"{number}{suffix}", top, self.fc, kernel_size, layer="fc")
            top = drop(n, f"drop{number}{suffix}", top, self.dropout)
        return top

    def classifier(self, n: caffe.NetSpec, bottom: L, num_classes: int,
                   score_filler: dict[str, Any] | None = None) -> L:
        """Add the trunk with fc6, fc7 and the scores fc8 as InnerProducts; gives fc8's Top."""
        top = self._blocks(n, bottom)
        for number in (6, 7):
            n[f"fc{number}"], n[f"relu{number}"] = full_relu(top, self.fc, self.weight_filler)
            top = drop(n, f"drop{number}", n[f"relu{number}"], self.dropout)
        n.fc8 = full_score(top, num_classes, score_filler or self.weight_filler)
        return n.fc8

    def _blocks(self, n: caffe.NetSpec, bottom: L, suffix: str = "") -> L:
        if len(self.widths) != 5:
            raise NetError(f"AlexNet: widths {self.widths}, want one for each of its 5 convolutions")
        one, two, three, four, five = self.widths
        top = self._conv(n, f"1{suffix}", bottom, one, 11, stride=4, pad=self.pad)
        top = self._pool_norm(n, f"1{suffix}", top)
        top = self._conv(n, f"2{suffix}", top, two, 5, pad=2, group=2)
        top = self._pool_norm(n, f"2{suffix}", top)
        top = self._conv(n, f"3{suffix}", top, three, 3, pad=1)
        top = self._conv(n, f"4{suffix}", top, four, 3, pad=1, group=2)
        top = self._conv(n, f"5{suffix}", top, five, 3, pad=1, group=2)
        n[f"pool5{suffix}"] = top = max_pool(top, 3, 2)
        return top

    def _conv(self, n: caffe.NetSpec, name: str, bottom: L, num_output: int, kernel_size: int, *, pad: int = 0,
              stride: int = 1, group: int = 1, layer: str = "conv") -> L:
        """Convolve without param entries: biases learn and decay as weights do, unlike VGG16's."""
        conv, relu = conv_relu(bottom, num_output, kernel_size, pad, stride=stride, group=group, param=None,
                               weight_filler=self.weight_filler)
        n[f"{layer}{name}"], n[f"relu{name}"] = conv, relu
        return relu

    def _pool_norm(self, n: caffe.NetSpec, name: str, bottom: L) -> L:
        n[f"pool{name}"] = max_pool(bottom, 3, 2)
        n[f"norm{name}"] = normalise(n[f"pool{name}"])
        return n[f"norm{name}"]

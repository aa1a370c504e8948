"""GoogLeNet as a trunk: three convolutions and nine inceptions, up to inception_5b/output.

In:   a NetSpec with a blob of images, and a GoogLeNet that says how wide, how padded, with which dropout.
Out:  the NetSpec with conv1/7x7_s2 ... inception_5b/output under bvlc_googlenet's names, so that weights are
    copied by name; the last Top.
Not here: the two auxiliary losses (FCN uses the last branch alone), scores and heads, data, weights.
Source: Szegedy et al. 2014, and bvlc_googlenet for names and settings; Long et al. 2015, table 1: the last
average pooling is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import caffe
from caffe import layers as L
from caffe import params as P
from nets.blocks import conv_relu, drop, full_score, max_pool, normalise

# 1x1; 3x3 reduced and 3x3; 5x5 reduced and 5x5; projection of the pool
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}
POOL_AFTER = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}


@dataclass(frozen=True)
class GoogLeNet:
    """How a trunk is made; the defaults are the published one."""

    width: float = 1  # times every num_output
    pad: int = 100  # of conv1 (3 in the classifier); with 3, images from 31 pixels up serve
    dropout: float | None = 0.4  # None: no dropout layer, as in deploy nets
    weight_filler: dict[str, Any] | None = None  # None: weights are copied in, zero until then
    end = "inception_5b/output"

    def convolutional(self, n: caffe.NetSpec, bottom: L, suffix: str = "") -> L:
        """Add the trunk up to inception_5b/output (and its dropout); gives the last Top."""
        top = self._stem(n, bottom, suffix)
        for name in INCEPTIONS:
            top = self._inception(n, name, suffix, top)
            if name in POOL_AFTER:
                n[POOL_AFTER[name] + suffix] = top = max_pool(top, 3, 2)
        return drop(n, f"pool5/drop_7x7_s1{suffix}", top, self.dropout)

    def classifier(self, n: caffe.NetSpec, bottom: L, num_classes: int,
                   score_filler: dict[str, Any] | None = None) -> L:
        """Add the trunk, the average over all places and the scores; gives loss3/classifier's Top."""
        bare = GoogLeNet(self.width, self.pad, None, self.weight_filler)
        top = bare.convolutional(n, bottom)
        n["pool5/7x7_s1"] = L.Pooling(top, pool=P.Pooling.AVE, kernel_size=7, stride=1)
        top = drop(n, "pool5/drop_7x7_s1", n["pool5/7x7_s1"], self.dropout)
        n["loss3/classifier"] = full_score(top, num_classes, score_filler or self.weight_filler)
        return n["loss3/classifier"]

    def _stem(self, n: caffe.NetSpec, bottom: L, suffix: str) -> L:
        top = self._conv(n, "conv1/7x7_s2", "conv1/relu_7x7", suffix, bottom, 64, 7, pad=self.pad, stride=2)
        n[f"pool1/3x3_s2{suffix}"] = max_pool(top, 3, 2)
        n[f"pool1/norm1{suffix}"] = top = normalise(n[f"pool1/3x3_s2{suffix}"])
        top = self._conv(n, "conv2/3x3_reduce", "conv2/relu_3x3_reduce", suffix, top, 64, 1)
        top = self._conv(n, "conv2/3x3", "conv2/relu_3x3", suffix, top, 192, 3, pad=1)
        n[f"conv2/norm2{suffix}"] = top = normalise(top)
        n[f"pool2/3x3_s2{suffix}"] = top = max_pool(top, 3, 2)
        return top

    def _inception(self, n: caffe.NetSpec, name: str, suffix: str, bottom: L) -> L:
        """Look with 1 x 1, 3 x 3, 5 x 5 and a pool side by side, each narrowed by a 1 x 1."""
        one, reduce3, three, reduce5, five, projection = INCEPTIONS[name]

        def conv(branch: str, bottom: L, num_output: int, kernel_size: int = 1) -> L:
            return self._conv(n, f"inception_{name}/{branch}", f"inception_{name}/relu_{branch}", suffix, bottom,
                              num_output, kernel_size, pad=kernel_size // 2)

        ones = conv("1x1", bottom, one)
        threes = conv("3x3", conv("3x3_reduce", bottom, reduce3), three, 3)
        fives = conv("5x5", conv("5x5_reduce", bottom, reduce5), five, 5)
        n[f"inception_{name}/pool{suffix}"] = pooled = max_pool(bottom, 3, 1, pad=1)
        pools = conv("pool_proj", pooled, projection)
        n[f"inception_{name}/output{suffix}"] = output = L.Concat(ones, threes, fives, pools)
        return output

    def _conv(self, n: caffe.NetSpec, name: str, relu_name: str, suffix: str, bottom: L, num_output: int,
              kernel_size: int, *, pad: int = 0, stride: int = 1) -> L:
        conv, relu = conv_relu(bottom, int(num_output * self.width), kernel_size, pad, stride=stride,
                               weight_filler=self.weight_filler)
        n[name + suffix], n[relu_name + suffix] = conv, relu
        return relu

"""Heads of FCN: turn trunk features into a score for every pixel of the image.

In:   a NetSpec whose trunk is there (vgg16, alexnet, googlenet), its scored last Top, and the skips to fuse.
Out:  the NetSpec with `score`, cropped to the image's size.
Not here: losses, data layers, weights; the arithmetic of offsets (coord).
Source: Long et al., section 4.2 and, for the at-once scales, the journal version; late fusion of two trunks
as released for NYUDv2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import caffe
from caffe import layers as L
from nets import NetError
from nets.blocks import average, fixed_scale, fuse, score, upsample
from nets.coord import crop


class Skip(NamedTuple):
    """A finer blob to fuse: layer `name`, its features times `scale` before they are scored."""

    name: str
    scale: float | None = None


# All skips learned at once, instead of stage by stage with base_lr a hundredth each time: the fixed
# scales bring the finer streams' features to about the size of the coarsest one's.
AT_ONCE = (Skip("pool4", 0.01), Skip("pool3", 0.0001))
STAGED = {32: (), 16: (Skip("pool4"),), 8: (Skip("pool4"), Skip("pool3")),
          4: (Skip("pool4"), Skip("pool3"), Skip("pool2"))}


@dataclass(frozen=True)
class FcnHead:
    """How scores become a score for every pixel.

    stride: of the finest stream, 32, 16, 8 or 4.
    skips: instead of the plain ones of this stride (AT_ONCE scales them).
    kernel: of the last upsampling; None: twice the stride. Trunks with 3 x 3 pools take one less.
    suffix: glued to every name, where a net has several heads; the crop of a skip has its `c` after it.
    trunks: suffixes of the trunks whose scores are averaged.
    """

    num_classes: int
    stride: int = 32
    skips: tuple[Skip, ...] | None = None
    kernel: int | None = None
    suffix: str = ""
    trunks: tuple[str, ...] = ("",)

    def add(self, n: caffe.NetSpec, scored: L, image: L) -> L:
        """Upsample, fuse the skips, crop to the image.

        Args:
            n: the net with pool4, pool3 and pool2, where the stride needs them.
            scored: the scores of the trunk's last Top, `score_fr`.
            image: the Top whose height and width the score takes.

        Returns:
            `score`, N x K x H x W.

        Raises:
            NetError: another stride, or offsets that do not fit (see coord).
        """
        if self.stride not in STAGED:
            raise NetError(f"FCN head: stride {self.stride}, want one of {sorted(STAGED, reverse=True)}")
        top, upscore, skips = scored, "upscore2", STAGED[self.stride] if self.skips is None else self.skips
        for skip in skips:
            n[upscore + self.suffix] = finer = upsample(top, self.num_classes, 4, 2)
            top = self._fuse_skip(n, finer, skip)
            upscore = f"upscore_{skip.name}"
        return self.enlarge(n, top, image)

    def enlarge(self, n: caffe.NetSpec, scored: L, image: L) -> L:
        """Upsample by the stride in one step and crop to the image; gives `score`."""
        last = "upscore" if self.stride == 32 else f"upscore{self.stride}"
        n[last + self.suffix] = up = upsample(scored, self.num_classes, self.kernel or 2 * self.stride, self.stride)
        n[f"score{self.suffix}"] = found = crop(up, image)
        return found

    def _fuse_skip(self, n: caffe.NetSpec, finer: L, skip: Skip) -> L:
        scored = [self._score_skip(n, skip, trunk) for trunk in self.trunks]
        if len(scored) > 1:
            n[f"score_{skip.name}_fused"] = average(*scored)
            scored = [n[f"score_{skip.name}_fused"]]
        n[f"score_{skip.name}{self.suffix}c"] = cropped = crop(scored[0], finer)
        n[f"fuse_{skip.name}{self.suffix}"] = fused = fuse(finer, cropped)
        return fused

    def _score_skip(self, n: caffe.NetSpec, skip: Skip, trunk: str) -> L:
        features = n[skip.name + trunk]
        if skip.scale is not None:
            n[f"scale_{skip.name}{trunk}"] = features = fixed_scale(features, skip.scale)
        n[f"score_{skip.name}{trunk}{self.suffix}"] = scored = score(features, self.num_classes)
        return scored

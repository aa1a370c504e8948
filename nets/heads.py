"""Heads of FCN: turn trunk features into a score for every pixel of the image.

In:   a NetSpec whose trunk is there (vgg16, squeezenet), its last Top, and the skips to fuse.
Out:  the NetSpec with `score`, cropped to the image's size.
Not here: losses, data layers, weights; the arithmetic of offsets (coord).
Source: Long et al., section 4.2 and, for the at-once scales, the journal version.
"""

from __future__ import annotations

from typing import NamedTuple

import caffe
from caffe import layers as L
from nets import NetError
from nets.blocks import fixed_scale, fuse, score, upsample
from nets.coord import crop


class Skip(NamedTuple):
    """A finer blob to fuse: layer `name`, its features times `scale` before they are scored."""

    name: str
    scale: float | None = None


# All skips learned at once, instead of stage by stage with base_lr a hundredth each time: the fixed
# scales bring the finer streams' features to about the size of the coarsest one's.
AT_ONCE = (Skip("pool4", 0.01), Skip("pool3", 0.0001))
STAGED = {32: (), 16: (Skip("pool4"),), 8: (Skip("pool4"), Skip("pool3"))}


def fcn_head(n: caffe.NetSpec, top: L, image: L, num_classes: int, stride: int,
             skips: tuple[Skip, ...] | None = None) -> L:
    """Add the head of FCN-32s, -16s or -8s on a stride-32 trunk.

    Args:
        n: the net with pool4 and pool3, where the stride needs them.
        top: the trunk's last Top, at stride 32.
        image: the Top whose height and width the score takes.
        num_classes: K.
        stride: 32, 16 or 8, of the finest stream.
        skips: instead of the plain ones of this stride (AT_ONCE scales them).

    Returns:
        `score`, N x K x H x W.

    Raises:
        NetError: another stride, or offsets that do not fit (see coord).
    """
    if stride not in STAGED:
        raise NetError(f"FCN head: stride {stride}, want one of {sorted(STAGED, reverse=True)}")
    n.score_fr = top = score(top, num_classes)
    upscore = "upscore2"
    for skip in STAGED[stride] if skips is None else skips:
        n[upscore] = finer = upsample(top, num_classes, 4, 2)
        top = _fuse_skip(n, finer, skip, num_classes)
        upscore = f"upscore_{skip.name}"
    last = "upscore" if stride == 32 else f"upscore{stride}"
    n[last] = upsample(top, num_classes, 2 * stride, stride)
    n.score = crop(n[last], image)
    return n.score


def _fuse_skip(n: caffe.NetSpec, finer: L, skip: Skip, num_classes: int) -> L:
    name, features = skip.name, n[skip.name]
    if skip.scale is not None:
        n[f"scale_{name}"] = features = fixed_scale(features, skip.scale)
    n[f"score_{name}"] = scored = score(features, num_classes)
    n[f"score_{name}c"] = cropped = crop(scored, finer)
    n[f"fuse_{name}"] = fuse(finer, cropped)
    return n[f"fuse_{name}"]

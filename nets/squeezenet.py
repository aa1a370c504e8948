"""SqueezeNet v1.0 as a trunk, and its fully convolutional net with two skips and the image as context.

In:   a NetSpec with a blob of images.
Out:  the NetSpec with conv1 ... fire9/concat under the published names, or with `score` on top.
Not here: data, losses, weights.
Source: Iandola et al. 2016 (SqueezeNet), its Caffe release for the layer names; Long et al. for the head;
Liu et al. 2015 (ParseNet) for scores of the whole image added at every place.

The net looks at the image at half size: things are then as large as those the classifier has seen, which
is worth more here than finer borders, and a pass costs a quarter. So fire9 lies at stride 32, fire5 at 16,
fire4 at 8. SqueezeNet pools 3 x 3, so with the paper's even kernels (4 and 16) the offsets would lie
between pixels; 3 and 15 are bilinear as well and give whole ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import caffe
from caffe import layers as L
from caffe import params as P
from nets.blocks import drop, fixed_scale, fuse, learn, max_pool, score, upsample
from nets.coord import crop

FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128),  # number: (squeezed, expanded twice)
         6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
POOL_AFTER = (1, 4, 8)  # pool1 follows conv1; pool4, pool8 follow their fires


@dataclass(frozen=True)
class SqueezeNet:
    """How the fully convolutional net is made."""

    pad: int = 10  # of conv1; with less, pool8 has no output for the smallest images
    classes: int = 1000  # of the classifier, whose scores over the whole image are the context
    dropout: float | None = 0.5  # ratio of drop9, as published; None: no such layer
    skip_scale: float = 0.05  # fire5 and fire4 are some 30 times fire9; fixed, as at-once FCN-8s has it
    score_lr: float = 10  # the scores start at zero and learn this much faster than the trunk
    image_lr: float = 100  # the same for the image's, whose bottom is ten times smaller


def trunk(n: caffe.NetSpec, bottom: L, net: SqueezeNet) -> L:
    """Add conv1 to fire9/concat (512 channels, stride 16); gives the last Top."""
    n.conv1 = L.Convolution(bottom, num_output=96, kernel_size=7, stride=2, pad=net.pad, param=learn())
    n.relu_conv1 = L.ReLU(n.conv1, in_place=True)
    n.pool1 = top = max_pool(n.relu_conv1, 3, 2)
    for number, (squeezed, expanded) in FIRES.items():
        top = _fire(n, f"fire{number}", top, squeezed, expanded)
        if number in POOL_AFTER:
            n[f"pool{number}"] = top = max_pool(top, 3, 2)
    return drop(n, "drop9", top, net.dropout)


def fcn(n: caffe.NetSpec, image: L, num_classes: int, net: SqueezeNet) -> L:
    """Add the trunk and a head at stride 8; gives `score`, N x K x H x W, for every H, W >= 1."""
    n.half = L.Pooling(image, pool=P.Pooling.AVE, kernel_size=3, stride=2, pad=1)
    top = trunk(n, n.half, net)
    n.score_image = _image_score(n, top, num_classes, net)
    n.score_fire9 = score(top, num_classes, net.score_lr)
    n.score_fire9i = L.Bias(n.score_fire9, n.score_image, axis=0)  # added at every place
    below = n.score_fire9i
    for up, fire in (("upscore2", "fire5"), ("upscore_fire5", "fire4")):
        n[up] = upsample(below, num_classes, 3, 2)
        n[f"scale_{fire}"] = fixed_scale(n[f"{fire}/concat"], net.skip_scale)
        n[f"score_{fire}"] = score(n[f"scale_{fire}"], num_classes, net.score_lr)
        # An even fire is one pixel smaller than its upsampled twin, so the twin is cropped, not the skip.
        n[f"{up}c"] = crop(n[up], n[f"score_{fire}"])
        n[f"fuse_{fire}"] = below = fuse(n[f"{up}c"], n[f"score_{fire}"])
    n.upscore8 = upsample(below, num_classes, 15, 8)
    n.score = crop(n.upscore8, image)
    return n.score


def _image_score(n: caffe.NetSpec, top: L, num_classes: int, net: SqueezeNet) -> L:
    """Score the image as a whole (N x K), from the classifier's own end."""
    n.conv_final = L.Convolution(top, num_output=net.classes, kernel_size=1, param=learn())
    n.relu_conv_final = L.ReLU(n.conv_final, in_place=True)
    n.pool_final = L.Pooling(n.relu_conv_final, pool=P.Pooling.AVE, global_pooling=True)
    return L.InnerProduct(n.pool_final, num_output=num_classes, param=learn(net.image_lr))


def _fire(n: caffe.NetSpec, name: str, bottom: L, squeezed: int, expanded: int) -> L:
    """Squeeze to few channels (1 x 1), expand twice (1 x 1 and 3 x 3), lay both side by side."""
    squeeze = _conv_relu(n, name, "conv1x1_1", bottom, squeezed, 1)
    ones = _conv_relu(n, name, "conv1x1_2", squeeze, expanded, 1)
    threes = _conv_relu(n, name, "conv3x3_2", squeeze, expanded, 3)
    n[f"{name}/concat"] = L.Concat(ones, threes)
    return n[f"{name}/concat"]


def _conv_relu(n: caffe.NetSpec, fire: str, conv: str, bottom: L, num_output: int, kernel_size: int) -> L:
    name = f"{fire}/{conv}"
    n[name] = L.Convolution(bottom, num_output=num_output, kernel_size=kernel_size,
                            pad=kernel_size // 2, param=learn())
    n[f"{fire}/relu_{conv}"] = L.ReLU(n[name], in_place=True)
    return n[f"{fire}/relu_{conv}"]

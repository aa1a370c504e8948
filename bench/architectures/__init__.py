"""Architectures as users have them, at published widths and sizes, written by generators of our own.

In:   a name of ARCHITECTURES; batch size; whether it is to be trained.
Out:  draft(): its prototxt and inputs.
Not here: measuring (__main__), weights (weights).
"""

from __future__ import annotations

from collections.abc import Callable

from bench.architectures import (
    alexnet,
    captioning,
    densenet,
    inception,
    mobilenet,
    resnet,
    small,
    vgg,
)
from bench.architectures.draft import Draft

ARCHITECTURES: dict[str, Callable[[Draft], None]] = {write.__name__: write for write in (
    small.lenet, small.cifar10_quick, small.cifar10_full, small.siamese, small.mtcnn_p, small.mtcnn_r, small.mtcnn_o,
    alexnet.caffenet, alexnet.nin, alexnet.squeezenet, inception.googlenet, inception.inception_bn,
    inception.inception_v3, vgg.vgg16_bn, vgg.segnet_encoder, resnet.resnet_18, resnet.resnet_20, resnet.resnet_50,
    resnet.se_resnet_20, resnet.se_resnet_50, densenet.densenet_40, densenet.densenet_121, mobilenet.mobilenet_v1,
    mobilenet.mobilenet_v2, captioning.lrcn)}


def draft(name: str, **how) -> Draft:
    """Return the net of that name; `how` is Draft's batch, train, global_stats, fillers.

    Raises:
        KeyError: there is no such net; names those there are.
    """
    if name not in ARCHITECTURES:
        raise KeyError(f"net {name!r}: want one of {', '.join(ARCHITECTURES)}")
    written = Draft(**how)
    ARCHITECTURES[name](written)
    return written

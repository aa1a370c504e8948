"""Layers as FCN writes them, so that every net of the zoo says the same thing the same way.

In:   Tops of a NetSpec, sizes in pixels.
Out:  Tops; the caller names them by assigning to the NetSpec.
Not here: which layers make a net (vgg16, alexnet, googlenet, squeezenet, heads); offsets of crops (coord).
Source: the released nets' settings; Long et al., section 4.
"""

from __future__ import annotations

from typing import Any

import caffe
from caffe import layers as L
from caffe import params as P

IGNORE_LABEL = 255  # void pixels of VOC: borders and what nobody could name

# Weights learn at the solver's rate with decay; biases at twice the rate and without decay,
# as in the nets that won ILSVRC and as FCN kept it.
LEARN = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]
FIXED = [dict(lr_mult=0)]
STILL = [dict(lr_mult=0, decay_mult=0), dict(lr_mult=0, decay_mult=0)]  # weights and biases that stay as they are


def learn(times: float = 1) -> list:
    """Give the params of a layer with weights and bias that learns `times` the solver's rate."""
    return [dict(param, lr_mult=param["lr_mult"] * times) for param in LEARN]


def fillers(weight_filler: dict[str, Any] | None) -> dict[str, Any]:
    """Give the filler settings of a layer: none (weights are copied in), or this one and a zero bias."""
    if weight_filler is None:
        return {}
    return dict(weight_filler=dict(weight_filler), bias_filler=dict(type="constant", value=0))


def conv_relu(bottom: L, num_output: int, kernel_size: int = 3, pad: int = 1, *, stride: int = 1,
              weight_filler: dict[str, Any] | None = None, param: list | None = LEARN,
              **more: Any) -> tuple[L, L]:
    """Convolve and rectify in place; gives both Tops. With `param` None, none is written (Caffe's 1 and 1)."""
    specs = {} if param is None else dict(param=[dict(spec) for spec in param])
    conv = L.Convolution(bottom, kernel_size=kernel_size, stride=stride, num_output=num_output, pad=pad,
                         **specs, **fillers(weight_filler), **more)
    return conv, L.ReLU(conv, in_place=True)


def full_relu(bottom: L, num_output: int, weight_filler: dict[str, Any] | None = None) -> tuple[L, L]:
    """Connect fully (InnerProduct) and rectify in place; gives both Tops."""
    full = full_score(bottom, num_output, weight_filler)
    return full, L.ReLU(full, in_place=True)


def full_score(bottom: L, num_output: int, weight_filler: dict[str, Any] | None = None) -> L:
    """Connect fully (InnerProduct)."""
    return L.InnerProduct(bottom, num_output=num_output, param=learn(), **fillers(weight_filler))


def max_pool(bottom: L, kernel_size: int = 2, stride: int = 2, **more: Any) -> L:
    """Take the maximum of each window; Caffe rounds the size up."""
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=kernel_size, stride=stride, **more)


def normalise(bottom: L) -> L:
    """Divide by the response of five neighbouring channels (LRN), as AlexNet and GoogLeNet do."""
    return L.LRN(bottom, local_size=5, alpha=1e-4, beta=0.75)


def drop(n: caffe.NetSpec, name: str, bottom: L, ratio: float | None) -> L:
    """Add a layer that drops this share of the values in TRAIN, in place; None: no layer. Gives the last Top."""
    if ratio is None:
        return bottom
    n[name] = L.Dropout(bottom, dropout_ratio=ratio, in_place=True)
    return n[name]


def score(bottom: L, num_classes: int, lr_times: float = 1) -> L:
    """Score each class at each place, 1 x 1; without filler it starts at zero, as the paper chose."""
    return L.Convolution(bottom, num_output=num_classes, kernel_size=1, pad=0, param=learn(lr_times))


def upsample(bottom: L, num_classes: int, kernel_size: int, stride: int) -> L:
    """Enlarge the scores by `stride`; the fixed bilinear kernel is surgery's work (`interp`)."""
    return L.Deconvolution(
        bottom, param=FIXED,
        convolution_param=dict(num_output=num_classes, kernel_size=kernel_size, stride=stride,
                               bias_term=False))


def fixed_scale(bottom: L, value: float) -> L:
    """Multiply every channel by one constant that does not learn."""
    return L.Scale(bottom, filler=dict(type="constant", value=value), param=FIXED)


def fuse(*bottoms: L) -> L:
    """Add streams of scores."""
    return L.Eltwise(*bottoms, operation=P.Eltwise.SUM)


def average(*bottoms: L) -> L:
    """Average the scores of several trunks."""
    return L.Eltwise(*bottoms, operation=P.Eltwise.SUM, coeff=[1 / len(bottoms)] * len(bottoms))


def segmentation_loss(bottom: L, label: L, normalize: bool, class_weights: str | None = None) -> L:
    """Compare scores with labels at every pixel that is not 255.

    With `normalize` the loss is the mean over those pixels; without, their sum over the batch size
    (Caffe's BATCH_SIZE), which is how FCN was trained and why its base_lr is tiny.

    Args:
        bottom: scores.
        label: of the same height and width.
        normalize: as said.
        class_weights: binaryproto of a K x K matrix with a weight for each class on the diagonal.
    """
    if class_weights is None:
        return L.SoftmaxWithLoss(bottom, label, loss_param=dict(normalize=normalize, ignore_label=IGNORE_LABEL))
    # Caffe: InfogainLoss refuses `normalize`, the older way to say the same. infogain_loss_layer.cpp
    normalization = P.Loss.VALID if normalize else P.Loss.BATCH_SIZE
    return L.InfogainLoss(bottom, label, infogain_loss_param=dict(source=class_weights),
                          loss_param=dict(normalization=normalization, ignore_label=IGNORE_LABEL))


def image_input(height: int, width: int, channels: int = 3, **more: Any) -> L:
    """Give the Input layer of a deploy net: one image, an example size; reshape it at will."""
    return L.Input(input_param=dict(shape=[dict(dim=[1, channels, height, width])]), **more)

"""Nets of Caffe's examples for small images: LeNet, CIFAR10-quick and -full, a siamese net; MTCNN's three.

In:   a Draft.   Out: the net in it.
Source: Caffe's examples by their descriptions; Zhang et al. 2016 (arXiv 1604.02878), figure 2.
"""

from __future__ import annotations

import numpy as np

from bench.architectures.draft import BIAS, WEIGHT, Draft
from caffe import layers as L
from caffe import params as P


def lenet(draft: Draft) -> None:
    """Write LeNet, 28, grey."""
    top = draft.image(28, channels=1)
    for number, channels in ((1, 20), (2, 50)):
        top = draft.pool(f"pool{number}", draft.conv(f"conv{number}", top, channels, 5, filler="xavier"), 2, 2)
    top = draft.relu("relu1", draft.full("ip1", top, 500))
    draft.classify(draft.full("ip2", top, 10), 10)


def cifar10(draft: Draft, full: bool) -> None:
    """Write one of Caffe's nets for CIFAR-10, 32: `full` has LRN within channels, quick a second InnerProduct."""
    top = draft.pool("pool1", draft.conv("conv1", draft.image(32), 32, 5, pad=2), 3, 2)
    top = draft.relu("relu1", top)
    for number, channels in ((2, 32), (3, 64)):
        if full:
            top = draft.add(f"norm{number - 1}", L.LRN(top, local_size=3, alpha=5e-5, beta=0.75,
                                                       norm_region=P.LRN.WITHIN_CHANNEL))
        top = draft.conv_relu(f"conv{number}", top, channels, 5, pad=2)
        top = draft.pool(f"pool{number}", top, 3, 2, ave=True)
    if not full:
        top = draft.full("ip1", top, 64)
    draft.classify(draft.full("ip2", top, 10), 10)


def cifar10_quick(draft: Draft) -> None:
    """Write CIFAR10-quick."""
    cifar10(draft, full=False)


def cifar10_full(draft: Draft) -> None:
    """Write CIFAR10-full."""
    cifar10(draft, full=True)


def alike(rng, shape):
    """Return pairs whose halves differ by a little noise: their features then lie within the margin."""
    first = rng.normal(0, 0.1, (shape[0], 1, *shape[2:]))
    return np.concatenate([first, first + rng.normal(0, 0.05, first.shape)], 1)


def siamese(draft: Draft) -> None:
    """Write two LeNets on the halves of a pair of digits, all parameters shared by name, with ContrastiveLoss."""
    pair = draft.input("pair_data", draft.batch, 2, 28, 28, draw=alike)
    sim = draft.input("sim", draft.batch, draw=lambda rng, shape: 1 - np.arange(shape[0]) % 2)
    features = []
    for suffix, top in zip(("", "_p"), draft.add("half", L.Slice(pair, ntop=2, slice_param={"axis": 1}))):
        def shared(name: str, layer, bottom, suffix=suffix, **how):
            how.update(draft.weights("xavier"), param=[{"name": f"{name}_w", **WEIGHT}, {"name": f"{name}_b", **BIAS}])
            return draft.add(name + suffix, layer(bottom, **how))

        for number, channels in ((1, 20), (2, 50)):
            top = shared(f"conv{number}", L.Convolution, top, num_output=channels, kernel_size=5)
            top = draft.pool(f"pool{number}{suffix}", top, 2, 2)
        top = draft.relu(f"relu1{suffix}", shared("ip1", L.InnerProduct, top, num_output=500))
        top = shared("ip2", L.InnerProduct, top, num_output=10)
        features.append(shared("feat", L.InnerProduct, top, num_output=2))
    draft.add("loss", L.ContrastiveLoss(*features, sim, margin=1))


# -- MTCNN: (channels, kernel, pool's kernel) of each convolution, then the size of a fully connected layer

MTCNN = {12: (((10, 3, 2), (16, 3, 0), (32, 3, 0)), 0), 24: (((28, 3, 3), (48, 3, 3), (64, 2, 0)), 128),
         48: (((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), 256)}
HEADS = (("class", 2), ("box", 4), ("points", 10))


def mtcnn(draft: Draft, size: int) -> None:
    """Write one of the nets: PReLU, odd sizes, a head each for class, box and points."""
    convs, inner = MTCNN[size]
    top = draft.image(size)
    for number, (channels, kernel, pool) in enumerate(convs, 1):
        top = draft.conv(f"conv{number}", top, channels, kernel)
        top = draft.add(f"prelu{number}", L.PReLU(top, in_place=True))
        if pool:
            top = draft.pool(f"pool{number}", top, pool, 2)
    if inner:
        top = draft.add("prelu_ip", L.PReLU(draft.full("ip", top, inner), in_place=True))
    scores = {}
    for name, outputs in HEADS:
        scores[name] = draft.full(name, top, outputs) if inner else draft.conv(name, top, outputs, 1)
    if not draft.train:
        draft.add("prob", L.Softmax(scores["class"]))
        return
    place = () if inner else (1, 1)
    draft.add("class_loss", L.SoftmaxWithLoss(scores["class"], draft.label(2, draft.batch, *place or (1,))))
    for name, outputs in HEADS[1:]:
        target = draft.input(f"{name}_target", draft.batch, outputs, *place)
        draft.add(f"{name}_loss", L.EuclideanLoss(scores[name], target, loss_weight=0.5))


def mtcnn_p(draft: Draft) -> None:
    """Write the proposal net, 12."""
    mtcnn(draft, 12)


def mtcnn_r(draft: Draft) -> None:
    """Write the refinement net, 24."""
    mtcnn(draft, 24)


def mtcnn_o(draft: Draft) -> None:
    """Write the output net, 48."""
    mtcnn(draft, 48)

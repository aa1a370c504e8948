"""ResNet and SE-ResNet, as their Caffe releases: BatchNorm, Scale and ReLU in place, the stride in the first 1x1.

In:   a Draft.   Out: the net in it.
Source: He et al. 2015 (arXiv 1512.03385), table 1 and section 4.2; Hu et al. 2017 (arXiv 1709.01507), figure 3
and section 6.2.
"""

from __future__ import annotations

from bench.architectures.draft import Draft
from caffe import layers as L

STAGES_50 = ((64, 3), (128, 4), (256, 6), (512, 3))


def bottleneck(draft: Draft, name: str, bottom, channels: int, stride: int, widen: bool, squeeze=None):
    """Add a block of 1x1, 3x3, 1x1; `squeeze` weighs its channels before the sum."""
    short = draft.unit(f"{name}_branch1", bottom, 4 * channels, 1, relu=False, stride=stride) if widen else bottom
    top = draft.unit(f"{name}_branch2a", bottom, channels, 1, stride=stride)
    top = draft.unit(f"{name}_branch2b", top, channels, 3, pad=1)
    top = draft.unit(f"{name}_branch2c", top, 4 * channels, 1, relu=False)
    if squeeze:
        top = squeeze(draft, name, top, 4 * channels)
    return draft.relu(f"{name}/relu", draft.sum(name, short, top))


def basic(draft: Draft, name: str, bottom, channels: int, stride: int, widen: bool, squeeze=None):
    """Add a block of two 3x3; `squeeze` weighs its channels before the sum."""
    short = draft.unit(f"{name}_branch1", bottom, channels, 1, relu=False, stride=stride) if widen else bottom
    top = draft.unit(f"{name}_branch2a", bottom, channels, 3, stride=stride, pad=1)
    top = draft.unit(f"{name}_branch2b", top, channels, 3, relu=False, pad=1)
    if squeeze:
        top = squeeze(draft, name, top, channels)
    return draft.relu(f"{name}/relu", draft.sum(name, short, top))


def squeeze_conv(draft: Draft, name: str, bottom, channels: int):
    """Weigh channels: 1x1 convolutions, then Flatten, for Scale wants (N, C) at axis 0."""
    top = draft.conv_relu(f"{name}_1x1_down", draft.whole(f"{name}_global_pool", bottom), channels // 16, 1)
    top = draft.conv(f"{name}_1x1_up", top, channels, 1, filler="xavier")
    top = draft.add(f"{name}_prob", L.Sigmoid(top, in_place=True))
    return draft.add(f"{name}_weighed", L.Scale(bottom, draft.add(f"{name}_flat", L.Flatten(top)), axis=0))


def squeeze_full(draft: Draft, name: str, bottom, channels: int):
    """Weigh channels: InnerProducts, whose tops are (N, C) as they are."""
    top = draft.full(f"{name}_down", draft.whole(f"{name}_global_pool", bottom), channels // 16, "msra")
    top = draft.full(f"{name}_up", draft.relu(f"{name}_down/relu", top), channels)
    return draft.add(f"{name}_weighed", L.Scale(bottom, draft.add(f"{name}_prob", L.Sigmoid(top)), axis=0))


def fifty(draft: Draft, squeezes=(None,) * 4) -> None:
    """Write a net of bottlenecks in four stages, 224."""
    top = draft.unit("conv1", draft.image(224), 64, 7, stride=2, pad=3)
    top = draft.pool("pool1", top, 3, 2)
    for stage, ((channels, depth), squeeze) in enumerate(zip(STAGES_50, squeezes), 2):
        for block in range(depth):
            stride = 2 if block == 0 and stage > 2 else 1
            top = bottleneck(draft, f"res{stage}{'abcdef'[block]}", top, channels, stride, block == 0, squeeze)
    draft.classify(draft.full("fc1000", draft.pool("pool5", top, 7, ave=True), 1000), 1000)


def resnet_50(draft: Draft) -> None:
    """Write ResNet-50."""
    fifty(draft)


def se_resnet_50(draft: Draft) -> None:
    """Write SE-ResNet-50; its weights of channels by 1x1 convolutions below, by InnerProducts above."""
    fifty(draft, (squeeze_conv, squeeze_conv, squeeze_full, squeeze_full))


def resnet_18(draft: Draft) -> None:
    """Write ResNet-18, 224."""
    top = draft.pool("pool1", draft.unit("conv1", draft.image(224), 64, 7, stride=2, pad=3), 3, 2)
    for stage, channels in enumerate((64, 128, 256, 512), 2):
        for block in range(2):
            stride = 2 if block == 0 and stage > 2 else 1
            top = basic(draft, f"res{stage}{'ab'[block]}", top, channels, stride, stride == 2)
    draft.classify(draft.full("fc1000", draft.pool("pool5", top, 7, ave=True), 1000), 1000)


def twenty(draft: Draft, squeezes=(None,) * 3) -> None:
    """Write a net of basic blocks in three stages for CIFAR, 32; shortcuts that widen are 1x1 convolutions."""
    top = draft.unit("conv1", draft.image(32), 16, 3, pad=1)
    for stage, (channels, squeeze) in enumerate(zip((16, 32, 64), squeezes), 1):
        for block in range(3):
            stride = 2 if block == 0 and stage > 1 else 1
            top = basic(draft, f"res{stage}{'abc'[block]}", top, channels, stride, stride == 2, squeeze)
    draft.classify(draft.full("fc", draft.whole("pool", top), 10), 10)


def resnet_20(draft: Draft) -> None:
    """Write ResNet-20 for CIFAR."""
    twenty(draft)


def se_resnet_20(draft: Draft) -> None:
    """Write SE-ResNet-20 for CIFAR."""
    twenty(draft, (squeeze_conv, squeeze_conv, squeeze_full))

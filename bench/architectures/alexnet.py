"""CaffeNet, Network in Network, SqueezeNet: ILSVRC nets without BatchNorm.

In:   a Draft.   Out: the net in it.
Source: Krizhevsky et al. 2012 in the order of Caffe's reference net (pooling before LRN); Lin et al. 2013
(arXiv 1312.4400) with the widths of its ILSVRC model; Iandola et al. 2016 (arXiv 1602.07360), v1.1.
"""

from __future__ import annotations

from bench.architectures.draft import Draft
from caffe import layers as L


def caffenet(draft: Draft) -> None:
    """Write CaffeNet, 227: groups, LRN, three fully connected layers."""
    top = draft.conv_relu("conv1", draft.image(227), 96, 11, stride=4)
    top = draft.add("norm1", L.LRN(draft.pool("pool1", top, 3, 2), local_size=5, alpha=1e-4, beta=0.75))
    top = draft.conv_relu("conv2", top, 256, 5, pad=2, group=2)
    top = draft.add("norm2", L.LRN(draft.pool("pool2", top, 3, 2), local_size=5, alpha=1e-4, beta=0.75))
    top = draft.conv_relu("conv3", top, 384, 3, pad=1)
    top = draft.conv_relu("conv4", top, 384, 3, pad=1, group=2)
    top = draft.pool("pool5", draft.conv_relu("conv5", top, 256, 3, pad=1, group=2), 3, 2)
    for name in ("6", "7"):
        top = draft.relu(f"relu{name}", draft.full(f"fc{name}", top, 4096, "msra"))
        top = draft.dropout(f"drop{name}", top)
    draft.classify(draft.full("fc8", top, 1000), 1000)


def nin(draft: Draft) -> None:
    """Write Network in Network, 224."""
    top = draft.image(224)
    for stage, (channels, kernel, how) in enumerate((
            (96, 11, {"stride": 4}), (256, 5, {"pad": 2}), (384, 3, {"pad": 1}), (1024, 3, {"pad": 1})), 1):
        top = draft.conv_relu(f"conv{stage}", top, channels, kernel, **how)
        top = draft.conv_relu(f"cccp{2 * stage - 1}", top, channels, 1)
        top = draft.conv_relu(f"cccp{2 * stage}", top, channels if stage < 4 else 1000, 1)
        if stage < 4:
            top = draft.pool(f"pool{stage}", top, 3, 2)
        if stage == 3:
            top = draft.dropout("drop", top)
    draft.classify(draft.whole("pool4", top), 1000)


def squeezenet(draft: Draft) -> None:
    """Write SqueezeNet v1.1, 227."""
    top = draft.pool("pool1", draft.conv_relu("conv1", draft.image(227), 64, 3, stride=2), 3, 2)
    for number, (squeeze, expand) in enumerate(((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192),
                                                (64, 256), (64, 256)), 2):
        name = f"fire{number}"
        below = draft.conv_relu(f"{name}/squeeze1x1", top, squeeze, 1)
        top = draft.concat(f"{name}/concat", draft.conv_relu(f"{name}/expand1x1", below, expand, 1),
                           draft.conv_relu(f"{name}/expand3x3", below, expand, 3, pad=1))
        if number in (3, 5):
            top = draft.pool(f"pool{number}", top, 3, 2)
    top = draft.conv_relu("conv10", draft.dropout("drop9", top), 1000, 1)
    draft.classify(draft.whole("pool10", top), 1000)

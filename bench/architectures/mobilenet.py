"""MobileNet: depthwise convolutions, which Caffe has as Convolution with as many groups as channels.

In:   a Draft.   Out: the net in it.
Not here: ReLU6, which BVLC lacks; Caffe's users put ReLU in its place.
Source: Howard et al. 2017 (arXiv 1704.04861), table 1; Sandler et al. 2018 (arXiv 1801.04381), table 2.
"""

from __future__ import annotations

from bench.architectures.draft import Draft

PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
# expansion, channels, repeats, stride
BOTTLENECKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
               (6, 320, 1, 1))


def mobilenet_v1(draft: Draft) -> None:
    """Write MobileNet, width 1, 224."""
    top, width = draft.unit("conv1", draft.image(224), 32, 3, stride=2, pad=1), 32
    for number, (channels, stride) in enumerate(PAIRS, 2):
        top = draft.unit(f"conv{number}/dw", top, width, 3, stride=stride, pad=1, group=width)
        top, width = draft.unit(f"conv{number}/sep", top, channels, 1), channels
    draft.classify(draft.conv("fc7", draft.whole("pool6", top), 1000, 1), 1000)


def mobilenet_v2(draft: Draft) -> None:
    """Write MobileNet v2, width 1, 224."""
    top, width = draft.unit("conv1", draft.image(224), 32, 3, stride=2, pad=1), 32
    for stage, (expansion, channels, repeats, stride) in enumerate(BOTTLENECKS, 1):
        for block in range(repeats):
            step = stride if block == 0 else 1
            name, inner, below = f"conv{stage}_{block + 1}", width * expansion, top
            if expansion > 1:
                top = draft.unit(f"{name}/expand", top, inner, 1)
            top = draft.unit(f"{name}/dwise", top, inner, 3, stride=step, pad=1, group=inner)
            top = draft.unit(f"{name}/linear", top, channels, 1, relu=False)
            if step == 1 and width == channels:
                top = draft.sum(f"{name}/sum", below, top)
            width = channels
    top = draft.unit("conv8", top, 1280, 1)
    draft.classify(draft.conv("fc", draft.whole("pool", top), 1000, 1), 1000)

"""VGG-16 with BatchNorm, and SegNet's encoder, which is its convolutions with pooling that keeps where its maxima were.

In:   a Draft.   Out: the net in it.
Not here: SegNet's decoder, whose Upsample BVLC lacks.
Source: Simonyan and Zisserman 2014 (arXiv 1409.1556), table 1, D; Badrinarayanan et al. 2015 (arXiv 1511.00561), 3.
"""

from __future__ import annotations

from bench.architectures.draft import Draft

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def trunk(draft: Draft, top, pool_tops: int):
    """Add the 13 convolutions and five pools."""
    for stage, (channels, depth) in enumerate(STAGES, 1):
        for number in range(1, depth + 1):
            top = draft.unit(f"conv{stage}_{number}", top, channels, 3, pad=1)
        top = draft.pool(f"pool{stage}", top, 2, 2, ntop=pool_tops)
        top = top if pool_tops == 1 else top[0]
    return top


def vgg16_bn(draft: Draft) -> None:
    """Write VGG-16 with BatchNorm, 224."""
    top = trunk(draft, draft.image(224), 1)
    for name in ("6", "7"):
        top = draft.relu(f"relu{name}", draft.full(f"fc{name}", top, 4096, "msra"))
        top = draft.dropout(f"drop{name}", top)
    draft.classify(draft.full("fc8", top, 1000), 1000)


def segnet_encoder(draft: Draft) -> None:
    """Write SegNet's encoder at CamVid's 360x480; scores of 11 classes at a 32nd of the size."""
    score = draft.conv("score", trunk(draft, draft.image(360, 480), 2), 11, 1)
    if draft.train:
        draft.label(11, draft.batch, 1, 12, 15)
    draft.classify(score, 11)

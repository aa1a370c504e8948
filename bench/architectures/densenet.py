"""DenseNet: every layer reads the outputs of all before it, by Concat.

In:   a Draft.   Out: the net in it.
Source: Huang et al. 2016 (arXiv 1608.06993), table 1 and section 4.2.
"""

from __future__ import annotations

from bench.architectures.draft import Draft


def preactivated(draft: Draft, name: str, bottom):
    """Add BatchNorm out of place, for the bottom has other readers, then Scale and ReLU in place."""
    return draft.relu(f"{name}/relu", draft.norm(name, bottom, in_place=False))


def densenet_121(draft: Draft) -> None:
    """Write DenseNet-121, growth 32, 224."""
    top, width, growth = draft.unit("conv1", draft.image(224), 64, 7, stride=2, pad=3), 64, 32
    top = draft.pool("pool1", top, 3, 2, 1)
    for block, depth in enumerate((6, 12, 24, 16), 2):
        for number in range(1, depth + 1):
            name = f"conv{block}_{number}"
            new = draft.conv(f"{name}/x1", preactivated(draft, f"{name}/x1", top), 4 * growth, 1, bias=False)
            new = draft.relu(f"{name}/x2/relu", draft.norm(f"{name}/x2", new))
            new = draft.conv(f"{name}/x2", new, growth, 3, pad=1, bias=False)
            top, width = draft.concat(f"concat_{block}_{number}", top, new), width + growth
        if block < 5:
            width //= 2
            top = draft.relu(f"conv{block}_blk/relu", draft.norm(f"conv{block}_blk", top))
            top = draft.pool(f"pool{block}", draft.conv(f"conv{block}_blk", top, width, 1, bias=False), 2, 2, ave=True)
    top = draft.relu("conv5_blk/relu", draft.norm("conv5_blk", top))
    draft.classify(draft.conv("fc6", draft.whole("pool5", top), 1000, 1), 1000)


def densenet_40(draft: Draft) -> None:
    """Write DenseNet-40 for CIFAR, growth 12, 32, with dropout."""
    top, width, growth = draft.conv("conv1", draft.image(32), 16, 3, pad=1, bias=False), 16, 12
    for block in (1, 2, 3):
        for number in range(1, 13):
            name = f"conv{block}_{number}"
            new = draft.conv(name, preactivated(draft, name, top), growth, 3, pad=1, bias=False)
            new = draft.dropout(f"{name}/drop", new, 0.2)
            top, width = draft.concat(f"concat_{block}_{number}", top, new), width + growth
        if block < 3:
            name = f"transition{block}"
            top = draft.conv(name, draft.relu(f"{name}/relu", draft.norm(name, top)), width, 1, bias=False)
            top = draft.pool(f"pool{block}", draft.dropout(f"{name}/drop", top, 0.2), 2, 2, ave=True)
    top = draft.whole("pool3", draft.relu("last/relu", draft.norm("last", top)))
    draft.classify(draft.full("fc", top, 10), 10)

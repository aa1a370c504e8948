"""GoogLeNet, Inception-BN (v2) and Inception-v3: branches side by side, joined by Concat.

In:   a Draft.   Out: the net in it.
Source: Szegedy et al. 2014 (arXiv 1409.4842), table 1; Ioffe and Szegedy 2015 (arXiv 1502.03167), figure 5;
Szegedy et al. 2015 (arXiv 1512.00567), table 1 and figures 5 to 7, with the widths of its public models.
"""

from __future__ import annotations

from functools import partial

from bench.architectures.draft import Draft
from caffe import layers as L

# 1x1; reduced, 3x3; reduced, 5x5; after the pool
GOOGLENET = {"3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
             "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
             "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128),
             "5b": (384, 192, 384, 48, 128, 128)}
# 1x1; reduced, 3x3; reduced, twice 3x3; after the pool: 0 stands for none, and then stride 2
INCEPTION_BN = {"3a": (64, 64, 64, 64, 96, 32), "3b": (64, 64, 96, 64, 96, 64), "3c": (0, 128, 160, 64, 96, 0),
                "4a": (224, 64, 96, 96, 128, 128), "4b": (192, 96, 128, 96, 128, 128),
                "4c": (160, 128, 160, 128, 160, 128), "4d": (96, 128, 192, 160, 192, 128),
                "4e": (0, 128, 192, 192, 256, 0), "5a": (352, 192, 320, 160, 224, 128),
                "5b": (352, 192, 320, 192, 224, 128)}


def auxiliary(draft: Draft, name: str, bottom) -> None:
    """Add a classifier on the way, which only training has."""
    top = draft.conv_relu(f"{name}/conv", draft.pool(f"{name}/ave_pool", bottom, 5, 3, ave=True), 128, 1)
    top = draft.dropout(f"{name}/drop_fc", draft.relu(f"{name}/relu_fc", draft.full(f"{name}/fc", top, 1024)), 0.7)
    draft.classify(draft.full(f"{name}/classifier", top, 1000), 1000, 0.3, f"{name}/")


def googlenet(draft: Draft) -> None:
    """Write GoogLeNet with LRN, 224."""
    lrn = partial(L.LRN, local_size=5, alpha=1e-4, beta=0.75)
    top = draft.conv_relu("conv1/7x7_s2", draft.image(224), 64, 7, stride=2, pad=3)
    top = draft.add("pool1/norm1", lrn(draft.pool("pool1/3x3_s2", top, 3, 2)))
    top = draft.conv_relu("conv2/3x3_reduce", top, 64, 1)
    top = draft.add("conv2/norm2", lrn(draft.conv_relu("conv2/3x3", top, 192, 3, pad=1)))
    top = draft.pool("pool2/3x3_s2", top, 3, 2)
    for block, (one, three_in, three, five_in, five, pooled) in GOOGLENET.items():
        name = f"inception_{block}"
        top = draft.concat(
            f"{name}/output", draft.conv_relu(f"{name}/1x1", top, one, 1),
            draft.conv_relu(f"{name}/3x3", draft.conv_relu(f"{name}/3x3_reduce", top, three_in, 1), three, 3, pad=1),
            draft.conv_relu(f"{name}/5x5", draft.conv_relu(f"{name}/5x5_reduce", top, five_in, 1), five, 5, pad=2),
            draft.conv_relu(f"{name}/pool_proj", draft.pool(f"{name}/pool", top, 3, 1, 1), pooled, 1))
        if draft.train and block in ("4a", "4d"):
            auxiliary(draft, "loss1" if block == "4a" else "loss2", top)
        if block in ("3b", "4e"):
            top = draft.pool(f"pool{block[0]}/3x3_s2", top, 3, 2)
    top = draft.dropout("pool5/drop", draft.pool("pool5/7x7_s1", top, 7, ave=True), 0.4)
    draft.classify(draft.full("loss3/classifier", top, 1000), 1000, prefix="loss3/")


def inception_bn(draft: Draft) -> None:
    """Write Inception with BatchNorm, 224."""
    top = draft.pool("pool1", draft.unit("conv1", draft.image(224), 64, 7, stride=2, pad=3), 3, 2)
    top = draft.unit("conv2", draft.unit("conv2_reduce", top, 64, 1), 192, 3, pad=1)
    top = draft.pool("pool2", top, 3, 2)
    for block, (one, three_in, three, double_in, double, pooled) in INCEPTION_BN.items():
        name, stride = f"inception_{block}", 1 if one else 2
        branches = [draft.unit(f"{name}/1x1", top, one, 1)] if one else []
        branches.append(draft.unit(f"{name}/3x3", draft.unit(f"{name}/3x3_reduce", top, three_in, 1), three, 3,
                                   stride=stride, pad=1))
        twice = draft.unit(f"{name}/double_a", draft.unit(f"{name}/double_reduce", top, double_in, 1), double, 3, pad=1)
        branches.append(draft.unit(f"{name}/double_b", twice, double, 3, stride=stride, pad=1))
        if pooled:
            pool = draft.pool(f"{name}/pool", top, 3, 1, 1, ave=block != "5b")
            branches.append(draft.unit(f"{name}/pool_proj", pool, pooled, 1))
        else:
            branches.append(draft.pool(f"{name}/pool", top, 3, 2))
        top = draft.concat(f"{name}/output", *branches)
    draft.classify(draft.full("fc", draft.whole("pool", top), 1000), 1000)


# -- Inception-v3: a block is branches, a branch is a list of (channels, kernel height, width, stride)

def branch(draft: Draft, name: str, bottom, *convs: tuple):
    """Add convolutions one after another, padded to the same size where the stride is 1."""
    for number, (channels, height, width, stride) in enumerate(convs, 1):
        pad = (height // 2, width // 2) if stride == 1 else 0
        kernel = height if height == width else (height, width)
        bottom = draft.unit(f"{name}_{number}", bottom, channels, kernel, eps=1e-3, stride=stride,
                            pad=pad[0] if pad and height == width else pad)
    return bottom


def block_a(draft: Draft, name: str, top, pooled: int):
    """Add a block at 35x35."""
    return draft.concat(
        f"{name}/output", branch(draft, f"{name}/1x1", top, (64, 1, 1, 1)),
        branch(draft, f"{name}/5x5", top, (48, 1, 1, 1), (64, 5, 5, 1)),
        branch(draft, f"{name}/3x3", top, (64, 1, 1, 1), (96, 3, 3, 1), (96, 3, 3, 1)),
        branch(draft, f"{name}/pool_proj", draft.pool(f"{name}/pool", top, 3, 1, 1, ave=True), (pooled, 1, 1, 1)))


def block_b(draft: Draft, name: str, top, c: int):
    """Add a block at 17x17, with kernels of 1x7 and 7x1."""
    return draft.concat(
        f"{name}/output", branch(draft, f"{name}/1x1", top, (192, 1, 1, 1)),
        branch(draft, f"{name}/7x7", top, (c, 1, 1, 1), (c, 1, 7, 1), (192, 7, 1, 1)),
        branch(draft, f"{name}/7x7dbl", top, (c, 1, 1, 1), (c, 7, 1, 1), (c, 1, 7, 1), (c, 7, 1, 1), (192, 1, 7, 1)),
        branch(draft, f"{name}/pool_proj", draft.pool(f"{name}/pool", top, 3, 1, 1, ave=True), (192, 1, 1, 1)))


def block_c(draft: Draft, name: str, top):
    """Add a block at 8x8, whose branches fork."""
    three = branch(draft, f"{name}/3x3", top, (384, 1, 1, 1))
    double = branch(draft, f"{name}/double", top, (448, 1, 1, 1), (384, 3, 3, 1))
    forks = [branch(draft, f"{name}/{what}_{way}", of, (384, *kernel, 1))
             for what, of in (("3x3", three), ("dbl", double)) for way, kernel in (("a", (1, 3)), ("b", (3, 1)))]
    return draft.concat(
        f"{name}/output", branch(draft, f"{name}/1x1", top, (320, 1, 1, 1)), *forks,
        branch(draft, f"{name}/pool_proj", draft.pool(f"{name}/pool", top, 3, 1, 1, ave=True), (192, 1, 1, 1)))


def inception_v3(draft: Draft) -> None:
    """Write Inception-v3, 299, without its auxiliary head."""
    top = branch(draft, "conv1", draft.image(299), (32, 3, 3, 2))
    top = draft.unit("conv2", top, 32, 3, eps=1e-3)
    top = draft.pool("pool1", branch(draft, "conv3", top, (64, 3, 3, 1)), 3, 2)
    top = draft.unit("conv4", branch(draft, "conv4r", top, (80, 1, 1, 1)), 192, 3, eps=1e-3)
    top = draft.pool("pool2", top, 3, 2)
    for number, pooled in enumerate((32, 64, 64), 1):
        top = block_a(draft, f"a{number}", top, pooled)
    top = draft.concat("reduction_a/output", branch(draft, "reduction_a/3x3", top, (384, 3, 3, 2)),
                       branch(draft, "reduction_a/double", top, (64, 1, 1, 1), (96, 3, 3, 1), (96, 3, 3, 2)),
                       draft.pool("reduction_a/pool", top, 3, 2))
    for number, c in enumerate((128, 160, 160, 192), 1):
        top = block_b(draft, f"b{number}", top, c)
    top = draft.concat("reduction_b/output", branch(draft, "reduction_b/3x3", top, (192, 1, 1, 1), (320, 3, 3, 2)),
                       branch(draft, "reduction_b/7x7", top, (192, 1, 1, 1), (192, 1, 7, 1), (192, 7, 1, 1),
                              (192, 3, 3, 2)),
                       draft.pool("reduction_b/pool", top, 3, 2))
    top = block_c(draft, "c2", block_c(draft, "c1", top))
    top = draft.dropout("drop", draft.pool("pool3", top, 8, ave=True))
    draft.classify(draft.full("fc", top, 1000), 1000)

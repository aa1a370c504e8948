"""Blocks as published nets have them: plain, residual, dense, squeezed, side by side, split, and the end of an FCN.

In:   a Grower, the blob to go on from.
Out:  the blob the block ends in; Misfit, with part of the block in the net, where it cannot follow.
Not here: single layers of every type (generate).
"""

from __future__ import annotations

from . import draw
from .grower import Grower
from .shapes import need

IN_PLACE = 0.75


def convolution(net: Grower, bottom: str, out: int | None = None, like: bool = False, own: dict | None = None) -> str:
    """Add a Convolution, now and then with a weight shared by name; `like`: of the bottom's size."""
    shape = net.image(bottom)
    own = own or (draw.same_size_convolution if like else draw.convolution)(net.rng, shape, out)
    params: dict = {}
    if net.often(0.15):  # whose shapes are equal
        words = [own.get(word) for word in ("num_output", "kernel_size", "kernel_h", "kernel_w", "group")]
        params["param"] = [{"name": f'"w{shape[1]}_{"_".join(map(str, words))}"'}]
    return net.add("Convolution", [bottom], own, params=params)


def finish(net: Grower, x: str, relu: bool = True) -> str:
    """Add what follows a convolution: BatchNorm, Scale, ReLU, or some other layer."""
    in_place = net.often(IN_PLACE)
    for kind, share in (("BatchNorm", 0.5), ("Scale", 0.5), ("ReLU", 0.8 if relu else 0)):
        if net.often(share):
            own = {"bias_term": True} if kind == "Scale" else {}
            own = draw.own(net.rng, kind, net.shapes[x]) if kind == "BatchNorm" else own
            x = net.add(kind, [x], own, in_place != net.often(0.1))
    return pointwise(net, x) if net.often(0.15) else x


def pointwise(net: Grower, x: str) -> str:
    """Add a layer whose top is as large as its bottom."""
    kind = net.rng.choice([kind for kind in draw.POINTWISE if net.may(kind)])
    return net.add(kind, [x], draw.own(net.rng, kind, net.shapes[x]), net.often(IN_PLACE) and kind in draw.IN_PLACE)


def plain(net: Grower, x: str) -> str:
    """A convolution and what follows it."""
    return finish(net, convolution(net, x))


def residual(net: Grower, x: str) -> str:
    """Two convolutions and a way around."""
    channels = net.image(x)[1]
    y = finish(net, convolution(net, x, like=True))
    y = finish(net, convolution(net, y, channels, like=True), relu=False)
    if net.often(0.3):
        x = finish(net, convolution(net, x, own={"num_output": channels, "kernel_size": 1}), relu=False)
    y = net.add("Eltwise", net.shuffled([x, y]), draw.own(net.rng, "Eltwise", net.shapes[y]))
    return net.add("ReLU", [y], {}, net.often(0.8))


def dense(net: Grower, x: str) -> str:
    """BatchNorm, Scale and ReLU first, then a convolution, joined to what it began with."""
    for _ in range(net.rng.randint(1, 3)):
        y = net.add("BatchNorm", [x], draw.own(net.rng, "BatchNorm", net.image(x)))
        y = net.add("Scale", [y], {"bias_term": True}, net.often(0.8))
        y = net.add("ReLU", [y], {}, net.often(0.8))
        x = net.add("Concat", [x, convolution(net, y, like=True)])
    return x


def squeeze(net: Grower, x: str) -> str:
    """A Scale by what a global pooling found."""
    channels, flat = net.image(x)[1], net.often(0.5)
    y = net.add("Pooling", [x], {"pool": net.rng.choice(["AVE", "MAX"]), "global_pooling": True})
    for out, kind in ((max(1, channels // 2), "ReLU"), (channels, "Sigmoid")):
        if flat:
            y = net.add("InnerProduct", [y], {"num_output": out})
        else:
            y = net.add("Convolution", [y], {"num_output": out, "kernel_size": 1})
        y = net.add(kind, [y], {}, net.often(0.7))
    if not flat:
        y = net.add("Flatten", [y]) if net.often(0.5) else net.add("Reshape", [y], {"shape": {"dim": [0, -1]}})
    return net.add("Scale", [x, y], {"axis": 0, **({"bias_term": True} if net.often(0.3) else {})}, net.often(0.5))


def inception(net: Grower, x: str) -> str:
    """Several ways side by side, joined."""
    ways = [x] if net.often(0.3) else []
    for _ in range(net.rng.randint(2, 3)):
        way = x
        if net.often(0.4):
            way = net.add("Pooling", [x], {"pool": net.rng.choice(["AVE", "MAX"]), "kernel_size": 3, "pad": 1,
                                           "stride": 1})
        ways.append(finish(net, convolution(net, way, like=True)))
    return net.add("Concat", net.shuffled(ways))


def split(net: Grower, x: str) -> str:
    """A Split that stands in the file, its tops changed in place or not, and joined."""
    net.add("Split", [x], tops=net.rng.randint(2, 3))
    ends = [pointwise(net, top) if net.often(0.5) else top for top in net.layers[-1].tops]
    kind = net.rng.choice(["Eltwise", "Concat"])
    return net.add(kind, net.shuffled(ends), draw.own(net.rng, kind, net.shapes[ends[0]]))


def fcn(net: Grower, x: str) -> str:
    """A wide pad, scores, and a Deconvolution cropped to the size at the start."""
    y = convolution(net, x, own={"num_output": net.rng.randint(1, 6), "kernel_size": 3,
                                 "pad": net.rng.choice([1, 5, 12, 20])})
    y = net.add("ReLU", [finish(net, y)], {}, True)
    y = net.add("Pooling", [y], {"pool": "MAX", "kernel_size": 2, "stride": 2})
    y = finish(net, convolution(net, y, own={"num_output": net.rng.randint(1, 6),
                                             "kernel_size": net.rng.choice([1, 3, 4])}))
    if net.often(0.5):
        y = net.add("Dropout", [y], {}, True)
    if net.often(0.3):  # a skip, cropped to the coarser scores
        skip = net.add("Crop", [convolution(net, x, net.shapes[y][1], like=True), y], {"axis": 2, "offset": [0]})
        y = net.add("Eltwise", [y, skip])
    y = net.add("Deconvolution", [y], draw.upsampling(net.rng, net.shapes[y]))
    need(all(a >= b for a, b in zip(net.shapes[y][2:], net.shapes[x][2:])))
    offset = [net.rng.randint(0, a - b) for a, b in zip(net.shapes[y][2:], net.shapes[x][2:])]
    return net.add("Crop", [y, x], {"axis": 2, "offset": offset})


BLOCKS = (*[plain] * 5, residual, dense, squeeze, inception, split, fcn)

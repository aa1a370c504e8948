"""Random nets: blocks, single layers of every type, losses.

In:   a generator of random numbers.
Out:  layers that Caffe takes, of small blobs.
Not here: parameters of one layer (draw), what only training nets have (training), what is done with the net
    (generate_steps).
"""

from __future__ import annotations

import random
from math import prod

from . import draw
from .blocks import BLOCKS, IN_PLACE, plain
from .grower import Grower
from .shapes import Misfit, need
from .spec import Layer

WIDE = 0.03  # how many nets are of many channels and larger planes
MOST_SUMMED = 4000  # of a loss: genuine Caffe adds up one by one in float32
SINGLE = 0.55  # how often a single layer comes where a block could


def grow(rng: random.Random, train: bool = False, genuine: bool = False) -> tuple[Layer, ...]:
    """Grow a net and return its layers; see Grower."""
    net = Grower(rng, train, genuine)
    wide = net.often(WIDE)
    net.input(draw.image(rng, wide))
    if net.often(0.2):
        net.input(net.shapes["data"] if net.often(0.5) else draw.image(rng, False))
    for _ in range(rng.randint(1, 2) if wide else rng.randint(1, 8)):
        _try(single if net.often(SINGLE) else rng.choice(BLOCKS), net, net.any_blob())
    if not any(layer.type == "Convolution" for layer in net.layers) and net.often(0.7):
        _try(plain, net, net.any_blob())  # without one there is no plan
    if not train and net.often(0.04):
        _try(embed, net)
    if train or net.often(0.15):
        _try(loss, net)
    if train and not any(layer.type.endswith("Loss") for layer in net.layers):
        net.add("SoftmaxWithLoss", ["data", net.labels_for("data")])
    if not any(layer.bottoms for layer in net.layers):
        net.add("ReLU", ["data"])
    return _without_unread_inputs(tuple(net.layers))


def _try(block, *arguments) -> None:
    """Add a block, or as much of it as fits; what it leaves unfinished stays as outputs."""
    try:
        block(*arguments)
    except Misfit:
        pass


def _without_unread_inputs(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers without inputs that nobody reads, save the first."""
    read = {name for layer in layers for name in layer.bottoms}
    return tuple(layer for i, layer in enumerate(layers) if not i or layer.bottoms or layer.tops[0] in read)


# -- single layers -----------------------------------------------------------------------------


def single(net: Grower, x: str) -> str:
    """Add one layer of any type."""
    kind = net.rng.choice([kind for kind in draw.KINDS if net.may(kind)])
    if kind in _SPECIAL:
        return _SPECIAL[kind](net, x)
    own = draw.own(net.rng, kind, net.shapes[x])
    tops = net.rng.randint(1, 3) if kind in ("Slice", "Split") else 1
    return net.add(kind, [x], own, net.often(IN_PLACE) and kind in draw.IN_PLACE, tops)


def _pooling(net: Grower, x: str) -> str:
    """Pooling, now and then with the places of the maxima as a second top."""
    own = draw.own(net.rng, "Pooling", net.shapes[x])
    both = own["pool"] == "MAX" and not net.train and net.often(0.1)
    top = net.add("Pooling", [x], own, tops=2 if both else 1)
    net.closed |= set(net.layers[-1].tops[1:])
    return top


def _convolution(net: Grower, x: str) -> str:
    """A Convolution, now and then of two bottoms at once."""
    others = net.alike(x) if net.often(0.15) else []
    bottoms = [x, net.rng.choice(others)] if others else [x]
    kind = net.rng.choice(["Convolution", "Deconvolution"])
    return net.add(kind, bottoms, draw.own(net.rng, kind, net.shapes[x]), tops=len(bottoms))


def _eltwise(net: Grower, x: str) -> str:
    others = net.alike(x)
    need(bool(others))
    bottoms = [x, *net.rng.sample(others, min(len(others), net.rng.randint(1, 2)))]
    in_place = not net.genuine and net.often(0.4)  # D19
    return net.add("Eltwise", bottoms, draw.own(net.rng, "Eltwise", net.shapes[x]), in_place)


def _concat(net: Grower, x: str) -> str:
    """Concat along some axis, of blobs that may differ there; sometimes of one."""
    own, shape = draw.own(net.rng, "Concat", net.shapes[x]), net.shapes[x]
    need(len(shape) > 0)
    axis = own.get("axis", 1) % len(shape)
    others = [name for name, other in net.open().items() if len(other) == len(shape)
              and all(a == b for i, (a, b) in enumerate(zip(other, shape)) if i != axis)]
    return net.add("Concat", [x, *net.rng.sample(others, min(len(others), net.rng.randint(0, 2)))], own)


def _crop(net: Grower, x: str) -> str:
    shape = net.shapes[x]
    axis = net.rng.choice([2, 2, 2, 1, 3])
    others = [name for name, other in net.open().items() if len(other) == len(shape) and name != x
              and all(a <= b for a, b in zip(other[axis:], shape[axis:]))]
    need(bool(others) and axis < len(shape))
    like = net.rng.choice(others)
    offset = [net.rng.randint(0, a - b) for a, b in zip(shape[axis:], net.shapes[like][axis:])]
    return net.add("Crop", [x, like], {"axis": axis, "offset": offset})


def _by_another(net: Grower, x: str) -> str:
    """Scale or Bias by another blob."""
    shape = net.shapes[x]
    need(len(shape) > 0)
    axis = net.rng.randrange(len(shape))
    others = [name for name, other in net.open().items() if other and shape[axis:axis + len(other)] == other
              and name != x]
    need(bool(others))
    return net.add(net.rng.choice(["Scale", "Bias"]), [x, net.rng.choice(others)], {"axis": axis}, net.often(0.5))


def _constant(net: Grower, x: str) -> str:
    """Eltwise with a blob that is the same at every pass."""
    return net.add("Eltwise", net.shuffled([x, net.constant(net.shapes[x])]))


_SPECIAL = {"Pooling": _pooling, "Convolution": _convolution, "Eltwise": _eltwise, "Concat": _concat, "Crop": _crop,
            "ScaleBy": _by_another, "DummyData": _constant}


# -- with labels -------------------------------------------------------------------------------


def loss(net: Grower) -> None:
    """Add a loss or Accuracy on some blob, with an input for its labels."""
    x = net.any_blob()
    shape = net.shapes[x]
    kind = net.rng.choice([kind for kind in draw.LOSSES if net.may(kind)])
    need(len(shape) >= 2 and prod(shape) <= MOST_SUMMED)
    if kind in ("HingeLoss", "MultinomialLogisticLoss"):  # one label an item
        need(prod(shape[2:]) == 1)
    if kind == "EuclideanLoss":
        others = net.alike(x)
        need(bool(others))
        labels = net.rng.choice(others)
    else:
        x = net.add("Softmax", [x]) if kind == "MultinomialLogisticLoss" else x
        labels = net.labels_for(x, 2, True) if kind == "SigmoidCrossEntropyLoss" else net.labels_for(x)
    net.add(kind, [x, labels], draw.own(net.rng, kind, shape), params=draw.loss_params(net.rng, kind))


def embed(net: Grower) -> str:
    """Add an input of numbers, and an Embed layer that looks them up."""
    count = net.rng.randint(2, 6)
    shape = (net.rng.randint(1, 3), *([net.rng.randint(1, 4)] if net.often(0.6) else []))
    name = net.input(shape, (count, "", False))
    return net.add("Embed", [name], {"input_dim": count, "num_output": net.rng.randint(1, 5),
                                     **({"bias_term": False} if net.often(0.3) else {})})

"""Random nets: blocks as published nets have them, and single layers of every type, in place and not.

In:   a generator of random numbers, a phase.
Out:  layers that Caffe takes, of small blobs.
Not here: parameters of one layer (draw), shapes (shapes), what is done with the net (generate_steps).
"""

from __future__ import annotations

import random
from dataclasses import replace
from math import prod

from . import draw
from .shapes import Misfit, infer, input_shape, need
from .spec import Layer, Shape

SHARE = {"in place": 0.75, "last": 0.6, "wide": 0.03}


class Grower:
    """A net that grows layer by layer. `add` leaves a layer out that cannot follow.

    Args:
        rng: all choices come from it.
        train: whether the net is to train: with losses, without layers that have no gradient.
        genuine: whether genuine Caffe must be able to run it.
    """

    def __init__(self, rng: random.Random, train: bool = False, genuine: bool = False) -> None:
        self.rng, self.train, self.genuine = rng, train, genuine
        self.layers: list[Layer] = []
        self.shapes: dict[str, Shape] = {}
        self.unused: list[str] = []  # blobs that no layer has read since they were written
        self.closed: set[str] = set()  # labels, and places of maxima: Caffe's Pooling reads them in its backward

    # -- one layer -----------------------------------------------------------------------------

    def often(self, share: float) -> bool:
        """Whether this time; `share` of the times."""
        return self.rng.random() < share

    def input(self, shape: Shape, label: tuple[int, str, bool] | None = None) -> str:
        """Add an Input layer; return its top."""
        name = f"{'label' if label else 'data'}{len(self.layers) or ''}"
        layer = Layer(name, "Input", (), (name,), {"input_param": {"shape": {"dim": list(shape)}}}, label)
        self.layers.append(layer)
        self.shapes[name] = shape
        self.unused.append(name)
        self.closed |= {name} if label else set()
        return name

    def add(self, kind: str, bottoms: list[str], own: dict | None = None, in_place: bool = False, tops: int = 1,
            params: dict | None = None) -> str:
        """Add a layer; return its first top.

        Raises:
            Misfit: it cannot follow these bottoms.
        """
        name = f"{kind.lower()}{len(self.layers)}"
        if in_place and bottoms[0] not in self.unused:
            in_place = False
        names = [bottoms[0]] if in_place else [name] if tops == 1 else [f"{name}_{i}" for i in range(tops)]
        layer = Layer(name, kind, tuple(bottoms), tuple(names), dict(params or {}))
        if kind == "BatchNorm" and self.train:  # genuine Caffe as it is built here computes none
            own = {**(own or {}), "use_global_stats": True}
        if own and "coeff" in own:
            own = {**own, "coeff": [self.rng.choice([1, -1, 0.5, 2, 0]) for _ in bottoms]}
        if own:
            layer = layer.with_own(**own)
        shapes, _ = infer(layer, [self.shapes[bottom] for bottom in bottoms])
        layer = replace(layer, tops=tuple(names[:len(shapes)]))
        need(all(prod(shape) <= 60_000 and min(shape, default=1) > 0 for shape in shapes))
        self.layers.append(layer)
        self.unused = [blob for blob in self.unused if blob not in bottoms] + list(layer.tops)
        self.shapes.update(zip(names, shapes))
        return names[0]

    def any_blob(self) -> str:
        """Return a blob, most often the last that was made."""
        blobs = [name for name in self.shapes if name not in self.closed]
        if self.often(SHARE["last"]) and self.layers[-1].tops:
            last = self.layers[-1].tops[-1]
            return last if last in blobs else self.rng.choice(blobs)
        return self.rng.choice([name for name in self.unused if name in blobs] or blobs if self.often(0.5) else blobs)

    def may(self, kind: str) -> bool:
        """Whether this net may have a layer of this type."""
        return not (self.genuine and kind in draw.LACKING) and not (self.train and kind in draw.WITHOUT_GRADIENT)

    def image(self, name: str) -> Shape:
        """Return the shape of a blob of four axes."""
        need(len(self.shapes[name]) == 4)
        return self.shapes[name]

    def alike(self, name: str) -> list[str]:
        """Return the blobs of this one's shape."""
        return [other for other, shape in self.shapes.items() if shape == self.shapes[name] and other != name
                and other not in self.closed]

    # -- blocks --------------------------------------------------------------------------------

    def convolution(self, bottom: str, out: int | None = None, like: bool = False, own: dict | None = None) -> str:
        """Add a Convolution, now and then with a parameter shared by name; `like`: of the bottom's size."""
        shape = self.image(bottom)
        own = own or (draw.same_size_convolution if like else draw.convolution)(self.rng, shape, out)
        params: dict = {}
        if self.often(0.1):
            shared = "_".join(str(word) for word in [out, *own.values()] if not isinstance(word, dict))
            params["param"] = [{"name": f'"w{shape[1:2]}{shared}"'}]
        return self.add("Convolution", [bottom], own, params=params)

    def finish(self, x: str, relu: bool = True) -> str:
        """Add what follows a convolution: BatchNorm, Scale, ReLU."""
        in_place = self.often(SHARE["in place"])
        for kind, share in (("BatchNorm", 0.5), ("Scale", 0.5), ("ReLU", 0.8 if relu else 0)):
            if self.often(share):
                own = {"bias_term": True} if kind == "Scale" else {}
                own = draw.own(self.rng, kind, self.shapes[x]) if kind == "BatchNorm" else own
                x = self.add(kind, [x], own, in_place != self.often(0.1))
        if self.often(0.15):
            x = self.add(*self._pointwise(x))
        return x

    def _pointwise(self, x: str) -> tuple:
        kind = self.rng.choice([kind for kind in draw.POINTWISE if self.may(kind)])
        own = draw.own(self.rng, kind, self.shapes[x])
        return kind, [x], own, self.often(SHARE["in place"]) and kind in draw.IN_PLACE

    def plain(self, x: str) -> str:
        """A convolution and what follows it."""
        return self.finish(self.convolution(x))

    def residual(self, x: str) -> str:
        """Two convolutions and a way around."""
        channels = self.image(x)[1]
        y = self.finish(self.convolution(x, like=True))
        y = self.finish(self.convolution(y, channels, like=True), relu=False)
        way = x if self.often(0.7) else self.finish(self.convolution(
            x, channels, own={"num_output": channels, "kernel_size": 1}), relu=False)
        y = self.add("Eltwise", self._shuffled([way, y]), draw.own(self.rng, "Eltwise", self.shapes[y]))
        return self.add("ReLU", [y], {}, self.often(0.8))

    def dense(self, x: str) -> str:
        """BatchNorm, Scale and ReLU first, then a convolution, joined to what it began with."""
        for _ in range(self.rng.randint(1, 3)):
            y = self.add("BatchNorm", [x])
            y = self.add("Scale", [y], {"bias_term": True}, self.often(0.8))
            y = self.add("ReLU", [y], {}, self.often(0.8))
            x = self.add("Concat", [x, self.convolution(y, like=True)])
        return x

    def squeeze(self, x: str) -> str:
        """A Scale by what a global pooling found."""
        channels = self.image(x)[1]
        y = self.add("Pooling", [x], {"pool": self.rng.choice(["AVE", "MAX"]), "global_pooling": True})
        flat = self.often(0.5)
        own = {"num_output": max(1, channels // 2)}
        for last in (False, True):
            own = {"num_output": channels if last else own["num_output"]}
            y = self.add(*("InnerProduct", [y], own) if flat else ("Convolution", [y], {**own, "kernel_size": 1}))
            y = self.add("Sigmoid" if last else "ReLU", [y], {}, self.often(0.7))
        if not flat:
            y = self.add(*("Flatten", [y]) if self.often(0.5) else ("Reshape", [y], {"shape": {"dim": [0, -1]}}))
        return self.add("Scale", [x, y], {"axis": 0, **({"bias_term": True} if self.often(0.3) else {})},
                        self.often(0.5))

    def inception(self, x: str) -> str:
        """Several ways side by side, joined."""
        ways = []
        for _ in range(self.rng.randint(2, 3)):
            way = x
            if self.often(0.4):
                way = self.add("Pooling", [x], {"pool": self.rng.choice(["AVE", "MAX"]), "kernel_size": 3, "pad": 1,
                                                "stride": 1})
            ways.append(self.finish(self.convolution(way, like=True)))
        if self.often(0.3):
            ways.append(x)
        return self.add("Concat", self._shuffled(ways))

    def split(self, x: str) -> str:
        """A Split that stands in the file, its tops changed in place or not, and joined."""
        self.add("Split", [x], tops=self.rng.randint(2, 3))
        tops = list(self.layers[-1].tops)
        ends = [self.add(*self._pointwise(top)) if self.often(0.5) else top for top in tops]
        kind = self.rng.choice(["Eltwise", "Concat"])
        return self.add(kind, self._shuffled(ends), draw.own(self.rng, kind, self.shapes[ends[0]]))

    def fcn(self, x: str) -> str:
        """A wide pad, scores, and a Deconvolution cropped to the size at the start."""
        y = self.convolution(x, own={"num_output": self.rng.randint(1, 6), "kernel_size": 3,
                                     "pad": self.rng.choice([1, 5, 12, 20])})
        y = self.add("ReLU", [self.finish(y)], {}, True)
        y = self.add("Pooling", [y], {"pool": "MAX", "kernel_size": 2, "stride": 2})
        y = self.finish(self.convolution(y, own={"num_output": self.rng.randint(1, 6),
                                                 "kernel_size": self.rng.choice([1, 3, 4])}))
        if self.often(0.5):
            y = self.add("Dropout", [y], {}, True)
        y = self.add("Deconvolution", [y], draw.upsampling(self.rng, self.shapes[y], self.train))
        offset = [self.rng.randint(0, max(0, a - b)) for a, b in zip(self.shapes[y][2:], self.shapes[x][2:])]
        return self.add("Crop", [y, x], {"axis": 2, "offset": offset})

    def single(self, x: str) -> str:
        """One layer of any type."""
        kind = self.rng.choice([kind for kind in draw.KINDS if self.may(kind)])
        bottoms = [x]
        if kind in ("Eltwise", "Concat"):
            others = self.alike(x)
            need(bool(others))
            bottoms += self.rng.sample(others, min(len(others), self.rng.randint(1, 2)))
        elif kind in ("Crop", "ScaleBy", "BiasBy"):
            return self._by_another(kind, x)
        own, tops = draw.own(self.rng, kind, self.shapes[x]), 1
        if kind in ("Slice", "Split"):
            tops = self.rng.randint(1, 3)
            own.pop("tops", None)
        if kind == "Pooling" and own.get("pool") == "MAX" and not self.train and self.often(0.1):
            tops = 2
        in_place = kind in draw.IN_PLACE and self.often(SHARE["in place"])
        if kind == "Eltwise" and self.often(0.5) and not self.genuine:
            in_place = True
        top = self.add(kind, bottoms, own, in_place, tops)
        self.closed |= set(self.layers[-1].tops[1:]) if kind == "Pooling" else set()
        return top

    def _by_another(self, kind: str, x: str) -> str:
        shape, others = self.shapes[x], []
        if kind == "Crop":
            others = [name for name, other in self.shapes.items() if len(other) == len(shape) and name != x
                      and name not in self.closed]
            need(bool(others))
            like = self.rng.choice(others)
            axis = self.rng.choice([2, 2, 2, 1, 3])
            offset = [self.rng.randint(0, max(0, a - b)) for a, b in zip(shape[axis:], self.shapes[like][axis:])]
            return self.add("Crop", [x, like], {"axis": axis, "offset": offset})
        need(len(shape) > 0)
        axis = self.rng.randrange(len(shape))
        others = [name for name, other in self.shapes.items() if other and shape[axis:axis + len(other)] == other
                  and name != x and name not in self.closed]
        need(bool(others))
        return self.add(kind[:-2], [x, self.rng.choice(others)], {"axis": axis}, self.often(0.5))

    def _shuffled(self, names: list[str]) -> list[str]:
        self.rng.shuffle(names)
        return names

    # -- losses --------------------------------------------------------------------------------

    def loss(self) -> None:
        """Add a loss or Accuracy on some blob, with an input for its labels."""
        x = self.any_blob()
        shape = self.shapes[x]
        kind = self.rng.choice([kind for kind in draw.LOSSES if self.may(kind)])
        need(len(shape) >= 2 and prod(shape) <= 4000)  # genuine Caffe adds up one by one in float32
        if kind in ("EuclideanLoss", "SigmoidCrossEntropyLoss"):
            others = self.alike(x)
            whole = kind == "SigmoidCrossEntropyLoss"
            need(whole or bool(others))
            y = self.labels_for(x, 2, True) if whole else self.rng.choice(others)
        else:
            if kind == "MultinomialLogisticLoss":
                need(prod(shape[2:]) == 1)
                x = self.add("Softmax", [x])
            if kind == "HingeLoss":
                need(prod(shape[2:]) == 1)
            y = self.labels_for(x)
        self.add(kind, [x, y], draw.own(self.rng, kind, shape))

    def labels_for(self, x: str, classes: int = 0, whole: bool = False) -> str:
        """Add an input of labels for scores."""
        label = classes or self.shapes[x][1], x, whole
        return self.input(input_shape(Layer("", "Input", label=label), self.shapes), label)

    def embed(self) -> str:
        """Add an input of numbers, and an Embed layer that looks them up."""
        count = self.rng.randint(2, 6)
        shape = (self.rng.randint(1, 3), *([self.rng.randint(1, 4)] if self.often(0.6) else []))
        name = self.input(shape, (count, "", False))
        return self.add("Embed", [name], {"input_dim": count, "num_output": self.rng.randint(1, 5),
                                          **({"bias_term": False} if self.often(0.3) else {})})

    # -- the whole -----------------------------------------------------------------------------

    def grow(self) -> tuple[Layer, ...]:
        """Grow a net and return its layers."""
        rng = self.rng
        wide = self.often(SHARE["wide"])
        self.input(draw.image(rng, wide))
        if self.often(0.2):
            self.input(self.shapes["data"] if self.often(0.5) else draw.image(rng, False))
        blocks = [self.plain] * 5 + [self.single] * 14 + [self.residual, self.dense, self.squeeze, self.inception,
                                                         self.split, self.fcn]
        for _ in range(rng.randint(1, 2) if wide else rng.randint(1, 6)):
            self._try(lambda: rng.choice(blocks)(self.any_blob()))
        if not self.train and self.often(0.04):
            self._try(self.embed)
        if self.train or self.often(0.15):
            self._try(self.loss)
        if self.train and not any(layer.type.endswith("Loss") for layer in self.layers):
            self.add("SoftmaxWithLoss", ["data", self.labels_for("data")])
        if not any(layer.bottoms for layer in self.layers):
            self.add("ReLU", ["data"])
        return tuple(self.layers)

    def _try(self, block) -> None:
        """Add a block, or as much of it as fits; what it left unfinished stays as outputs."""
        try:
            block()
        except Misfit:
            pass


def without_unused_inputs(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers without inputs that nobody reads, save the first."""
    read = {name for layer in layers for name in layer.bottoms}
    kept = [layer for i, layer in enumerate(layers) if not i or layer.type != "Input" or layer.tops[0] in read]
    return tuple(replace(layer) for layer in kept)

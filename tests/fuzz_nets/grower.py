"""A net that grows layer by layer.

In:   a generator of random numbers; a layer's type, bottoms and own parameters.
Out:  Grower: the layers so far, the shapes of their blobs; Misfit for a layer that cannot follow.
Not here: which layers (blocks, generate), their random parameters (draw).
"""

from __future__ import annotations

import random
from dataclasses import replace
from math import prod

from . import draw
from .shapes import MOST, infer, input_shape, need
from .spec import Layer, Shape

LAST = 0.6  # how often the last blob is gone on from


class Grower:
    """A net under way.

    Args:
        rng: all choices come from it.
        train: whether the net is to train: without layers that have no gradient.
        genuine: whether genuine Caffe must be able to run it.
    """

    def __init__(self, rng: random.Random, train: bool = False, genuine: bool = False) -> None:
        self.rng, self.train, self.genuine = rng, train, genuine
        self.layers: list[Layer] = []
        self.shapes: dict[str, Shape] = {}
        self.unused: list[str] = []  # blobs that no layer has read since they were written
        self.closed: set[str] = set()  # labels, and places of maxima: Caffe's Pooling reads them in its backward

    # -- growing -------------------------------------------------------------------------------

    def input(self, shape: Shape, label: tuple[int, str, bool] | None = None) -> str:
        """Add an Input layer; return its top."""
        name = f"{'label' if label else 'data'}{len(self.layers) or ''}"
        self.closed |= {name} if label else set()
        return self._append(Layer(name, "Input", (), (name,), {"input_param": _dims(shape)}, label), [shape])

    def labels_for(self, x: str, classes: int = 0, whole: bool = False) -> str:
        """Add an input of labels for scores; return its top."""
        label = classes or self.shapes[x][1], x, whole
        return self.input(input_shape(Layer("", "Input", label=label), self.shapes), label)

    def constant(self, shape: Shape) -> str:
        """Add a layer that makes the same values at every pass; return its top."""
        own = {**_dims(shape), "data_filler": {"value": self.rng.choice([1, -0.5])}}
        name = f"dummydata{len(self.layers)}"
        return self._append(Layer(name, "DummyData", (), (name,), {"dummy_data_param": own}), [shape])

    def add(self, kind: str, bottoms: list[str], own: dict | None = None, in_place: bool = False, tops: int = 1,
            params: dict | None = None) -> str:
        """Add a layer, in place if it may be; return its first top.

        Raises:
            Misfit: it cannot follow these bottoms.
        """
        name = f"{kind.lower()}{len(self.layers)}"
        in_place = in_place and bottoms[0] in self.unused
        names = [bottoms[0]] if in_place else [name] if tops == 1 else [f"{name}_{i}" for i in range(tops)]
        layer = Layer(name, kind, tuple(bottoms), tuple(names), dict(params or {}))
        layer = layer.with_own(**self._completed(kind, own or {}, len(bottoms)))
        shapes, _ = infer(layer, [self.shapes[bottom] for bottom in bottoms])
        need(all(prod(shape) <= MOST and min(shape, default=1) > 0 for shape in shapes))
        return self._append(replace(layer, tops=tuple(names[:len(shapes)])), shapes)

    def _completed(self, kind: str, own: dict, count: int) -> dict:
        if kind == "BatchNorm" and self.train:  # genuine Caffe as it is built here computes no statistics
            return {**own, "use_global_stats": True}
        if "coeff" in own:  # one for each bottom
            return {**own, "coeff": [self.rng.choice([1, -1, 0.5, 2, 0]) for _ in range(count)]}
        return own

    def _append(self, layer: Layer, shapes: list[Shape]) -> str:
        self.layers.append(layer)
        self.unused = [blob for blob in self.unused if blob not in layer.bottoms] + list(layer.tops)
        self.shapes.update(zip(layer.tops, shapes))
        return layer.tops[0] if layer.tops else layer.bottoms[0]

    # -- choosing ------------------------------------------------------------------------------

    def often(self, share: float) -> bool:
        """Whether this time; `share` of the times."""
        return self.rng.random() < share

    def may(self, kind: str) -> bool:
        """Whether this net may have a layer of this type."""
        return not (self.genuine and kind in draw.LACKING) and not (self.train and kind in draw.WITHOUT_GRADIENT)

    def image(self, name: str) -> Shape:
        """Return the shape of a blob of four axes."""
        need(len(self.shapes[name]) == 4)
        return self.shapes[name]

    def open(self) -> dict[str, Shape]:
        """Return the blobs that layers may read, and their shapes."""
        return {name: shape for name, shape in self.shapes.items() if name not in self.closed}

    def alike(self, name: str) -> list[str]:
        """Return the other blobs of this one's shape."""
        return [other for other, shape in self.open().items() if shape == self.shapes[name] and other != name]

    def any_blob(self) -> str:
        """Return a blob, most often the last that was made."""
        blobs = list(self.open())
        last = [top for top in self.layers[-1].tops if top not in self.closed]
        if last and self.often(LAST):
            return self.rng.choice(last)
        return self.rng.choice([name for name in self.unused if name in blobs] or blobs if self.often(0.5) else blobs)

    def shuffled(self, names: list[str]) -> list[str]:
        """Return names in another order."""
        return self.rng.sample(names, len(names))


def _dims(shape: Shape) -> dict:
    return {"shape": {"dim": list(shape)}}

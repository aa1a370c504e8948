"""Random scenarios: what scripts do with a net, from pass to pass.

In:   a generator of random numbers; layers.
Out:  steps, as scenario runs them.   make_case: the case of a seed.
Not here: the net (generate), running (scenario).
"""

from __future__ import annotations

import random
from math import prod

from .draw import WITHOUT_GRADIENT
from .generate import grow
from .shapes import Misfit, shapes_of
from .spec import Case, Layer, Shape, split_names
from .training import settings, with_fillers, with_rates

TRAIN, TEST = 0, 1
GENUINE = 0.85  # of TEST nets that genuine Caffe must be able to run
BACKWARD = 0.12  # of TEST nets that run backward, too
FILLERS = 0.3  # of TRAIN nets whose weights are drawn by fillers
SOLVER = 0.3  # of TRAIN nets that a solver trains


def make_case(seed: int, phase: int = TEST) -> Case:
    """Return the case of a seed."""
    rng = random.Random(f"{seed} {phase}")
    if phase == TRAIN:
        layers, fillers = with_rates(rng, grow(rng, train=True, genuine=True)), rng.random() < FILLERS
        layers = with_fillers(rng, layers) if fillers else layers
        return Case(seed, phase, layers, tuple(Steps(rng, layers, 0.5, SOLVER).make()), rng.random() < 0.5, fillers)
    layers = grow(rng, genuine=rng.random() < GENUINE)
    backward = rng.random() < BACKWARD and not any(
        layer.type in (*WITHOUT_GRADIENT, "Embed") for layer in layers)
    return Case(seed, phase, layers, tuple(Steps(rng, layers, 0.1 if backward else 0).make()), backward)


class Steps:
    """Makes the steps of one case.

    Args:
        rng: all choices come from it.
        layers: the net's.
        backward: how often it runs backward after a pass; if at all, it does so at the end.
        solver: how often a solver trains the net in the end.
    """

    def __init__(self, rng: random.Random, layers: tuple[Layer, ...], backward: float, solver: float = 0) -> None:
        self.rng, self.layers, self.backward, self.solver = rng, layers, backward, solver
        shapes, params = shapes_of(layers)
        self.inputs = {layer.tops[0]: shapes[layer.tops[0]] for layer in layers if layer.type == "Input"}
        self.now = dict(self.inputs)
        # labels, whose values must stay classes, and places of maxima, which Caffe's Pooling reads in its backward
        self.fixed = {top for layer in layers for top in layer.tops if layer.label} | {
            layer.tops[1] for layer in layers if layer.type == "Pooling" and len(layer.tops) > 1}
        self.blobs = [*shapes, *split_names(layers)]
        self.params = [(name, i) for name, found in params.items() for i in range(len(found))]
        self.seeds, self.held, self.held_weights = 0, [], []
        self.steps: list[tuple] = []

    def often(self, share: float) -> bool:
        """Whether this time; `share` of the times."""
        return self.rng.random() < share

    def do(self, *step) -> None:
        """Add a step."""
        self.steps.append(step)

    def seed(self) -> int:
        """Return a new seed of values."""
        self.seeds += 1
        return self.seeds

    def blob(self) -> str:
        """Return any blob, those of Splits included."""
        return self.rng.choice(self.blobs)

    def make(self) -> list[tuple]:
        """Return all steps."""
        if self.often(0.1):
            self.do("save")
        if self.often(0.1):
            self.do("bytes")
        self._pass(first=True)
        self._after()
        for _ in range(self.rng.choice([1, 1, 2, 2, 3, 4])):
            self._before()
            self._pass()
            self._after()
        if self.backward:
            self._backward()
        if self.often(self.solver):
            self.do("train", settings(self.rng), self.seed())
        return self.steps

    def _backward(self) -> None:
        """Run backward, from gradients that are written or from the loss; parameters' add up or begin anew."""
        seed = self.seed() if self.often(0.7) else None
        self.do("backward", seed, self.rng.sample(self.blobs, min(3, len(self.blobs))), self.often(0.6))

    def _pass(self, first: bool = False) -> None:
        seed = self.seed() if self.often(0.2) else None
        start = end = None
        names = [layer.name for layer in self.layers]
        if not first and self.often(0.15):
            low, high = sorted(self.rng.choices(range(len(names)), k=2))
            start = names[low] if self.often(0.7) else None
            end = names[high] if start is None or self.often(0.5) else None
        if start is end is seed and self.often(0.1):
            return self.do("run")
        blobs = self.rng.sample(self.blobs, self.rng.randint(0, min(2, len(self.blobs)))) if self.often(0.3) else []
        keep = self.often(0.2)
        self.do("forward", seed, start, end, blobs, keep)
        if keep:
            self.held += blobs

    # -- between passes ------------------------------------------------------------------------

    def _before(self) -> None:
        """What comes before a pass: new values, shapes or weights."""
        if self.often(0.2):
            self._reshape()
        elif self.often(0.6):
            name = self.rng.choice(list(self.inputs))
            if name in self.held and self.often(0.7):
                self.do("write_held", name, self.seed())
            else:
                self.do("write", name, self.seed())
        if self.params and self.often(0.25):
            self._weights()
        if self.often(0.04):
            layer = self.rng.choice([layer for layer in self.layers if layer.bottoms])
            self.do("hook", layer.name, self.rng.choice(layer.bottoms))
        if self.often(0.05):
            self.do("toggle", self.often(0.5))
        if self.often(0.05):
            self.do("release")
        if self.often(0.05):
            self.do("poison", self.rng.choice([name for name in self.inputs if name not in self.fixed]),
                    self.rng.choice(["nan", "inf", "-inf"]))

    def _reshape(self) -> None:
        shapes = self._other_shapes()
        if shapes is None:
            return
        grows = any(a > b for name, shape in shapes.items() for a, b in zip(shape, self.now[name]))
        self.do("reshape", {name: list(shape) for name, shape in shapes.items()})
        self.now = shapes
        if self.often(0.4):
            self.do("net_reshape")
        while not grows and self.often(0.5):  # what has grown has other memory, of no values
            self.do("look", self.blob())
        self.do("forward", None, None, None, [], False)

    def _other_shapes(self) -> dict[str, Shape] | None:
        """Return shapes of all inputs that the net can take with the parameters it has."""
        wanted = shapes_of(self.layers)[1]
        for attempt in range(5):
            new = dict(self.now)
            change = [self.rng.choice([0, 0, 1, -1, 3]), 0, *(self.rng.choice([0, 1, -1, 2, -3, 5]) for _ in "dhw")]
            if attempt > 2:  # perhaps no other height and width will do
                change[2:] = [0, 0, 0]
            for layer in self.layers:
                if layer.type == "Input" and not layer.label:
                    shape = self.now[layer.tops[0]]
                    new[layer.tops[0]] = tuple(max(1, a + b) for a, b in zip(shape, change[:len(shape)]))
            free = {layer.tops[0]: new[layer.tops[0]] for layer in self.layers
                    if layer.type == "Input" and not (layer.label and layer.label[1])}
            try:
                blobs, params = shapes_of(self.layers, free)
            except Misfit:
                continue
            if params == wanted and max(prod(blobs[name]) for name in self.inputs) < 30_000:
                return {name: blobs[name] for name in self.inputs}
        return None

    def _weights(self) -> None:
        layer, i = self.rng.choice(self.params)
        kind = self.rng.random()
        if kind < 0.25:
            self.do("weights", layer, self.seed())
        elif kind < 0.5:
            self.do("weight", layer, i, self._factor(layer))
        elif kind < 0.75:
            if self.held_weights and self.often(0.7):
                layer, i = self.rng.choice(self.held_weights)
            else:
                self.do("hold_weight", layer, i)
                self.held_weights.append((layer, i))
            self.do("weight_held", layer, i, self._factor(layer))
        elif kind < 0.83:
            self.do("share", self.seed())
            self.held_weights.clear()
        elif kind < 0.9:
            self.do("copy_from")
        elif kind < 0.95:
            self.do("weight_of_other", layer, i, self._factor(layer))
        else:
            self.do("look_weight", layer, i)

    def _factor(self, layer: str) -> float:
        """Return what to multiply a weight by; variances stay positive, so that nothing becomes NaN."""
        kind = next(one.type for one in self.layers if one.name == layer)
        return self.rng.choice([0.5, 1.5] if kind == "BatchNorm" else [0.5, -1, 1.5])

    def _after(self) -> None:
        """What comes after a pass: looks, views that are kept, edits, and looks at what they must not touch."""
        for _ in range(self.rng.choice([0, 0, 1, 1, 2, 3])):
            kind = self.rng.random()
            if kind < 0.4:
                self.do("look", self.blob())
            elif kind < 0.55:
                self.held.append(self.blob())
                self.do("hold", self.held[-1])
            elif kind < 0.7 and self.held:
                self.do("reread", self.rng.choice(self.held))
            elif kind < 0.85:
                self._edit()
            elif self.params:
                self._weights()
                self.do("look", self.blob())
        if self.params and self.often(0.06):
            self.held_weights.append(self.rng.choice(self.params))
            self.do("hold_weight", *self.held_weights[-1])
        if self.often(0.2):
            self.do("look_all")
        if self.often(self.backward):
            self._backward()

    def _edit(self) -> None:
        name, factor = self.blob(), self.rng.choice([0.5, -1, 2])
        if any(name == other or name.startswith(f"{other}_") for other in self.fixed):
            return
        if name in self.held and self.often(0.6):
            self.do("edit_held", name, factor)
        else:
            self.do("edit", name, factor, self.rng.choice([0, 0.25]))
        self.do("look", self.blob())

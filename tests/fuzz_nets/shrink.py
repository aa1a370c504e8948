"""A smaller case that is still wrong.

In:   a Case; whether a case is wrong.
Out:  the Case with fewer steps, layers and values, until nothing more can be taken, or time is up.
Not here: what wrong is (judge), a case that holds together (fit).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from .fit import fitted
from .shapes import shapes_of
from .spec import Case, Layer

SECONDS = 20  # for one case
SMALLER = {"num_output": 1, "kernel_size": 1, "kernel_h": 1, "kernel_w": 1, "pad": 0, "pad_h": 0, "pad_w": 0,
           "stride": 1, "stride_h": 1, "stride_w": 1, "group": 1, "dilation": 1}
DEFAULTS = ("pad", "pad_h", "pad_w", "stride", "stride_h", "stride_w", "group", "dilation", "round_mode", "bias_term",
            "weight_filler", "coeff", "operation", "negative_slope", "axis", "num_axes", "offset", "transpose", "top_k",
            "norm_region", "beta", "k", "alpha", "power", "scale", "shift", "base")


def shrink(case: Case, wrong: Callable[[Case], bool], seconds: float = SECONDS) -> Case:
    """Return the smallest case found that is wrong; every case tried is one that Caffe takes."""
    until = time.monotonic() + seconds
    before = None
    while case is not before:
        before = case
        for take_from in (_steps, _layers, _parameters):
            while (smaller := _first(take_from(case), wrong, until)) is not None:
                case = smaller
    return case


def _first(cases: Iterator[Case], wrong: Callable[[Case], bool], until: float) -> Case | None:
    for case in cases:
        if time.monotonic() > until:
            return None
        if wrong(case):
            return case
    return None


def _layers(case: Case) -> Iterator[Case]:
    """Yield cases of fewer layers."""
    return (found for layers in _without_layers(case) if (found := fitted(case, layers)) is not None)


def _steps(case: Case) -> Iterator[Case]:
    """Yield cases of fewer steps, or plainer ones."""
    return (replace(case, steps=steps) for steps in (*_fewer(case.steps), *_plainer(case.steps)) if _runs_first(steps))


def _parameters(case: Case) -> Iterator[Case]:
    """Yield cases of smaller inputs and windows."""
    return (found for layers in _with_less(case) if (found := fitted(case, layers)) is not None)


def _fewer(steps: tuple) -> Iterator[tuple]:
    size = len(steps)
    while size:
        for start in range(len(steps) - size, -1, -max(1, size // 2)):
            yield steps[:start] + steps[start + size:]
        size //= 2


def _runs_first(steps: tuple) -> bool:
    """Whether a whole pass comes before looks and gradients: until then Caffe leaves open what blobs hold (D13)."""
    telling = ("forward", "run", "look", "look_all", "hold", "edit", "backward", "train")
    first = next((step for step in steps if step[0] in telling), ("none",))
    return first[0] in ("run", "train") or first[0] == "forward" and first[2:4] in ((), (None, None))


def _plainer(steps: tuple) -> Iterator[tuple]:
    """Yield steps of which one forward asks for less, or keeps nothing."""
    for i, step in enumerate(steps):
        if step[0] == "forward":
            for plain in (("forward",), step[:2], step[:4], step[:5]):
                if len(plain) < len(step):
                    yield (*steps[:i], plain, *steps[i + 1:])
                    break


# -- layers ------------------------------------------------------------------------------------


def _without_layers(case: Case) -> Iterator[tuple[Layer, ...]]:
    """Yield the layers without the last ones, and without any one, its tops replaced by a bottom or an input."""
    layers = case.layers
    closures = (_needed(layers, name) for layer in layers for name in layer.tops)
    yield from sorted((found for found in closures if len(found) < len(layers)), key=len)
    for count in (len(layers) // 2, *range(len(layers) - 1, 1, -1)):
        if 0 < count < len(layers):
            yield layers[:count]
    for i in range(len(layers) - 1, -1, -1):
        gone = layers[i]
        rest = layers[:i] + layers[i + 1:]
        if gone.in_place or not gone.tops:
            yield rest
        else:
            for bottom in dict.fromkeys(gone.bottoms):
                yield layers[:i] + tuple(_renamed(layer, gone.tops, bottom) for layer in layers[i + 1:])
            yield _cut_off(layers[:i], layers[i + 1:], set(gone.tops))
            if gone.type != "Input":
                yield _as_input(layers, i)
        for fewer in _fewer_ends(gone):
            yield (*layers[:i], fewer, *layers[i + 1:])


def _needed(layers: tuple[Layer, ...], blob: str) -> tuple[Layer, ...]:
    """Return the layers that a blob, as it is in the end, is computed from."""
    wanted, kept = {blob}, []
    for layer in reversed(layers):
        if wanted & set(layer.tops):
            kept.append(layer)
            wanted |= set(layer.bottoms) | ({layer.label[1]} if layer.label else set())
    return tuple(reversed(kept))


def _renamed(layer: Layer, tops: tuple[str, ...], bottom: str) -> Layer:
    return replace(layer, bottoms=tuple(bottom if name in tops else name for name in layer.bottoms),
                   tops=tuple(bottom if name in tops else name for name in layer.tops),
                   label=(layer.label[0], bottom, layer.label[2]) if layer.label and layer.label[1] in tops
                   else layer.label)


def _cut_off(before: tuple[Layer, ...], after: tuple[Layer, ...], gone: set[str]) -> tuple[Layer, ...]:
    """Return the layers without what needs blobs that are gone."""
    kept = list(before)
    for layer in after:
        if gone & set(layer.bottoms) or (layer.label and layer.label[1] in gone):
            gone = gone | set(layer.tops)
        else:
            kept.append(layer)
    return tuple(kept)


def _as_input(layers: tuple[Layer, ...], i: int) -> tuple[Layer, ...]:
    """Return the layers with an input in place of layer i."""
    shapes = shapes_of(layers)[0]
    gone = layers[i]
    inputs = [Layer(f"{name}_in", "Input", (), (name,), {"input_param": {"shape": {"dim": list(shapes[name])}}})
              for name in gone.tops]
    return (*layers[:i], *inputs, *layers[i + 1:])


def _fewer_ends(layer: Layer) -> Iterator[Layer]:
    if layer.type in ("Concat", "Eltwise") and len(layer.bottoms) > 2:
        for i in range(len(layer.bottoms)):
            less = replace(layer, bottoms=layer.bottoms[:i] + layer.bottoms[i + 1:])
            yield less.with_own(coeff=layer.own["coeff"][:-1]) if "coeff" in layer.own else less
    if layer.type in ("Split", "Slice") and len(layer.tops) > 1:
        yield replace(layer, tops=layer.tops[:-1])


def _with_less(case: Case) -> Iterator[tuple[Layer, ...]]:
    """Yield the layers with smaller inputs and windows."""
    for i, layer in enumerate(case.layers):
        for less in _less(layer):
            yield (*case.layers[:i], less, *case.layers[i + 1:])


def _less(layer: Layer) -> Iterator[Layer]:
    if layer.type == "Input" and not layer.label:
        dims = layer.own["shape"]["dim"]
        for axis, length in enumerate(dims):
            for smaller in sorted({1, length // 2, length - 1}):
                if 0 < smaller < length:
                    yield layer.with_own(shape={"dim": [*dims[:axis], smaller, *dims[axis + 1:]]})
        return
    for name, value in layer.own.items():
        if name in DEFAULTS:
            yield layer.with_own(**dict.fromkeys((name, name.replace("_h", "_w"), name.replace("_w", "_h"))))
        if SMALLER.get(name, value) != value:
            yield layer.with_own(**{name: SMALLER[name]})
            if isinstance(value, int) and value > 2:
                yield layer.with_own(**{name: value // 2})
                yield layer.with_own(**{name: value - 1})
    for name in ("param", "loss_param", "loss_weight", "propagate_down"):
        if name in layer.params:
            yield replace(layer, params={key: value for key, value in layer.params.items() if key != name})

"""A case whose layers were changed, so that it holds together again.

In:   a Case; other layers for it.
Out:  the Case with these layers and the steps that still make sense; None where Caffe would refuse the layers.
Not here: which layers (shrink).
"""

from __future__ import annotations

from dataclasses import replace

from .shapes import Misfit, shapes_of
from .spec import Case, Layer, split_names

OF_BLOB = ("look", "hold", "reread", "edit", "edit_held", "write", "write_held", "poison")
OF_WEIGHT = ("weight", "weight_held", "hold_weight", "look_weight", "weight_of_other", "weights")


def fitted(case: Case, layers: tuple[Layer, ...]) -> Case | None:
    """Return the case with these layers and the steps that still make sense; None where Caffe would refuse."""
    if not layers or layers == case.layers or not _is_wired(layers):
        return None
    try:
        blobs, params = shapes_of(layers)
    except Misfit:
        return None
    read = {name for layer in layers for name in layer.bottoms}
    if any(layer.type == "Input" and layer.tops[0] not in read for layer in layers):
        layers = tuple(layer for layer in layers if layer.type != "Input" or layer.tops[0] in read)
        return fitted(case, layers)
    if not any(layer.type == "Input" for layer in layers):
        return None
    names = {*blobs, *split_names(layers)}
    steps = [kept for step in case.steps if (kept := _step(step, layers, names, blobs, params)) is not None]
    return replace(case, layers=layers, steps=tuple(steps))


def _is_wired(layers: tuple[Layer, ...]) -> bool:
    """Whether no blob is made twice, and none is changed in place that another layer reads."""
    made: set[str] = set()
    readers: dict[str, int] = {}
    for layer in layers:
        if any(name not in made for name in layer.bottoms):
            return False
        for name in layer.bottoms:
            readers[name] = readers.get(name, 0) + 1
        for name in layer.tops:
            if name in made and (name not in layer.bottoms[:1] or readers[name] > 1):
                return False
            made.add(name)
            readers[name] = 0
    return len({layer.name for layer in layers}) == len(layers)


def _step(step: tuple, layers: tuple[Layer, ...], names: set[str], blobs: dict, params: dict) -> tuple | None:
    """Return a step as it applies to these layers, or None."""
    kind, known = step[0], {layer.name for layer in layers}
    if kind in OF_BLOB:
        name = step[1] if step[1] in names else next(  # of a Split that is not needed any more
            (name for name in names if "_split_" in step[1] and step[1].startswith(f"{name}_")), None)
        return (kind, name, *step[2:]) if name else None
    if kind in OF_WEIGHT:
        found = params.get(step[1], [])
        return step if found and (kind == "weights" or step[2] < len(found)) else None
    if kind == "hook":
        return step if any(layer.name == step[1] and step[2] in layer.bottoms for layer in layers) else None
    if kind == "backward":
        return (kind, step[1], [name for name in step[2] if name in names], *step[3:])
    if kind == "forward" and len(step) > 2:
        ends = [name if name in known else None for name in step[2:4]]
        return (*step[:2], *ends, *([[name for name in step[4] if name in names]] if len(step) > 4 else []), *step[5:])
    if kind == "reshape":
        return _reshape(step, layers, blobs, params)
    return step


def _reshape(step: tuple, layers: tuple[Layer, ...], blobs: dict, params: dict) -> tuple | None:
    """Return new shapes for the inputs there are, labels following; None where the net cannot take them."""
    free = {layer.tops[0]: step[1].get(layer.tops[0], list(blobs[layer.tops[0]])) for layer in layers
            if layer.type == "Input" and not (layer.label and layer.label[1])}
    if any(len(shape) != len(blobs[name]) for name, shape in free.items()):
        return None
    try:  # channels are those that the layers have now
        found, new = shapes_of(layers, {name: (*shape[:1], *blobs[name][1:2], *shape[2:])
                                        for name, shape in free.items()})
    except Misfit:
        return None
    if new != params:
        return None
    return "reshape", {layer.tops[0]: list(found[layer.tops[0]]) for layer in layers if layer.type == "Input"}

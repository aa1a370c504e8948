"""What only nets that train have: fillers, learning rates, losses in the middle, ways down that are closed.

In:   a generator of random numbers, layers.
Out:  the layers with more parameters.
Not here: the layers (generate).
"""

from __future__ import annotations

import random
from dataclasses import replace

from .spec import EMPTY, Layer

LEARNED = {"Convolution": 2, "Deconvolution": 2, "InnerProduct": 2, "Scale": 1, "Bias": 1, "PReLU": 1}  # and how many
RATES = ([{"lr_mult": 0}], [{"lr_mult": 1}, {"lr_mult": 0}], [{"lr_mult": 0.5, "decay_mult": 2},
                                                              {"lr_mult": 2, "decay_mult": 0}])
FILLERS = ({"type": '"xavier"'}, {"type": '"msra"', "variance_norm": "AVERAGE"}, {"type": '"gaussian"', "std": 0.3},
           {"type": '"uniform"', "min": -0.4, "max": 0.4})


RULES = ("SGD", "SGD", "Nesterov", "Adam", "AdaGrad", "RMSProp", "AdaDelta")


def settings(rng: random.Random) -> str:
    """Return the text of a solver that trains few iterations."""
    rule = rng.choice(RULES)
    momentum = 0 if rule in ("AdaGrad", "RMSProp") else 0.9
    return (f'type: "{rule}" base_lr: 0.001 lr_policy: "step" gamma: 0.5 stepsize: 1 momentum: {momentum} '
            f"weight_decay: 0.005 test_iter: 1 test_interval: 2 random_seed: {rng.randint(1, 99)} "
            f"iter_size: {rng.randint(1, 2)} clip_gradients: {rng.choice([-1, 1])}")


def with_rates(rng: random.Random, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers with learning rates, loss weights and propagate_down here and there."""
    return tuple(_with_rates(rng, layers, i) for i in range(len(layers)))


def _with_rates(rng: random.Random, layers: tuple[Layer, ...], i: int) -> Layer:
    layer, more = layers[i], {}
    if len(layer.bottoms) == 1 and layer.type in LEARNED and "param" not in layer.params and rng.random() < 0.3:
        more["param"] = rng.choice(RATES)[:LEARNED[layer.type] if layer.own.get("bias_term", True) else 1]
    changed_later = any(other.in_place and other.tops[0] in layer.tops for other in layers[i + 1:])
    if len(layer.tops) == 1 and layer.bottoms and not changed_later and rng.random() < 0.05:
        more["loss_weight"] = rng.choice([0.5, 2, -1])
    if len(layer.bottoms) == 1 and rng.random() < 0.04:
        more["propagate_down"] = [rng.choice([True, False])]
    return replace(layer, params={**layer.params, **more})


def with_fillers(rng: random.Random, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers with fillers that draw random numbers."""
    return tuple(_with_fillers(rng, layer) for layer in layers)


def _with_fillers(rng: random.Random, layer: Layer) -> Layer:
    if layer.type in ("Convolution", "Deconvolution", "InnerProduct") and "weight_filler" not in layer.own:
        bias = {"bias_filler": {"type": '"uniform"', "min": -0.3, "max": 0.3}}
        return layer.with_own(weight_filler=rng.choice(FILLERS), **(bias if layer.own.get("bias_term", True) else {}))
    if layer.type == "Scale" and len(layer.bottoms) == 1:
        return layer.with_own(filler={"type": '"uniform"', "min": 0.5})
    if layer.type == "Bias" and len(layer.bottoms) == 1:
        return layer.with_own(filler={"value": 0.2})
    return layer.with_own(eps=EMPTY) if layer.type == "BatchNorm" else layer

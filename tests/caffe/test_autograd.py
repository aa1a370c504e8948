"""Autograd as the second oracle: every layer's backward against the derivative of its formula in float64.

In:   the recorded cases, and those that genuine Caffe cannot judge (Clip, BatchNorm in TRAIN, STOCHASTIC pooling).
Out:  worst(case), which the table of docs/caffe.md shows as well.
Not here: the formulas (formulas.py, formulas_windows.py, formulas_recurrent.py).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from tests.caffe.formulas import FORMULAS
from tests.caffe.layer_case import Case, build, inputs, relative, run, values
from tests.caffe.layer_types import NO_GRADIENT, TYPES, case_type
from tests.reference.record_layers import FAMILIES

BOUND = 1e-4  # relative

_MAP = [(3, 2, 4, 5)]
_STOCHASTIC = 'type: "Pooling" pooling_param { pool: STOCHASTIC '
UNJUDGED = [
    Case("clip", 'type: "Clip" clip_param { min: -1 max: 1 }', _MAP),
    Case("clip_wide", 'type: "Clip" clip_param { min: -0.5 max: 5 }', [(4,)]),
    Case("clip_all", 'type: "Clip" clip_param { min: 3 max: 4 }', [()]),
    *(Case(f"batchnorm_train_{name}", f'type: "BatchNorm" batch_norm_param {{ {text} }}', [shape], learn=(0,),
           positive_params=True)
      for name, text, shape in (("map", "", (3, 2, 4, 5)), ("vector", "eps: 0.1", (6, 2)),
                                ("told", "use_global_stats: false moving_average_fraction: 0.5", (4, 3, 2)))),
    *(Case(f"pooling_stochastic_{name}", _STOCHASTIC + text + " }", _MAP, kinds=("positive",))
      for name, text in (("apart", "kernel_size: 2 stride: 2"), ("overlapping", "kernel_h: 3 kernel_w: 2"),
                         ("sides", "kernel_size: 2 stride_h: 1 stride_w: 3"))),
]
CASES = {case.name: case for case in [*UNJUDGED, *(case for cases in FAMILIES.values() for case in cases)]
         if case.backward and case_type(case) not in NO_GRADIENT}
_IN_PLACE = "backward sees what forward wrote over its input, and needs the input"
# Settings in which Caffe's gradient is not the derivative; genuine Caffe has the same numbers (test_layer_cases.py).
EXCEPTIONS = {
    **dict.fromkeys([f"{name}_in_place" for name in (
        "relu_negative", "power1_3_1", "power2_3_1", "power0.5_0.3_4", "log", "log_base10_scale2_shift0.5",
        "log_base0.5_scale-1_shift4", "bnll", "elu_alpha-2")], _IN_PLACE),
    "multinomiallogisticloss_negative": "no probabilities: the logarithm is cut off, its gradient is not",
    "lstmunit_part": "cont is neither 0 nor 1: the forget gate's slope counts it twice",
}
# Caffe writes these parameters' diffs, where it adds to all others: a Parameter shares its top's; a Scale has nothing
# to sum over in front of its axis (scale_layer.cpp, Backward_cpu).
OVERWRITTEN = {"parameter_matrix", "parameter_scalar", "parameter_map",
               *(f"scale_{name}{place}" for name in ("row", "one", "head", "all") for place in ("", "_in_place"))}


def differences(case):
    """Return the relative differences of a case's tops and of its gradients from the formula's."""
    # Caffe: HingeLoss keeps its margins in the bottom's diff, where it must stay
    out = run(case, stale=None if case_type(case) == "HingeLoss" else 7)
    x, w = [_leaf(value) for value in inputs(case).values()], []
    while (drawn := out.get(f"filled{len(w)}")) is not None:
        value = values(f"{case.name}/p{len(w)}", drawn.shape)
        w.append(_leaf(np.abs(value) if case.positive_params else value))
    tops = [torch.tensor(out[f"top{i}"], dtype=torch.float64) for i in range(case.tops)]
    param = text_format.Parse(case.layer_text, caffe_pb2.LayerParameter())
    want = FORMULAS[case_type(case)](param, tops, x, w)
    forward = {f"top{i}": relative(out[f"top{i}"], top.detach().numpy()) for i, top in enumerate(want)}
    total = sum((top * torch.tensor(values(f"{case.name}/d{i}", tuple(top.shape)))).sum()
                for i, top in enumerate(want)) + 0 * sum(one.sum() for one in [*x, *w])
    gradients = torch.autograd.grad(total, [*x, *w])
    backward = {f"bottom_diff{i}": relative(out[f"bottom_diff{i}"], gradients[i].numpy()) for i in _wanted(case)}
    for i in range(len(w)):
        before = 0 if i == 0 and case.name in OVERWRITTEN else 3
        backward[f"param_diff{i}"] = relative(out[f"param_diff{i}"] - before, gradients[len(x) + i].numpy())
    return forward, backward


def _leaf(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def _wanted(case):
    """Return the bottoms that are asked for a gradient and have one."""
    layer, bottom, _ = build(case)
    learn = [i for i in range(len(bottom)) if layer.allow_force_backward(i)] if case.learn is None else case.learn
    if case_type(case) == "Crop":  # Caffe: the second bottom gives its shape; its diff is left alone
        return [0]
    states = len(getattr(layer, "states", ())) if "expose_hidden: true" in case.text else 0
    return [i for i in learn if i < len(bottom) - states]  # Caffe: the diffs of exposed states are left alone


def worst(case):
    """Return the largest differences of a case: forward, backward."""
    return tuple(max(found.values(), default=0.0) for found in differences(case))


@pytest.mark.parametrize("name", [name for name in CASES if name not in EXCEPTIONS])
def test_gradients_are_autograds(name):
    for found in differences(CASES[name]):
        for array, difference in found.items():
            assert difference <= BOUND, f"{name} {array}: {difference:.2g}"


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_exceptions(name):
    forward, backward = worst(CASES[name])
    assert forward <= BOUND < backward, "no exception any more: strike it out"


def test_every_differentiable_type_has_a_formula_and_a_case():
    judged = {case_type(case) for name, case in CASES.items() if name not in EXCEPTIONS}
    assert set(FORMULAS) == set(TYPES) - NO_GRADIENT == judged

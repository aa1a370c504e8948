"""Single layers against genuine Caffe, recorded and (where it is installed) live."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import caffe
from caffe._caffe import common
from tests.caffe.layer_case import relative, run
from tests.reference import record_layers
from tests.reference.record_layers import FAMILIES

FORWARD, BACKWARD = 2e-5, 5e-5  # relative; single precision, another order of sums
ALL = [pytest.param(family, case, id=case.name) for family, cases in FAMILIES.items() for case in cases]
recorded = functools.cache(record_layers.load)


def check(case, got, answers):
    want = record_layers.answers_of(case, answers)
    assert set(got) == set(want), "stale record? python -m tests.reference.record_layers"
    for name, value in want.items():
        difference = relative(got[name], value)
        assert difference <= (BACKWARD if "diff" in name else FORWARD), f"{case.name} {name}: {difference:.2g}"


@pytest.fixture(params=[True, False], ids=["kernels", "torch alone"])
def kernels(request, monkeypatch):
    """Let layers convolve in ways of our own, or by torch's kernels alone; plans the same."""
    monkeypatch.setattr(common._state, "kernels", request.param)
    monkeypatch.setattr(common._state, "plans", request.param)


@pytest.mark.parametrize(("family", "case"), ALL)
def test_oracle_recorded(family, case, kernels):
    check(case, run(case), recorded(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_oracle_live(family):
    answers = record_layers.ask_oracle(family)
    for case in FAMILIES[family]:
        check(case, run(case), answers)


@pytest.mark.parametrize("family", FAMILIES)
def test_oracle_recorded_through_net(family, kernels):
    out = {}
    names = {"np": np, "caffe": caffe, "inp": record_layers.questions(FAMILIES[family]), "out": out}
    exec(record_layers.SCRIPT, names)  # the very script that genuine Caffe ran
    for case in FAMILIES[family]:
        prefix = f"{case.name}/"
        got = {k.removeprefix(prefix): v for k, v in out.items() if k.startswith(prefix)}
        check(case, got, recorded(family))

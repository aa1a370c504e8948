"""Elementary layers against genuine Caffe, recorded and (where it is installed) live."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from tests.caffe.elementary_cases import CASES, run
from tests.reference import record_elementary

FORWARD, BACKWARD = 2e-5, 5e-5  # relative; single precision, another order of sums


def check(case, got, answers):
    prefix = f"{case.name}/"
    want = {
        name.removeprefix(prefix): value
        for name, value in answers.items()
        if name.startswith(prefix)
    }
    assert set(got) == set(want), "stale record? python -m tests.reference.record_elementary"
    for name, value in want.items():
        assert got[name].shape == value.shape, name
        bound = (BACKWARD if "diff" in name else FORWARD) * max(np.abs(value).max(initial=0), 1e-30)
        np.testing.assert_allclose(
            got[name], value, rtol=0, atol=bound, err_msg=f"{case.name} {name}"
        )


@pytest.fixture(scope="module")
def recorded():
    return record_elementary.load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_oracle_recorded(case, recorded):
    check(case, run(case), recorded)


def test_oracle_live():
    answers = record_elementary.ask_oracle()
    for case in CASES:
        check(case, run(case), answers)


def test_oracle_recorded_through_net(recorded):
    out = {}
    names = {"np": np, "caffe": caffe, "inp": record_elementary.questions(), "out": out}
    exec(record_elementary.SCRIPT, names)  # the very script that genuine Caffe ran
    for case in CASES:
        prefix = f"{case.name}/"
        got = {k.removeprefix(prefix): v for k, v in out.items() if k.startswith(prefix)}
        check(case, got, recorded)

"""Layers with weights or windows and the softmax loss against genuine Caffe, recorded and, where installed, live."""

from __future__ import annotations

import numpy as np
import pytest

from tests.caffe.elementary_cases import run
from tests.caffe.spatial_cases import CASES
from tests.reference import record_spatial

FORWARD, BACKWARD = 2e-5, 5e-5  # relative; single precision, another order of sums


def check(case, answers):
    prefix = f"{case.name}/"
    want = {name.removeprefix(prefix): value for name, value in answers.items() if name.startswith(prefix)}
    got = run(case)
    assert set(got) == set(want), "stale record? python -m tests.reference.record_spatial"
    for name, value in want.items():
        assert got[name].shape == value.shape, name
        bound = (BACKWARD if "diff" in name else FORWARD) * max(np.abs(value).max(initial=0), 1e-30)
        np.testing.assert_allclose(got[name], value, rtol=0, atol=bound, err_msg=f"{case.name} {name}")


@pytest.fixture(scope="module")
def recorded():
    return record_spatial.load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_oracle_recorded(case, recorded):
    check(case, recorded)


def test_oracle_live():
    answers = record_spatial.ask_oracle()
    for case in CASES:
        check(case, answers)

"""Learning rates against genuine Caffe, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from caffe._caffe.errors import SolverError
from caffe._caffe.solvers.lr_policy import POLICIES, check, learning_rate
from caffe.proto import caffe_pb2
from tests.reference import record_lr


def solver_param(text):
    return text_format.Parse(text, caffe_pb2.SolverParameter())


@pytest.fixture(scope="module", params=["recorded", "live"])
def theirs(request):
    if request.param == "live":
        return record_lr.genuine()
    with np.load(record_lr.RECORDED) as loaded:
        return dict(loaded)


def test_all_policies_are_recorded():
    assert set(record_lr.CASES) == set(POLICIES)


@pytest.mark.parametrize("name", record_lr.CASES)
def test_oracle_rates(theirs, name):
    param, step, rates = solver_param(record_lr.CASES[name]), 0, []
    for iteration in range(record_lr.ITERATIONS):
        rate, step = learning_rate(param, iteration, step)  # as `solver.lr` does
        rates.append(rate)
        _, step = learning_rate(param, iteration, step)  # as ApplyUpdate does
    np.testing.assert_array_equal(np.float32(rates), theirs[name])


def test_multistep_passes_one_value_an_iteration():
    param = solver_param('base_lr: 1 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 2')
    steps, step = [], 0
    for iteration in range(5):
        _, step = learning_rate(param, iteration, step)
        steps.append(step)
    assert steps == [0, 0, 1, 2, 2]


@pytest.mark.parametrize(("text", "words"), [
    ('lr_policy: "stepp"', "Unknown learning rate policy: stepp; known are fixed, step, exp"),
    ("base_lr: 1", "lr_policy is missing"),
    ('lr_policy: "step" gamma: 0.1', "got stepsize 0, want stepsize > 0"),
    ('lr_policy: "inv" gamma: -1', "got gamma -1, want gamma >= 0"),
    ('lr_policy: "sigmoid" gamma: 1', "want stepsize > 0"),
    ('lr_policy: "poly" power: 1', "want max_iter > 0"),
])
def test_faults_are_named(text, words):
    with pytest.raises(SolverError) as caught:
        check(solver_param(text))
    assert words in str(caught.value)

"""The six update rules against genuine Caffe: from given diffs, and in training from one seed."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe._caffe.errors import SolverError
from tests.reference import record_solver
from tests.reference.record_solver import RULE_CASES, TEACHER_FORCED

UPDATE, KINKS, SMOOTH = 1e-6, 1e-5, 1e-4  # relative


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", params=["recorded", "live"])
def theirs(request):
    if request.param == "live":
        return record_solver.genuine_rules()
    with np.load(record_solver.RECORDED_RULES) as loaded:
        return dict(loaded)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOG_minloglevel", "2")
        patch.chdir(tmp_path_factory.mktemp("rules"))
        return {**record_solver.train(caffe, np, RULE_CASES), **record_solver.apply(caffe, np, TEACHER_FORCED)}


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize("name", TEACHER_FORCED)
def test_oracle_updates_from_given_diffs(ours, theirs, name):
    got, want = ours[f"apply_{name}"], theirs[f"apply_{name}"]
    assert np.abs(np.diff(want, axis=0)).max() > 1e-4  # something moves
    assert relative(got, want) <= UPDATE


@pytest.mark.parametrize("name", RULE_CASES)
def test_oracle_training_follows_genuine_caffe(ours, theirs, name):
    got, want = ours[f"{name}/losses"], theirs[f"{name}/losses"]
    assert len(got) == len(want) == RULE_CASES[name][2] and want[0] != want[-1]
    assert relative(got, want) <= (SMOOTH if name.startswith("smooth") else KINKS)


@pytest.mark.parametrize(("text", "words"), [
    ('type: "AdaGrad" momentum: 0.9', "Momentum cannot be used with AdaGrad"),
    ('type: "RMSProp" momentum: 0.9', "Momentum cannot be used with RMSProp"),
    ('type: "RMSProp" rms_decay: 1', "rms_decay should lie between 0 and 1")])
def test_settings_a_rule_cannot_use(text, words):
    with open("net.prototxt", "w") as f:
        f.write(record_solver.SMOOTH)
    with open("solver.prototxt", "w") as f:
        f.write(f'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" {text}')
    with pytest.raises(SolverError, match=words):
        caffe.get_solver("solver.prototxt").step(1)


@pytest.mark.parametrize("kind", record_solver.RULES)
def test_a_snapshot_holds_what_a_rule_remembers(kind):
    text = record_solver.RULE_CASES[f"smooth_{kind}"][1]
    with open("net.prototxt", "w") as f:
        f.write(record_solver.SMOOTH)
    with open("solver.prototxt", "w") as f:
        f.write(f'net: "net.prototxt" snapshot_prefix: "snap" {text}')
    solver = caffe.get_solver("solver.prototxt")
    solver.step(3)
    solver.snapshot()

    def on(solver):
        caffe.set_random_seed(9)
        solver.step(4)
        return [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]

    want = on(solver)
    again = caffe.get_solver("solver.prototxt")
    again.restore("snap_iter_3.solverstate")
    for one, other in zip(on(again), want, strict=True):
        np.testing.assert_array_equal(one, other)

"""SGD against genuine Caffe, and its steps by hand."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe._caffe.errors import SolverError
from tests.reference import record_solver

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 1 dim: 2 } shape { dim: 1 dim: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { lr_mult: 2 decay_mult: 3 }
  inner_product_param { num_output: 1 bias_term: false weight_filler { value: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOG_minloglevel", "2")
        patch.chdir(tmp_path_factory.mktemp("train"))
        return record_solver.train(caffe, np, record_solver.CASES)


@pytest.fixture(scope="module", params=["recorded", "live"])
def theirs(request):
    if request.param == "live":
        return record_solver.genuine()
    with np.load(record_solver.RECORDED) as loaded:
        return dict(loaded)


def relative(a, b):
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)


@pytest.mark.parametrize("name", record_solver.CASES)
def test_oracle_training_follows_genuine_caffe(ours, theirs, name):
    keys = [key for key in theirs if key.startswith(name + "/")]
    assert sorted(keys) == sorted(key for key in ours if key.startswith(name + "/"))
    assert ours[name + "/losses"][0] != ours[name + "/losses"][-1]
    for key in keys:  # losses, weights, and the update that the diff holds afterwards
        assert relative(ours[key], theirs[key]) <= 1e-5, key


def solver(text, net=NET):
    with open("net.prototxt", "w") as f:
        f.write(net)
    with open("solver.prototxt", "w") as f:
        f.write('net: "net.prototxt" ' + text)
    return caffe.SGDSolver("solver.prototxt")


def update(text, steps=1, gradient=(3.0, -4.0)):
    """Set the diff by hand, update, return the weights; they start at 0.5."""
    s = solver(text)
    for _ in range(steps):
        s.net.params["ip"][0].diff[...] = gradient
        s.apply_update()
    return s.net.params["ip"][0].data[0]


def test_update_is_rate_times_multiplier_times_gradient():
    np.testing.assert_allclose(update('base_lr: 0.1 lr_policy: "fixed"'), [0.5 - 0.2 * 3, 0.5 + 0.2 * 4], rtol=1e-6)


def test_momentum_keeps_the_rate_of_its_time():
    # steps of 0.2 then 0.02 in the rate: V1 = .2 g, V2 = .5 V1 + .02 g
    got = update('base_lr: 0.1 lr_policy: "step" gamma: 0.1 stepsize: 1 momentum: 0.5', steps=2)
    np.testing.assert_allclose(got, 0.5 - (0.2 + 0.1 + 0.02) * np.array([3, -4]), rtol=1e-6)


def test_clip_comes_before_iter_size_and_decay():
    # norm 5 -> 1, then / 2, then + 0.1 * 3 * w
    got = update('base_lr: 0.1 lr_policy: "fixed" clip_gradients: 1 iter_size: 2 weight_decay: 0.1')
    np.testing.assert_allclose(got, 0.5 - 0.2 * (np.array([3, -4]) / 5 / 2 + 0.15), rtol=1e-6)


def test_no_clip_below_the_limit():
    got = update('base_lr: 0.1 lr_policy: "fixed" clip_gradients: 5.1')
    np.testing.assert_allclose(got, 0.5 - 0.2 * np.array([3, -4]), rtol=1e-6)


def test_l1_decay_adds_the_sign():
    got = update('base_lr: 0.1 lr_policy: "fixed" weight_decay: 0.1 regularization_type: "L1"')
    np.testing.assert_allclose(got, 0.5 - 0.2 * (np.array([3, -4]) + 0.3), rtol=1e-6)


def test_frozen_weights_survive_a_gradient_of_inf():
    s = solver('base_lr: 0.1 lr_policy: "fixed" momentum: 0.9')
    s.net.params_lr[0] = 0.0
    s.net.params["ip"][0].diff[...] = np.inf
    s.apply_update()
    assert (s.net.params["ip"][0].data == 0.5).all()


def test_apply_update_counts_and_leaves_the_update_in_the_diff():
    s = solver('base_lr: 0.1 lr_policy: "fixed"')
    s.net.params["ip"][0].diff[...] = 1
    s.apply_update()
    assert s.iter == 1
    np.testing.assert_allclose(s.net.params["ip"][0].diff, 0.2, rtol=1e-6)


def test_large_parameters_are_updated_in_pieces_as_whole_ones(monkeypatch):
    text = record_solver.CASES["fcn"]
    whole = record_solver.train(caffe, np, {"fcn": text})
    monkeypatch.setattr("caffe._caffe.solvers.sgd_solver._CACHE", 7)
    pieces = record_solver.train(caffe, np, {"fcn": text})
    for key in whole:
        np.testing.assert_array_equal(pieces[key], whole[key], err_msg=key)


def test_multipliers_changed_by_a_script_count_from_the_next_update():
    s = solver('base_lr: 0.1 lr_policy: "fixed"')
    blob = s.net.params["ip"][0]
    for lr_mult, expected in ((2, 0.5 - 0.2), (0, 0.5 - 0.2)):
        s.net.params_lr[0] = lr_mult
        blob.diff[...] = 1
        s.apply_update()
        np.testing.assert_allclose(blob.data, expected, rtol=1e-6)


def test_weights_shared_with_another_net_later_are_the_ones_updated():
    s = solver('base_lr: 0.1 lr_policy: "fixed"')
    other = caffe.Net("net.prototxt", caffe.TRAIN)
    s.net.params["ip"][0].diff[...] = 1
    s.apply_update()
    s.net.share_with(other)
    s.net.params["ip"][0].diff[...] = 1
    s.apply_update()
    np.testing.assert_allclose(other.params["ip"][0].data, 0.5 - 0.2, rtol=1e-6)


def test_lr_and_base_lr():
    s = solver('base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 1')
    assert s.lr == np.float32(0.1)
    s.param.base_lr = 0.4
    s.apply_update()
    assert s.lr == np.float32(0.2)
    assert (s.param.max_iter, s.param.display, s.param.layer_wise_reduce) == (0, 0, True)


@pytest.mark.parametrize(("text", "words"), [
    ('base_lr: 1 lr_policy: "stepp"', "Unknown learning rate policy: stepp"),
    ('base_lr: 1 lr_policy: "fixed" weight_decay: 1 regularization_type: "L3"', "Unknown regularization type: L3"),
])
def test_faults_are_named_before_the_first_pass(text, words):
    s = solver(text)
    s.net.before_forward(lambda layer: pytest.fail("a pass ran"))
    for call in (lambda: s.step(1), s.solve, s.apply_update):
        with pytest.raises(SolverError) as caught:
            call()
        assert words in str(caught.value)

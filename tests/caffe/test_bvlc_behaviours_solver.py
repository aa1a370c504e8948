"""What BVLC's own tests of solvers, of Python layers and of NCCL ask for, and the objects around solvers."""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import caffe
from tests.caffe.net_cases import dummy, full, layer

NET = dummy("data", 4, 3) + dummy("target", 4, 2) + full("ip", "data", n=2, more="param { lr_mult: 1 } param { "
                                                         "lr_mult: 2 }") + layer("loss", "EuclideanLoss",
                                                                                 ["ip", "target"], ["loss"])
SOLVER = ('net: "net.prototxt" test_iter: 1 test_interval: 50 base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005 '
          'lr_policy: "inv" gamma: 0.0001 power: 0.75 display: 100 max_iter: 100 snapshot_prefix: "model" '
          "snapshot_after_train: false random_seed: 1")


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)


@pytest.fixture
def solver():
    return caffe.get_solver("solver.prototxt")


def test_solve(solver):
    assert solver.iter == 0 and isinstance(solver, caffe.SGDSolver)
    assert solver.solve() is None
    assert solver.iter == 100


def test_apply_update(solver):
    for blobs in solver.net.params.values():
        for blob in blobs:
            blob.data[...] = 1
            blob.diff[...] = 1
    solver.param.weight_decay = 0
    solver.apply_update()
    for name, times in (("ip", (1, 2)),):
        for blob, lr_mult in zip(solver.net.params[name], times, strict=True):
            np.testing.assert_allclose(blob.data, 1 - solver.lr * lr_mult, rtol=1e-4)
            np.testing.assert_allclose(blob.diff, 0.01 * lr_mult, rtol=1e-6)  # the update, not the gradient
    assert solver.iter == 1


def test_net_memory(solver):
    nets = [solver.net, *solver.test_nets]
    assert len(nets) == 2
    del solver
    gc.collect()
    for net in nets:
        total = sum(float(blob.data.sum() + blob.diff.sum()) for blobs in net.params.values() for blob in blobs)
        assert np.isfinite(total)
        net.forward()


def test_snapshot(solver):
    solver.snapshot()
    names = ["model_iter_0.caffemodel", "model_iter_0.solverstate"]
    assert all(os.path.isfile(name) for name in names)
    solver.restore(names[1])


def test_lr_and_base_lr_and_step_return(solver):
    assert solver.lr == pytest.approx(0.01) and solver.step(2) is None
    assert solver.lr == pytest.approx(0.01 * (1 + 0.0001 * 2) ** -0.75)
    solver.param.base_lr = 1
    assert solver.lr == pytest.approx((1 + 0.0001 * 2) ** -0.75)
    assert (solver.param.max_iter, solver.param.display, solver.param.layer_wise_reduce) == (100, 100, True)
    with pytest.raises(AttributeError):
        solver.iter = 3


# -- NCCL, Timer ---------------------------------------------------------------------------------


def test_newuid_is_bytes_and_new():
    one, other = caffe.NCCL.new_uid(), caffe.NCCL.new_uid()
    assert isinstance(one, bytes) and len(one) == 128 and one != other


def test_a_lone_solver_trains_with_nccl_as_without():
    weights = []
    for with_nccl in (False, True):
        solver = caffe.SGDSolver("solver.prototxt")
        calls = []
        if with_nccl:
            nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
            nccl.bcast()
            solver.add_callback(lambda: calls.append("start"), lambda: calls.append("ready"))  # noqa: B023
            solver.add_callback(nccl)
            solver.net.after_backward(nccl)
        solver.step(3)
        assert calls == (["start", "ready"] * 3 if with_nccl else [])
        weights.append([blob.data.copy() for blob in solver.net.params["ip"]])
    for without, with_ in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, with_)


def test_nccl_refuses_layer_wise_reduce_of_shared_weights(solver):
    with pytest.raises(caffe.SolverError, match="want what NCCL.new_uid"):
        caffe.NCCL(solver, "uid")
    shared = 'param { name: "w" } param { name: "c" }'
    Path("net.prototxt").write_text(dummy("data", 4, 3) + full("a", "data", more=shared) + full(
        "b", "data", more=shared) + layer("loss", "EuclideanLoss", ["a", "b"], ["loss"]))
    solver = caffe.SGDSolver("solver.prototxt")
    solver.add_callback(caffe.NCCL(solver, caffe.NCCL.new_uid()))
    with pytest.raises(caffe.SolverError, match="Layer-wise reduce is not supported for nets with shared weights."):
        solver.step(1)
    solver.param.layer_wise_reduce = False
    solver.step(1)


def test_timer(capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "1")
    timer = caffe.Timer()
    assert timer.ms == 0 and "Timer has never been run before reading time." in capfd.readouterr().err
    timer.start()
    time.sleep(0.02)
    timer.start()  # it runs already
    timer.stop()
    first = timer.ms
    assert first >= 20 and timer.ms == first
    timer.start()
    assert timer.ms < first  # reading stops it


# -- Python layers -------------------------------------------------------------------------------

USER = '''
import numpy as np
import caffe


class Simple(caffe.Layer):
    """Ten times its bottom."""

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff


class Raises(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError("it does not want to")


class Param(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def reshape(self, bottom, top):
        top[0].reshape(10)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] += 1


class Phase(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Times(Simple):
    """As many times its bottom as param_str says."""

    def setup(self, bottom, top):
        self.value = float(self.param_str)

    def forward(self, bottom, top):
        top[0].data[...] = self.value * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.value * top[0].diff
'''
MODULE = "bvlc_behaviours_user"


def python(name, kind, bottoms=(), tops=None, param_str=""):
    return layer(name, "Python", bottoms, tops or [name],
                 f'python_param {{ module: "{MODULE}" layer: "{kind}" param_str: "{param_str}" }}')


INPUT = "force_backward: true\n" + layer("in", "Input", [], ["data"], "input_param { shape { dim: 10 dim: 9 dim: 8 } }")


@pytest.fixture
def user(monkeypatch):
    Path(f"{MODULE}.py").write_text(USER)
    monkeypatch.syspath_prepend(".")
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    yield lambda text, phase=caffe.TRAIN: Path("user.prototxt").write_text(text) and caffe.Net("user.prototxt", phase)
    sys.modules.pop(MODULE, None)


def chain(kind, *param_strs):
    names = ["data", "one", "two", "three"]
    return INPUT + "".join(python(names[i + 1], kind, [names[i]], param_str=p) for i, p in enumerate(param_strs))


def test_python_layer_forward(user):
    net = user(chain("Simple", "", "", ""))
    net.blobs["data"].data[...] = 3
    net.forward()
    assert (net.blobs["three"].data == 10 ** 3 * 3).all()


def test_python_layer_backward(user):
    net = user(chain("Simple", "", "", ""))
    net.blobs["three"].diff[...] = 7
    net.backward()
    assert (net.blobs["data"].diff == 10 ** 3 * 7).all()


def test_python_layer_reshape_to_other_axes(user):
    net = user(chain("Simple", "", "", ""))
    for length in (4, 12):
        net.blobs["data"].reshape(length, length, length, length)
        net.forward()
        assert all(blob.shape == (length,) * 4 for blob in net.blobs.values())


def test_python_layer_exception_is_its_own(user):
    with pytest.raises(RuntimeError, match="^it does not want to$"):
        user(INPUT + python("l", "Raises", ["data"]))


def test_python_layer_parameter(user):
    net = user("force_backward: true\n" + python("layer", "Param", tops=["top"]))
    blob = net.params["layer"][0]
    assert blob.data[0] == 0 and net.layers[0].type == "Python" and len(net.params["layer"]) == 1
    blob.data[0] = 1
    net.forward()
    assert (net.blobs["top"].data == 1).all()
    net.backward()
    net.backward()
    assert blob.diff[0] == 2
    net.save("p.caffemodel")
    text = Path("user.prototxt").read_text()
    other = user(text)
    assert other.params["layer"][0].data[0] == 0
    other.copy_from("p.caffemodel")
    assert other.params["layer"][0].data[0] == 1
    third = user(text)
    third.share_with(net)
    blob.data[0] = 5
    assert third.params["layer"][0].data[0] == 5


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_python_layer_phase(user, phase):
    assert user(python("layer", "Phase"), phase).forward()["layer"] == phase


def test_param_str_forward_and_backward(user):
    net = user(chain("Times", "10", "2"))
    net.blobs["data"].data[...] = np.arange(720).reshape(10, 9, 8)
    net.forward()
    np.testing.assert_array_equal(net.blobs["two"].data, 20 * net.blobs["data"].data)
    net.blobs["two"].diff[...] = 7
    net.backward()
    assert (net.blobs["data"].diff == 140).all()

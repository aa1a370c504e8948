"""Threads and nets: two in one net at a time are told so, nets of their own give each thread its numbers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import caffe
from tests.bvlc import run_bvlc
from tests.forked import in_child

FILL = 'weight_filler { type: "xavier" } bias_filler { type: "uniform" }'
NET = f"""
name: "mine"
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 dim: 24 dim: 24 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: 16 kernel_size: 3 {FILL} }} }}
layer {{ name: "r" type: "ReLU" bottom: "c" top: "c" }}
layer {{ name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "p" top: "ip" inner_product_param {{ num_output: 5 {FILL} }} }}
"""
TRAIN = NET.replace('"Input" top: "x" input_param {', '"DummyData" top: "x" top: "t" dummy_data_param { data_filler { '
                    'type: "gaussian" } shape { dim: 2 dim: 5 }').replace(
    "shape { dim: 2 dim: 5 } shape { dim: 2 dim: 3 dim: 24 dim: 24 }",
    "shape { dim: 2 dim: 3 dim: 24 dim: 24 } shape { dim: 2 dim: 5 }") + (
    'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }')
WORDS = (r"net 'mine': another thread is running it, and their values would mix. Hold one threading.Lock .*"
         r"net.share_with\(other\)")


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("train.prototxt").write_text(TRAIN)
    Path("solver.prototxt").write_text('net: "train.prototxt" base_lr: 0.01 lr_policy: "fixed" random_seed: 2')
    caffe.set_random_seed(1)


class Elsewhere:
    """Another thread that is in the middle of something while the block runs: `work` calls what it is given there."""

    def __init__(self, work):
        self._there, self._go_on, self.error = threading.Event(), threading.Event(), None
        self._thread = threading.Thread(target=self._run, args=(work,))

    def _run(self, work):
        try:
            work(self._stay)
        except Exception as error:
            self.error = error
        self._there.set()

    def _stay(self, *_):
        self._there.set()
        assert self._go_on.wait(60)

    def __enter__(self):
        self._thread.start()
        assert self._there.wait(60) and self.error is None
        return self

    def __exit__(self, *_):
        self._go_on.set()
        self._thread.join(60)
        assert not self._thread.is_alive() and self.error is None


def forward_with_a_hook(net):
    def work(stay):
        net.before_forward(lambda i: stay() if i == 1 else None)
        net.forward()
    return work


@pytest.mark.parametrize("call", [
    "net.forward()", "net.forward(x=np.full((2, 3, 24, 24), 7))", "net.forward_all(x=np.full((2, 3, 24, 24), 7))",
    "net._forward(0, 1)", "net.forward_from_to(0, 1)", "net.backward()", "net.backward(ip=np.ones((2, 5)))",
    "net._backward(4, 0)", "net.reshape()", "net.clear_param_diffs()", 'net.copy_from("w.caffemodel")',
    'net.load_hdf5("w.h5")', 'net.save("x.caffemodel")', 'net.save_hdf5("x.h5")', "net.share_with(other)"])
def test_a_second_thread_is_told(call):
    net, other = caffe.Net("net.prototxt", caffe.TEST), caffe.Net("net.prototxt", caffe.TEST)
    other.save("w.caffemodel")
    other.save_hdf5("w.h5")
    net.blobs["x"].data[...] = 1
    want, weights = net.forward()["ip"].copy(), net.params["c"][0].data.copy()
    with Elsewhere(forward_with_a_hook(net)):
        with pytest.raises(caffe.NetError, match=WORDS):
            exec(call, {"net": net, "other": other, "np": np})
    np.testing.assert_array_equal(net.blobs["ip"].data, want)
    np.testing.assert_array_equal(net.params["c"][0].data, weights)
    assert (net.blobs["x"].data == 1).all() and not Path("x.caffemodel").exists()
    exec(call, {"net": net, "other": other, "np": np})  # its turn now


@pytest.mark.parametrize("call", ["solver.net.forward()", "solver.net.backward()", "solver.step(1)", "solver.solve()",
                                  'solver.net.save("x.caffemodel")', "solver.snapshot()"])
def test_a_solver_in_its_steps_has_the_turn(call):
    solver = caffe.SGDSolver("solver.prototxt")
    steps = []

    def work(stay):
        solver.add_callback(lambda: stay() if not steps else None, lambda: steps.append(1))
        solver.step(3)

    with Elsewhere(work), pytest.raises(caffe.NetError, match=WORDS):
        exec(call, {"solver": solver})
    assert solver.iter == len(steps) == 3
    solver.net.forward()


def test_looking_at_a_blob_that_is_still_to_be_computed_takes_the_turn():
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.blobs["x"].data[...] = np.random.RandomState(0).rand(2, 3, 24, 24)
    net.forward()
    assert net._plan is not None

    def work(stay):
        with net.turn:
            stay()

    with Elsewhere(work), pytest.raises(caffe.NetError, match=WORDS):
        net.blobs["c"].data.sum()
    got = net.blobs["c"].data.copy()
    caffe.set_plans(False)
    try:
        net.forward()
    finally:
        caffe.set_plans(True)
    np.testing.assert_allclose(got, net.blobs["c"].data, rtol=1e-5, atol=1e-6)


def test_an_error_ends_the_turn():
    net = caffe.Net("net.prototxt", caffe.TEST)

    def fail(i):
        raise ValueError("mine")

    net.after_forward(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="mine"):
            net.forward()
    with Elsewhere(lambda stay: stay()):
        pass
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="mine"):
        pool.submit(net.forward).result()


WITHIN = '''
with open("net.prototxt", "w") as file:
    file.write("force_backward: true" + str(inp["text"]))
caffe.set_random_seed(1)
net = caffe.Net("net.prototxt", caffe.TEST)
net.blobs["x"].data[...] = np.random.RandomState(0).rand(2, 3, 24, 24)
order = []

def hook(i):
    order.append(i)
    if i == 4 and order.count(4) == 1:
        net.blobs["x"].data[...] *= 2
        net.forward(start="in", end="p")
        net.reshape()

def back(i):
    if i == 2 and len(order) < 20:
        order.append(9)
        net.forward()

net.before_forward(hook)
net.after_backward(back)
out["y"] = net.forward()["ip"].copy()
out["dx"] = net.backward(ip=np.ones((2, 5)))["x"].copy()
out["order"] = np.array(order)
'''


def test_hooks_may_run_the_net_as_in_genuine_caffe():
    out = {}
    exec(WITHIN, {"caffe": caffe, "np": np, "inp": {"text": NET}, "out": out})
    assert out["order"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 9, 0, 1, 2, 3, 4]
    want = run_bvlc(WITHIN, text=np.array(NET))
    for name, value in want.items():
        np.testing.assert_allclose(out[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_nets_that_share_weights_give_each_thread_its_numbers(phase):
    images = np.random.RandomState(0).rand(6, 2, 3, 24, 24)
    nets = [caffe.Net("net.prototxt", phase) for _ in range(3)]
    for net in nets[1:]:
        net.share_with(nets[0])
    want = [{name: array.copy() for name, array in nets[0].forward(["c"], x=image).items()} for image in images]

    def work(net):
        found = []
        for i in range(24):
            found.append({name: array.copy() for name, array in net.forward(["c"], x=images[i % 6]).items()})
            if phase == caffe.TRAIN:
                net.backward()
        return found

    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(work, nets):
            for i, values in enumerate(found):
                for name, value in values.items():
                    np.testing.assert_allclose(value, want[i % 6][name], rtol=1e-5, atol=1e-6)


def test_a_lock_makes_one_net_serve_several_threads():
    images, lock = np.random.RandomState(0).rand(6, 2, 3, 24, 24), threading.Lock()
    net = caffe.Net("net.prototxt", caffe.TEST)
    want = [net.forward(x=image)["ip"].copy() for image in images]

    def work(i):
        with lock:
            return net.forward(x=images[i % 6])["ip"].copy()

    with ThreadPoolExecutor(4) as pool:
        for i, got in enumerate(pool.map(work, range(60))):
            np.testing.assert_allclose(got, want[i % 6], rtol=1e-5, atol=1e-6)


def test_the_child_of_a_fork_takes_the_turn_of_a_thread_that_it_has_not():
    net = caffe.Net("net.prototxt", caffe.TEST)
    want = net.forward()["ip"].copy()
    with Elsewhere(forward_with_a_hook(net)):
        net_of_child = in_child(lambda: _without_hooks(net).forward()["ip"].copy())
    np.testing.assert_array_equal(net_of_child, want)


def _without_hooks(net):
    net._hooks["before_forward"].clear()
    return net

"""A training on a device does not wait for it: no value is read by the host, and the numbers are still Caffe's.

The stand-in device (test_gpu.py) tells which way layers go; the ways for a device are held to those of the CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common
from caffe._caffe.blob import Blob
from caffe._caffe.cached import Cached
from caffe._caffe.kernels import upsampling
from caffe._caffe.layers.softmax_with_loss import SoftmaxWithLossLayer
from tests.caffe.gradient_checker import backward, forward, make_layer
from tests.caffe.test_gpu import needs_cuda

DROP = 'layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" }\n'
NET = """layer { name: "in" type: "Input" top: "data" top: "label" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 }
  shape { dim: 1 dim: 1 dim: 32 dim: 32 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 3
  pad: 1 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
DROPlayer { name: "score" type: "Convolution" bottom: "pool" top: "score" convolution_param { num_output: 4
  kernel_size: 1 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "up" type: "Deconvolution" bottom: "score" top: "up" param { lr_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 bias_term: false } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "crop" crop_param { axis: 2 offset: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "crop" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 } }
""".replace("DROP", DROP)
FIXED = 'base_lr: 0.1 lr_policy: "fixed" weight_decay: 0.01 random_seed: 4 iter_size: 2 '
DEVICES = ["stand-in", pytest.param("cuda", marks=needs_cuda)]


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    """Return what makes layers compute on the device from then on."""
    one = torch.device("cuda", 0) if request.param == "cuda" else torch.device("cpu")
    yield lambda: monkeypatch.setattr(common._state, "device", one)


def trained(steps, rule="SGD", watch=lambda: None):
    """Return a solver after some steps on images that a script writes."""
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text('net: "net.prototxt" ' + FIXED + ("momentum: 0.9 " if rule in "SGD Nesterov Adam"
                                                                         else ""))
    solver = getattr(caffe, f"{rule}Solver")("solver.prototxt")
    weight, rng = solver.net.params["up"][0].data, np.random.default_rng(0)
    weight[range(4), range(4)] = 0.25
    for step in range(steps):
        solver.net.blobs["data"].data[...] = rng.normal(size=(1, 3, 32, 32))
        solver.net.blobs["label"].data[...] = rng.choice([0, 1, 2, 3, 255], (1, 1, 32, 32))
        if step == 2:
            watch()
        solver.step(1)
    return solver


@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_no_value_is_read_by_the_host(device, monkeypatch, tmp_path, rule):
    monkeypatch.chdir(tmp_path)
    looks = []
    look = SoftmaxWithLossLayer._look

    def looked(layer, on_host, index, valid):
        looks.append(on_host)
        return look(layer, on_host, index, valid)

    def watch():
        for name in ("__bool__", "__float__", "__int__", "__index__", "item", "nonzero", "cpu"):
            monkeypatch.setattr(torch.Tensor, name, lambda self, *a, name=name: pytest.fail(f"{name} of a value"))
        monkeypatch.setattr(SoftmaxWithLossLayer, "_look", looked)

    device()
    solver = trained(5, rule, watch)
    monkeypatch.undo()
    assert len(looks) == 3 and all(labels.device == common.CPU for labels in looks), "once a label image, on the host"
    assert solver.iter == 5


@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_the_training_is_the_cpus(device, monkeypatch, tmp_path, rule):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(globals(), "NET", NET.replace(DROP, ""))  # other masks (DEVIATION D14)
    want = trained(4, rule)
    wanted = {name: [blob.data.copy() for blob in blobs] for name, blobs in want.net.params.items()}
    device()
    got = trained(4, rule)
    for name, blobs in wanted.items():
        for mine, theirs in zip(got.net.params[name], blobs, strict=True):
            np.testing.assert_allclose(mine.data, theirs, atol=1e-4 * np.abs(theirs).max(), err_msg=name)
    for mine, theirs in zip(got._history(), want._history(), strict=True):
        np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-3, atol=1e-6)


def test_what_is_frozen_moves_on_while_it_has_momentum(device, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def weights():
        solver = trained(2)
        solver.net.params_lr[0] = 0.0  # conv's weight: its history is not 0
        found = [solver.net.params["conv"][0].data.copy()]
        for _ in range(2):
            solver.step(1)
            found.append(solver.net.params["conv"][0].data.copy())
        return found

    monkeypatch.setitem(globals(), "NET", NET.replace(DROP, ""))  # other masks (DEVIATION D14)
    want = weights()
    device()
    got = weights()
    assert (want[1] != want[0]).any() and (want[2] != want[1]).any()
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


# -- answers that are remembered ---------------------------------------------------------------


def test_an_answer_is_asked_for_again_after_a_write(device):
    device()
    blob, asked, memory = Blob(4), [], Cached()

    def answer():
        return memory.of(blob, lambda: asked.append(1) or float(blob.read_data().sum()))

    assert [answer(), answer()] == [0, 0] and len(asked) == 1
    view = blob.data
    view[...] = 1
    assert [answer(), answer()] == [4, 4] and len(asked) == 2
    blob.edit_data().add_(1)
    assert [answer(), answer()] == [8, 8] and len(asked) == 3
    blob.write_data().fill_(3)
    assert answer() == 12
    blob.load_data(torch.full((4,), 2.0))
    assert answer() == 8
    blob.reshape(2)
    assert answer() == 4
    held = blob.tensor
    assert answer() == 4
    held.fill_(7)
    assert answer() == 14, "who has the tensor writes unseen"


def test_on_the_cpu_it_is_asked_each_time():
    blob, memory = Blob(2), Cached()
    view = blob.data
    for value in (1, 2):
        view[...] = value
        assert memory.of(blob, lambda: float(blob.read_data().sum())) == 2 * value


@pytest.mark.parametrize("where", ["view", "tensor"])
def test_an_edited_kernel_is_seen(device, where):
    device()
    x = np.random.default_rng(1).normal(size=(1, 3, 5, 4))
    layer, bottom, top = make_layer('type: "Deconvolution" convolution_param { num_output: 3 kernel_size: 4 stride: 2 '
                                    'bias_term: false }', [x])
    weight = layer.blobs[0]
    weight.data[range(3), range(3)] = 1
    forward(layer, bottom, top)
    apart = top[0].data.copy()
    if where == "view":
        weight.data[0, 1] = 1
    else:
        held = weight.tensor
        forward(layer, bottom, top)
        held[0, 1] = 1
    forward(layer, bottom, top)
    np.testing.assert_allclose(top[0].data[:, 1] - apart[:, 1], apart[:, 0], atol=1e-5)


# -- values that are not finite ----------------------------------------------------------------


def case(text, x, device=None):
    """Return top and bottom's gradient of a layer whose kernels are diagonal, if it has any."""
    if device is not None:
        device()
    layer, bottom, top = make_layer(text, [x])
    if layer.blobs:
        weight = layer.blobs[0]
        own = np.random.default_rng(5).normal(size=weight.shape[2:]).astype(np.float32)
        weight.data[...] = 0
        weight.data[range(len(x[0])), range(len(x[0]))] = own
    forward(layer, bottom, top)
    tops = [blob.data.copy() for blob in top]
    dy = np.random.default_rng(6).normal(size=tops[0].shape)
    if "Deconv" in text:
        dy[0, 1, 3, 2], dy[0, 0, 5, 5] = np.nan, np.inf
    top[0].diff[...] = dy
    backward(layer, top, [True], bottom)
    return [*tops, bottom[0].diff.copy()]


@pytest.mark.parametrize("kernel", ["kernel_size: 4 stride: 2", "kernel_size: 4 stride: 2 pad: 1",
                                    "kernel_size: 5 stride: 2", "kernel_size: 4 kernel_size: 6 stride: 2 stride: 3"])
def test_inf_and_nan_reach_what_they_reach_in_full(device, kernel):
    x = np.random.default_rng(2).normal(size=(2, 3, 6, 5)).astype(np.float32)
    x[0, 0, 1, 1], x[0, 2, 4, 2], x[1, 1, 0, 0] = np.nan, np.inf, -np.inf
    text = f'type: "Deconvolution" convolution_param {{ num_output: 3 bias_term: false {kernel} }}'
    want = case(text, x)
    got = case(text, x, device)
    for a, b in zip(got, want, strict=True):
        assert np.isnan(b).any() and np.isfinite(b).any()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # NaN where NaN, inf where inf


def test_values_are_poisoned_by_other_channels_alone():
    x = torch.ones(1, 3, 2, 2)
    x[0, 1, 0, 0] = float("inf")
    found = upsampling.poisoned(x)
    assert found[0, :, 0, 0].isnan().tolist() == [True, False, True] and found[0, 1, 0, 0] == float("inf")
    assert (found[0, :, 1] == 1).all() and (found[0, :, 0, 1] == 1).all()


@pytest.mark.parametrize("window", ["kernel_size: 2 stride: 2", "kernel_size: 3 stride: 2 pad: 1",
                                    "kernel_size: 3 stride: 1 round_mode: FLOOR", "kernel_size: 2 stride: 3 pad: 1"])
def test_the_largest_of_what_is_not_finite(device, window):
    x = np.random.default_rng(3).normal(size=(2, 9, 7, 8)).astype(np.float32)
    x[0, 0] = -np.inf
    x[0, 1, :3] = np.nan
    x[1, 2, 2:5, 2:5] = np.inf
    x[1, 3] = -3.4028235e38
    text = f'type: "Pooling" pooling_param {{ {window} }}'
    for bottom in (x, np.nan_to_num(x, nan=0, posinf=1, neginf=0)):
        for a, b in zip(case(text, bottom, device), _on_cpu(text, bottom), strict=True):
            np.testing.assert_array_equal(a, b)


def _on_cpu(text, x):
    one, common._state.device = common._state.device, common.CPU
    try:
        return case(text, x)
    finally:
        common._state.device = one


# -- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy"])
def test_a_label_out_of_range_is_refused_at_once(device, kind):
    device()
    label = np.zeros((1, 1, 4, 4))
    label[0, 0, 2, 3] = 7
    layer, bottom, top = make_layer(f'type: "{kind}"', [np.zeros((1, 3, 4, 4)), label])
    with pytest.raises(caffe.LayerError, match="7"):
        forward(layer, bottom, top)


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "SigmoidCrossEntropyLoss", "Accuracy"])
@pytest.mark.parametrize("where", ["host", "device"])
def test_labels_count_the_same_wherever_they_are(device, monkeypatch, kind, where):
    rng = np.random.default_rng(4)
    param = "accuracy_param { ignore_label: 2 }" if kind == "Accuracy" else (
        "loss_param { ignore_label: 2 normalization: VALID }")
    shape = (2, 1 if kind != "SigmoidCrossEntropyLoss" else 3, 4, 4)
    x, labels = rng.normal(size=(2, 3, 4, 4)), [rng.integers(0, 3, shape).astype(np.float32) for _ in range(2)]

    def values():
        layer, bottom, top = make_layer(f'type: "{kind}" {param}', [x, labels[0]])
        found = []
        for label in labels:
            if where == "host":
                bottom[1].data[...] = label
            else:
                bottom[1].write_data().copy_(torch.from_numpy(label))
            forward(layer, bottom, top)
            found.append(float(top[0].data))
            if kind != "Accuracy":
                top[0].diff[...] = 1
                backward(layer, top, [True, False], bottom)
                found.append(bottom[0].diff.copy())
        return found

    want = values()
    device()
    for a, b in zip(values(), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

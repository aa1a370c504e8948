"""The other device: every layer's numbers on CUDA against the CPU's, and, without CUDA, with a stand-in for its memory.

The stand-in is a second device of type "cpu": blobs keep a buffer apart for it, as for a GPU, so that a layer which
mixes host and device, or forgets to say what it wrote, gets other numbers than on the CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common
from caffe._caffe.blob import Blob
from tests.caffe import corpus_cases, elementary_cases, spatial_cases
from tests.caffe.layer_case import run
from tests.reference import record_net, record_solver

CASES = {case.name: case for case in [*elementary_cases.CASES, *spatial_cases.CASES, *corpus_cases.CASES]}
FORWARD, BACKWARD = 1e-4, 1e-4  # relative; other kernels, TF32 off
# dropout masks on the GPU are torch's (DEVIATION D14)
FCN = "".join(line + "\n" for line in record_solver.FCN.splitlines() if "Dropout" not in line)
needs_cuda = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]


@pytest.fixture(params=["stand-in", pytest.param("cuda", marks=needs_cuda)])
def device(request, monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    # a device object of its own: equal to the tensors' device, but not the one that means "no device"
    one = torch.device("cuda", 0) if request.param == "cuda" else torch.device("cpu")
    assert one is not common.CPU

    class On:
        name = request.param

        def __enter__(self):
            monkeypatch.setattr(common._state, "device", one)

        def __exit__(self, *what):
            monkeypatch.setattr(common._state, "device", common.CPU)

    yield On()
    monkeypatch.setattr(common._state, "device", common.CPU)


def agree(got, want, bound, who):
    assert got.shape == want.shape, who
    largest = max(np.abs(want[np.isfinite(want)]).max(initial=0), 1e-30)
    np.testing.assert_allclose(got, want, rtol=0, atol=bound * largest, err_msg=who)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_gives_the_cpus_numbers(name, device):
    if name.startswith("dropout") and device.name == "cuda":
        pytest.skip("masks on the GPU are torch's (DEVIATION D14); see below")
    want = run(CASES[name])
    with device:
        got = run(CASES[name])
    assert set(got) == set(want)
    for key, values in want.items():
        agree(got[key], values, BACKWARD if "diff" in key else FORWARD, f"{name} {key}")


def test_every_net_gives_the_cpus_numbers(device):
    want, got = {}, {}
    for out in (want, got):
        names = {"np": np, "caffe": caffe, "inp": record_net.questions(), "out": out}
        if out is want:
            exec(record_net.SCRIPT, names)
        else:
            with device:
                exec(record_net.SCRIPT, names)
    assert list(got) == list(want)
    for key, values in want.items():
        if key != "facts":
            agree(got[key], values, BACKWARD, key)


def test_training_follows_the_cpus_losses(device):
    def losses():
        Path("net.prototxt").write_text(FCN)
        Path("solver.prototxt").write_text(
            'net: "net.prototxt" base_lr: 0.01 lr_policy: "step" gamma: 0.5 stepsize: 3 momentum: 0.9 '
            "weight_decay: 0.01 clip_gradients: 5 iter_size: 2 random_seed: 3 snapshot_prefix: \"s\"")
        solver = caffe.SGDSolver("solver.prototxt")
        found = []
        for _ in range(5):
            solver.step(1)
            found.append([float(solver.net.blobs[name].data.sum()) for name in solver.net.outputs])
        solver.snapshot()
        again = caffe.SGDSolver("solver.prototxt")
        again.restore("s_iter_5.solverstate")
        assert again.iter == 5
        for name, blobs in solver.net.params.items():
            for mine, theirs in zip(again.net.params[name], blobs, strict=True):
                np.testing.assert_array_equal(mine.data, theirs.data)
        return np.array(found)

    want = losses()
    with device:
        got = losses()
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_head_of_memory_follows_who_wrote_last(device):
    blob = Blob(2, 3)
    view = blob.data
    with device:
        view[...] = 1
        assert blob.read_data().sum() == 6
        assert np.shares_memory(blob.data, view), "the host's address never moves"
        blob.data[...] = 2
        blob.edit_data().add_(1)
        assert (blob.data == 3).all() and (view == 3).all()
        blob.write_data().fill_(5)
    assert (blob.read_data() == 5).all(), "back on the CPU, what the device wrote is there"
    blob.edit_data().mul_(2)
    with device:
        assert (blob.read_data() == 10).all()
        blob.reshape(3)
        assert blob.read_data().tolist() == [10] * 3
        assert Blob(4).read_diff().tolist() == [0] * 4
        blob.reshape(50)
        assert (blob.read_data() == 0).all()
    assert (view == 10).all(), "old memory stays with its view"


def test_a_range_started_on_one_device_ends_on_the_other(device):
    Path("net.prototxt").write_text(FCN)
    caffe.set_random_seed(1)
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    names = list(net._layer_names)
    half = len(names) // 2
    loss = net.forward()
    want = {name: np.array(value) for name, value in loss.items()}
    net.backward()
    grads = [blob.diff.copy() for blob in net.learnable_params]
    net.clear_param_diffs()
    with device:
        net.forward(start=names[1], end=names[half])
    net.forward(start=names[half + 1])
    net.backward(end=names[half + 1])
    with device:
        net.backward(start=names[half])
    for name, value in want.items():
        agree(net.blobs[name].data, value, FORWARD, name)
    for got, blob in zip(net.learnable_params, grads, strict=True):
        agree(got.diff, blob, 1e-3, "gradient")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_dropout_on_the_gpu_keeps_the_share():
    from tests.caffe.gradient_checker import forward, make_layer

    caffe.set_mode_gpu()
    try:
        layer, bottom, top = make_layer('type: "Dropout" dropout_param { dropout_ratio: 0.3 }', [np.ones((100, 100))])
        forward(layer, bottom, top)
        kept = top[0].data != 0
        assert abs(kept.mean() - 0.7) < 0.03
        np.testing.assert_allclose(top[0].data[kept], 1 / 0.7, rtol=1e-6)
    finally:
        caffe.set_mode_cpu()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_set_device_refuses_a_number_that_is_not_there():
    with pytest.raises(caffe.CaffeError, match="want 0 to"):
        caffe.set_device(99)

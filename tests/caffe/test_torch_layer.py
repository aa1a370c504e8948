"""Users' own layers in torch: gradients, files, solvers, fields, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe import layers as L  # noqa: N812
from caffe._caffe import layer_factory
from caffe._caffe.files import own_fields, proto_pool
from caffe.proto import caffe_pb2
from tests.caffe.net_cases import dummy, full, layer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-layers.md"


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """Leave types and message classes as they were."""
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    caffe.layer_type_list()
    monkeypatch.setattr(layer_factory, "_registry", dict(layer_factory._registry))
    for name in ("_tables", "_numbers"):
        monkeypatch.setattr(own_fields, name, {})
    messages, enums, file = dict(proto_pool.MESSAGES), dict(proto_pool.ENUMS), proto_pool.FILE
    yield
    proto_pool.MESSAGES.clear()
    proto_pool.MESSAGES.update(messages)
    proto_pool.ENUMS.update(enums)
    proto_pool.FILE = file
    caffe_pb2.publish()


def net(text, phase=caffe.TRAIN, seed=1, **more):
    Path("net.prototxt").write_text(text)
    caffe.set_random_seed(seed)
    return caffe.Net("net.prototxt", phase, **more)


def register_linear():
    @caffe.register_torch_layer("Linear", fields={"num_output": int, "bias": True})
    class Linear(torch.nn.Module):
        def __init__(self, bottom_shapes, num_output, bias):
            super().__init__()
            self.inner = torch.nn.Linear(bottom_shapes[0][1], num_output, bias)

        def forward(self, x):
            return self.inner(x)

    return Linear


LINEAR = layer("b", "Linear", ["a"], ["b"], "linear_param { num_output: 2 } param { lr_mult: 3 }")
BUILT_IN = layer("b", "InnerProduct", ["a"], ["b"], "inner_product_param { num_output: 2 } param { lr_mult: 3 }")
HEAD = dummy("data", 4, 3) + dummy("target", 4, 2) + full("a", "data") + layer("r", "ReLU", ["a"], ["a"])
TAIL = layer("loss", "EuclideanLoss", ["b", "target"], ["loss"])


def test_trains_as_the_built_in_layer_does():
    register_linear()
    runs = []
    for text in (LINEAR, BUILT_IN):
        Path("net.prototxt").write_text(HEAD + text + TAIL)
        Path("solver.prototxt").write_text(
            'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 iter_size: 2 '
            'snapshot_prefix: "s" random_seed: 3')
        solver = caffe.SGDSolver("solver.prototxt")
        rng = np.random.default_rng(0)
        for params in solver.net.params.values():
            for blob in params:
                blob.data[...] = rng.normal(size=blob.shape)
        caffe.set_random_seed(4)  # the data: only the torch layer drew a seed for its first values
        solver.step(5)
        solver.snapshot()
        runs.append([b.data.copy() for name in ("a", "b") for b in solver.net.params[name]])
        runs[-1] += [solver.net.blobs["a"].diff.copy(), *(b.diff.copy() for b in solver.net.params["b"])]
    for ours, want in zip(*runs, strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-6)
    saved = caffe_pb2.NetParameter.FromString(Path("s_iter_5.caffemodel").read_bytes())
    assert saved.layer[-1].name == "loss"


def test_bottoms_are_overwritten_and_parameters_accumulate():
    register_linear()
    n = net(HEAD + LINEAR + TAIL)
    n.forward()
    n.clear_param_diffs()
    n.blobs["a"].diff[...] = 99
    n.backward()
    bottom, params = n.blobs["a"].diff.copy(), [b.diff.copy() for b in n.params["b"]]
    n.backward()
    np.testing.assert_array_equal(n.blobs["a"].diff, bottom)
    for once, blob in zip(params, n.params["b"], strict=True):
        assert np.abs(once).max() > 0
        np.testing.assert_allclose(blob.diff, 2 * once, rtol=1e-6)


def test_edits_between_forward_and_backward_count():
    register_linear()
    n = net(HEAD + LINEAR + TAIL)
    n.forward()
    n.params["b"][0].data[...] = 0
    n.backward()
    assert (n.blobs["a"].diff == 0).all() and n.blobs["b"].diff.any()


def test_frozen_parameters_and_nets_without_backward():
    register_linear()
    frozen = LINEAR.replace("lr_mult: 3", "lr_mult: 0")
    n = net(HEAD + frozen + TAIL)
    n.forward()
    n.params["b"][0].diff[...] = 7
    n.backward()
    assert (n.params["b"][0].diff == 7).all() and n.params["b"][1].diff.any()
    deploy = net(HEAD + LINEAR, caffe.TEST)
    deploy.forward()
    assert not deploy.layers[-1]._outs[0].requires_grad and not deploy.layers[-1].need_backward
    forced = net("force_backward: true\n" + HEAD + LINEAR, caffe.TEST)
    forced.forward()
    forced.blobs["b"].diff[...] = 1
    forced.backward()
    want = np.ones((4, 2)) @ forced.params["b"][0].data
    np.testing.assert_allclose(forced.blobs["a"].diff, want * (forced.blobs["a"].data > 0), rtol=1e-6)


def test_saved_copied_and_shared():
    register_linear()
    n = net(HEAD + LINEAR)
    n.save("w.caffemodel")
    n.save_hdf5("w.h5")
    for weights in ("w.caffemodel", "w.h5"):
        m = net(HEAD + LINEAR, seed=2, weights=weights)
        for mine, theirs in zip(m.params["b"], n.params["b"], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)
    m = net(HEAD + LINEAR, seed=2)
    assert (m.params["b"][0].data != n.params["b"][0].data).any()
    m.share_with(n)
    n.params["b"][0].data[...] = 0
    n.params["b"][1].data[...] = 5
    m.forward()
    assert (m.blobs["b"].data == 5).all()
    twice = full("t", "data", n=2) + "".join(
        layer(name, "Linear", [bottom], [name],
              'linear_param { num_output: 2 } param { name: "w" } param { name: "c" }')
        for name, bottom in (("p", "t"), ("q", "p")))
    shared = net(dummy("data", 4, 3) + twice)
    assert shared.params["p"][0].shares_data_with(shared.params["q"][0]) and len(shared.learnable_params) == 4


def test_seed_decides_first_values_and_torchs_generator_is_left_alone():
    register_linear()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = (net(HEAD + LINEAR, seed=s).params["b"][0].data.copy() for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any() and torch.equal(state, torch.get_rng_state())


def test_buffers_are_kept_saved_and_never_learned():
    @caffe.register_torch_layer("TorchNorm")
    class TorchNorm(torch.nn.Module):
        def __init__(self, bottom_shapes):
            super().__init__()
            self.norm = torch.nn.BatchNorm2d(bottom_shapes[0][1], momentum=0.5)

        def forward(self, x):
            return self.norm(x)

    text = dummy("data", 4, 3, 2, 2) + layer("n", "TorchNorm", ["data"], ["n"], "loss_weight: 1")
    n = net(text)
    n.forward()
    assert [b.shape for b in n.params["n"]] == [(3,)] * 4  # weight, bias, running_mean, running_var
    assert n.params_lr == [1, 1, 0, 0] and n.params_weight_decay == [1, 1, 0, 0]
    mean = n.blobs["data"].data.mean((0, 2, 3))
    np.testing.assert_allclose(n.params["n"][2].data, mean / 2, atol=1e-6)
    n.backward()
    assert not n.params["n"][2].diff.any() and n.params["n"][1].diff.tolist() == [16, 16, 16]
    n.save("n.caffemodel")
    m = net(text, caffe.TEST, weights="n.caffemodel")
    before = [b.data.copy() for b in m.params["n"]]
    m.forward()
    for blob, value in zip(m.params["n"], before, strict=True):
        np.testing.assert_array_equal(blob.data, value)
    want = (m.blobs["data"].data - before[2][:, None, None]) / np.sqrt(before[3][:, None, None] + 1e-5)
    np.testing.assert_allclose(m.blobs["n"].data, want, atol=1e-5)
    with pytest.raises(caffe.LayerError, match="param 2 is the buffer 'norm.running_mean', which does not learn"):
        net(text.replace("loss_weight: 1", "param {} " * 3))


def test_losses_weights_and_labels():
    @caffe.register_torch_layer("Cross", loss=True)
    def cross(scores, label):
        return torch.nn.functional.cross_entropy(scores, label.long())

    head = "force_backward: true\n" + dummy("data", 4, 3) + (
        'layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 4 } '
        "data_filler { value: 2 } } }\n")
    answers = []
    for kind, more in (("Cross", ""), ("SoftmaxWithLoss", ""), ("Cross", "loss_weight: 2.5"), ("Cross", None)):
        tops = [] if more is None else ["loss"]
        n = net(head + full("a", "data") + layer("loss", kind, ["a", "label"], tops, more or ""))
        for i, blob in enumerate(n.params["a"]):
            blob.data[...] = np.random.default_rng(i).normal(size=blob.shape)
        n.blobs["data"].data[...] = 0
        total = n._forward(2, len(n.layers) - 1)
        n.backward()
        answers.append((total, n.blobs["a"].diff.copy()))
    for (total, diff), times in zip(answers, (1, 1, 2.5, 1), strict=True):
        np.testing.assert_allclose(total, times * answers[1][0], rtol=1e-5)
        np.testing.assert_allclose(diff, times * answers[1][1], rtol=1e-5, atol=1e-7)


def test_several_bottoms_and_tops_and_new_shapes():
    @caffe.register_torch_layer("SumAndProduct")
    def both(x, y):
        return x + y, x * y

    text = ("force_backward: true\n" + 'layer { name: "i" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 '
            "dim: 3 } } }\n" + layer("b", "SumAndProduct", ["x", "y"], ["s", "p"]))
    n = net(text)
    for shape in ((2, 3), (5, 1, 2)):
        for name in "xy":
            n.blobs[name].reshape(*shape)
            n.blobs[name].data[...] = np.random.default_rng(ord(name)).normal(size=shape)
        n.reshape()
        assert n.blobs["s"].shape == shape
        n.forward()
        n.blobs["s"].diff[...], n.blobs["p"].diff[...] = 2, 3
        n.backward()
        np.testing.assert_allclose(n.blobs["x"].diff, 2 + 3 * n.blobs["y"].data, rtol=1e-6)
    with pytest.raises(caffe.LayerError, match=r"returns 2 tensor\(s\), but has 1 top\(s\)"):
        net(text.replace('top: "p"', ""))


def test_shapes_that_depend_on_values():
    def positive(x):
        return x[x > 0]

    text = dummy("data", 2, 3) + layer("p", "Positive", ["data"], ["p"])
    caffe.register_torch_layer("Positive")(positive)
    with pytest.raises(caffe.LayerError, match=r"layer 'p' \(Positive\): .*give register_torch_layer a top_shapes"):
        net(text)
    caffe.register_torch_layer("Positive", top_shapes=lambda bottom_shapes: [(1,)])(positive)
    n = net(text)
    n.forward()
    data = n.blobs["data"].data
    np.testing.assert_array_equal(n.blobs["p"].data, data[data > 0])


def test_a_layer_that_raises_leaves_the_net_usable():
    @caffe.register_torch_layer("Picky", top_shapes=lambda shapes: shapes)
    def picky(x):
        if x[0, 0] > 1:
            raise KeyError("mine")
        return 2 * x

    n = net(layer("i", "Input", [], ["x"], "input_param { shape { dim: 1 dim: 2 } }") +
            layer("p", "Picky", ["x"], ["p"]))
    n.blobs["x"].data[...] = 2
    with pytest.raises(KeyError, match="mine"):
        n.forward()
    n.blobs["x"].data[...] = 0.5
    assert n.forward()["p"].tolist() == [[1, 1]]


# -- fields ------------------------------------------------------------------------------------


def test_fields_in_text_in_netspec_and_in_files():
    seen = []

    @caffe.register_torch_layer("ManyFields", fields={
        "on": True, "times": 3, "gain": 0.5, "mode": "sum", "sizes": [int], "must": float})
    def many(x, **fields):
        seen.append(fields)
        return x * fields["gain"]

    n = caffe.NetSpec()
    n.x = L.Input(shape=dict(dim=[1, 2]))
    n.y = L.ManyFields(n.x, gain=4, sizes=[1, 2], on=False)
    text = str(n.to_proto())
    assert "many_fields_param {\n    on: false\n    gain: 4\n    sizes: 1\n    sizes: 2\n  }" in text
    m = net(text)
    assert seen[-1] == {"on": False, "times": 3, "gain": 4, "mode": "sum", "sizes": [1, 2], "must": 0}
    m.save("m.caffemodel")
    saved = caffe_pb2.NetParameter.FromString(Path("m.caffemodel").read_bytes())
    assert list(saved.layer[1].many_fields_param.sizes) == [1, 2]
    field = caffe.LayerParameter.DESCRIPTOR.fields_by_name["many_fields_param"]
    assert field.number == 20000 + 2371707888 % (2**29 - 1 - 20000) and "ManyFields" in caffe.layer_type_list()
    with pytest.raises(caffe.ProtoError, match="no field named \"gains\".* Did you mean 'gain'"):
        net(text.replace("gain:", "gains:"))
    assert own_fields.field_name("HTMLNorm2D") == "html_norm2_d_param"


def test_nets_and_solvers_built_before_go_on():
    before = net(HEAD + layer("b", "InnerProduct", ["a"], ["b"], "inner_product_param { num_output: 2 }"))
    register_linear()
    before.save("b.caffemodel")
    after = net(HEAD + LINEAR, weights="b.caffemodel")
    np.testing.assert_array_equal(after.params["b"][0].data, before.params["b"][0].data)
    after.share_with(before)
    assert after.params["b"][0].shares_data_with(before.params["b"][0])


@pytest.mark.parametrize(("type_name", "fields", "words"), [
    ("ReLU", None, "Layer type ReLU already registered"),
    ("Convolution", {"gain": 1.0}, "already registered"),
    ("Transformation", {"gain": 1.0}, "the schema has TransformationParameter or transformation_param already"),
    ("no name", {"gain": 1.0}, "want letters, digits and _ only"),
    ("Mine", {"Gain": 1.0}, "want small letters"), ("Mine", {"gain": None}, "got None; want a bool, int, float or str"),
    ("Mine", {"gain": "a;b"}, "without ';'"), ("Mine", {"gain": [1.0]}, "or \\[type\\]"),
])
def test_registrations_that_are_refused(type_name, fields, words):
    with pytest.raises(caffe.LayerError, match=words):
        caffe.register_torch_layer(type_name, fields=fields)(lambda x, **_: x)


def test_registering_again_replaces_as_a_notebook_does():
    for gain in (2.0, 3.0):
        @caffe.register_torch_layer("Again", fields={"gain": gain})
        def again(x, gain):
            return gain * x

        n = net(dummy("data", 1, 2) + layer("y", "Again", ["data"], ["y"]))
        n.forward()
        np.testing.assert_allclose(n.blobs["y"].data, gain * n.blobs["data"].data, rtol=1e-6)


def test_no_module_in_place_and_other_results_are_refused():
    with pytest.raises(caffe.LayerError, match="layer type NoModule: dict is not a torch.nn.Module"):
        caffe.register_torch_layer("NoModule")(dict)
    caffe.register_torch_layer("Listed")(lambda x: [1])
    with pytest.raises(caffe.LayerError, match="returned int, want a tensor for every top"):
        net(dummy("data", 1) + layer("y", "Listed", ["data"], ["y"]))
    with pytest.raises(caffe.LayerError, match="does not allow in-place"):
        net(dummy("data", 1) + layer("y", "Listed", ["data"], ["data"]))


def test_the_example_of_the_page_runs(tmp_path):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=240,
                          cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    first, last = map(float, re.fullmatch(r"loss (\S+) -> (\S+)\n", done.stdout).groups())
    assert last < first / 5
    assert (tmp_path / "own_iter_100.caffemodel").exists()

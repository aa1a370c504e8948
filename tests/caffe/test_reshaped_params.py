"""Parameters that a script gives another shape: layers read their memory as they know it, as in genuine Caffe."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from tests.bvlc import run_bvlc

RANDOM = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "uniform" }'
IMAGE = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }\n'
SEQUENCE = ('layer { name: "in" type: "Input" top: "x" top: "cont" input_param { shape { dim: 3 dim: 2 dim: 5 } '
            'shape { dim: 3 dim: 2 } } }\n')
LAYERS = {
    "Convolution": f"convolution_param {{ num_output: 6 group: 3 kernel_size: 3 {RANDOM} }}",
    "Deconvolution": f"convolution_param {{ num_output: 4 kernel_size: 3 {RANDOM} }}",
    "InnerProduct": f"inner_product_param {{ num_output: 4 {RANDOM} }}",
    "Scale": 'scale_param { num_axes: 2 bias_term: true filler { type: "gaussian" } bias_filler { type: "uniform" } }',
    "Bias": 'bias_param { num_axes: 2 filler { type: "gaussian" } }',
    "BatchNorm": "",
    "PReLU": 'prelu_param { filler { type: "gaussian" } }',
    "Embed": f"embed_param {{ input_dim: 6 num_output: 4 {RANDOM} }}",
    "LSTM": f"recurrent_param {{ num_output: 4 {RANDOM} }}",
    "RNN": f"recurrent_param {{ num_output: 4 {RANDOM} }}",
}
PLANNED = ("Convolution", "Deconvolution", "Scale", "Bias", "BatchNorm", "PReLU")  # in nets that may run as a plan
FREE = [kind for kind in LAYERS if kind not in ("Scale", "Bias")]  # these check the shape against their bottom
# A net, run as it is or with one parameter in other shapes; all that can be seen of it.
ASK = '''
import os

def write(path, text):
    with open(path, "w") as file:
        file.write(text)

def built(text):
    write("net.prototxt", text)
    caffe.set_random_seed(3)
    net = caffe.Net("net.prototxt", caffe.TEST)
    rng = np.random.RandomState(1)
    shape = net.blobs["x"].data.shape
    net.blobs["x"].data[...] = rng.randint(0, 6, shape) if "Embed" in text else rng.randn(*shape)
    if "cont" in net.blobs:
        net.blobs["cont"].data[1:] = 1
    if "BatchNorm" in text:
        for blob in net.params["a"]:
            blob.data[...] = rng.rand(*blob.data.shape) + 0.5
    return net

def seen(net):
    found = {}
    net.forward()
    found["y"] = net.blobs[list(net.top_names.values())[-1][0]].data.copy()
    net.blobs["y"].diff[...] = np.random.RandomState(2).randn(*net.blobs["y"].data.shape)
    for blob in net.params["a"]:
        blob.diff[...] = 0.5
    net.backward()
    found["dx"] = net.blobs["x"].diff.copy()
    net.save("saved.caffemodel")
    with open("saved.caffemodel", "rb") as file:
        found["file"] = np.frombuffer(file.read(), np.uint8)
    for i, blob in enumerate(net.params["a"]):
        found["d%d" % i], found["p%d" % i] = blob.diff.copy(), blob.data.copy()
        blob.data[...] = 7
    net.copy_from("saved.caffemodel")
    for i, blob in enumerate(net.params["a"]):
        found["c%d" % i] = blob.data.copy()
    return found

def shapes(count):
    """Return shapes of as many values, and of fewer."""
    return [(count,), (1, 1, count), (max(1, count - 1),), (1,), (0,)]

def cases(text):
    """Return the net as it is, and with each parameter in each of the shapes."""
    found = {"plain": seen(built(text))}
    for i, count in enumerate([blob.count for blob in built(text).params["a"]]):
        for shape in shapes(count):
            for before in (False, True):
                if "steps" in text and shape[-1] != count:
                    continue
                net = built(text)
                if before:
                    net.forward()
                net.params["a"][i].reshape(*shape)
                found["%d %s %s" % (i, shape, before)] = seen(net)
    return found
'''


def text(kind, behind=""):
    head = SEQUENCE if kind in ("LSTM", "RNN") else IMAGE
    forced = "" if kind == "Embed" else "force_backward: true\n"  # its bottom takes no gradient
    more = ' bottom: "cont"' if head == SEQUENCE else ""
    steps = "# steps share weights, whose counts must agree\n" if head == SEQUENCE else ""
    return forced + steps + head + f'layer {{ name: "a" type: "{kind}" bottom: "x"{more} top: "y" {LAYERS[kind]} }}\n' \
        + behind


CONV = ('layer { name: "c" type: "Convolution" bottom: "y" top: "z" convolution_param { num_output: 2 kernel_size: 1 '
        'weight_filler { type: "gaussian" std: 1 } } }\n')
TEXTS = {**{kind: text(kind) for kind in FREE}, **{f"{kind} in a plan": text(kind, CONV) for kind in PLANNED
                                                    if kind in FREE}}


TRAIN = """
layer { name: "in" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 }
  shape { dim: 2 dim: 4 } data_filler { type: "gaussian" } } }
""" + f'layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "y" {LAYERS["InnerProduct"]} }}\n' + """
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


def ours():
    names = {"caffe": caffe, "np": np}
    exec(ASK, names)
    return names


@pytest.mark.parametrize("name", TEXTS)
def test_layers_read_their_parameters_memory(name):
    found = ours()["cases"](TEXTS[name])
    plain = found.pop("plain")
    for case, got in found.items():
        for what in ("y", "dx"):
            # blobs that were looked at stand in another order, whose kernels round otherwise
            np.testing.assert_allclose(got[what], plain[what], rtol=0, atol=2e-6 * np.abs(plain[what]).max(initial=1),
                                       err_msg=case)
        i, shape = int(case[0]), case[case.index("("):case.index(")") + 1]
        for j in range(len([key for key in plain if key[0] == "p"])):
            for part in "pdc":
                values = got[f"{part}{j}"]
                assert j != i or str(values.shape) == shape
                np.testing.assert_allclose(values.ravel(), plain[f"{part}{j}"].ravel()[:values.size], rtol=1e-5,
                                           atol=1e-6, err_msg=f"{case} {part}{j}")


@pytest.fixture(scope="module")
def genuine():
    """Return all cases of all nets, as genuine Caffe has them."""
    return run_bvlc(ASK + """
for name in inp:
    for case, values in cases(str(inp[name])).items():
        for key, value in values.items():
            out["%s|%s|%s" % (name, case, key)] = value
""", **{name: np.array(one) for name, one in TEXTS.items()})


@pytest.mark.parametrize("name", TEXTS)
def test_as_genuine_caffe(name, genuine):
    got = ours()["cases"](TEXTS[name])
    want = {key.split("|", 1)[1]: value for key, value in genuine.items() if key.split("|")[0] == name}
    assert {key.partition("|")[0] for key in want} == set(got)
    for key, value in want.items():
        case, _, part = key.partition("|")
        np.testing.assert_allclose(got[case][part], value, rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
def test_scale_and_bias_check_the_shape_against_their_bottom(kind):
    net = ours()["built"](text(kind, CONV))
    plain = net.forward()["z"].copy()
    net.params["a"][0].reshape(1, 3)
    with pytest.raises(caffe.LayerError, match="layer 'a'.*shape"):
        net.forward()
    net.params["a"][0].reshape(3, 5)
    np.testing.assert_array_equal(net.forward()["z"], plain)


def test_a_solver_updates_as_many_values_as_the_shape_holds():
    script = ASK + '''
write("train.prototxt", str(inp["text"]))
for kind in ("SGD", "Adam"):
    for shape in ((60, 4), (7, 5)):
        write("solver.prototxt", 'net: "train.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 '
              'weight_decay: 0.1 random_seed: 2 type: "%s"' % kind)
        solver = caffe.get_solver("solver.prototxt")
        solver.step(2)
        blob = solver.net.params["a"][0]
        blob.reshape(*shape)
        solver.step(2)
        blob.reshape(4, 60)
        out["%s %s" % (kind, shape)] = blob.data.copy()
'''
    out = {}
    exec(script, {"caffe": caffe, "np": np, "inp": {"text": TRAIN}, "out": out})
    want = run_bvlc(script, text=np.array(TRAIN))
    assert list(out) == list(want)
    for key, value in want.items():
        np.testing.assert_allclose(out[key], value, rtol=1e-4, atol=1e-5, err_msg=key)


def test_d41_what_lies_beyond_the_memory_is_not_read():
    net = ours()["built"](text("InnerProduct"))
    plain, own = net.forward()["y"].copy(), list(net.params["a"])
    net.params["a"][1] = caffe.Blob(3)
    with pytest.raises(caffe.LayerError, match=r"layer 'a' \(InnerProduct\): parameter 1: its memory holds 3 values, "
                                               r"\(4,\) takes 4; give"):
        net.forward()
    net.params["a"][1] = own[1]
    np.testing.assert_array_equal(net.forward()["y"], plain)


def test_d41_a_parameter_larger_than_its_history_is_not_updated():
    names = ours()
    names["write"]("train.prototxt", TRAIN)
    names["write"]("solver.prototxt", 'net: "train.prototxt" base_lr: 0.05 lr_policy: "fixed"')
    solver = caffe.SGDSolver("solver.prototxt")
    solver.net.params["a"][0].reshape(5, 60)
    with pytest.raises(caffe.SolverError, match="learnable parameter 0 has 300 values, its history 240"):
        solver.step(1)

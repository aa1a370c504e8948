"""What scripts put into a net's containers: refused in words, or used as in genuine Caffe; the net still runs."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import caffe
from tests.bvlc import run_bvlc

IN = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 dim: 2 } } }\n'
CONV = ('layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{ num_output: 3 '
        'kernel_size: 1 weight_filler {{ type: "constant" value: {2} }} bias_filler {{ type: "constant" value: {2} }} '
        "}} }}\n")
CONVS = IN + CONV.format("ip", "x", 1) + CONV.format("ip2", "ip", 2)  # may run as a plan
FULL = CONVS.replace("Convolution", "InnerProduct").replace("convolution", "inner_product").replace("kernel_size: 1",
                                                                                                    "")
ARRAY = np.ones((3, 3), np.float32)
WHERE = r"net\.params\['ip'\]"


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=[CONVS, FULL], ids=["plan", "layers"])
def net(request):
    Path("net.prototxt").write_text(request.param)
    return built()


def built():
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.blobs["x"].data[...] = 1
    net.forward()
    return net


def runs_as_before(net):
    got = {name: array.copy() for name, array in net.forward(["x", "ip"]).items()}
    fresh = built().forward(["x", "ip"])
    assert list(got) == list(fresh) == ["ip2", "x", "ip"]
    for name, array in got.items():
        np.testing.assert_array_equal(array, fresh[name])
    return True


@pytest.mark.parametrize(("statement", "error", "words"), [
    ('net.params["ip"][0] = A', TypeError, WHERE + r": got ndarray, want a caffe.Blob; to write values: "
     + WHERE + r"\[0\].data\[...\] = array"),
    ('net.params["ip"][1] = None', TypeError, WHERE + r": got NoneType.*\[1\].data"),
    ('net.params["ip"][0] = A.tolist()', TypeError, "got list"),
    ('net.params["ip"][0:1] = [A]', TypeError, "got ndarray"),
    ('net.params["ip"][:] = net.params["ip2"][:1]', TypeError, "none removed or moved"),
    ('net.params["ip"] += [net.params["ip2"][0]]', TypeError, "one by one"),
    ("net.layers[1].blobs[0] = A", TypeError, WHERE),
    ("net.layers[1].blobs.append(A)", TypeError, WHERE),
    ("net.layers[1].blobs.extend([A])", TypeError, WHERE),
    ('net.layers[1].blobs.insert(0, net.params["ip2"][0])', AttributeError, WHERE),
    ("net.layers[1].blobs.pop()", AttributeError, WHERE),
    ("net.layers[1].blobs.clear()", AttributeError, WHERE),
    ("net.layers[1].blobs.reverse()", AttributeError, WHERE),
    ("del net.layers[1].blobs[1]", TypeError, WHERE),
    ('del net.params["ip"][1:]', TypeError, WHERE),
    ("net.layers[1].blobs = [A]", AttributeError, r"layer 'ip': blobs cannot be set; write layer.blobs\[0\].data"),
    ("net.layers[1] = A", TypeError, r"net.layers\[1\]: got ndarray, want one Layer"),
    ("net.layers[0:1] = []", TypeError, r"net.layers\[:1\]: got list"),
    ("net.layers.append(net.layers[1])", TypeError, "net.layers: a built net has exactly the layers of its prototxt"),
    ("del net.layers[0]", TypeError, "net.layers"),
    ("net.layers += [net.layers[1]]", TypeError, "net.layers"),
    ("net.layers.pop()", AttributeError, "net.layers"),
    ("net.layers = []", AttributeError, "layers"),
    ("net.blobs = {}", AttributeError, "blobs"),
    ("net.params = {}", AttributeError, "params"),
    ('net.blobs["x"].data = A', AttributeError, r"blob.data cannot be set.* write blob.data\[...\] = array"),
    ('net.params["ip"][0].diff = A', AttributeError, r"write blob.diff\[...\] = array"),
    ('net.blobs["x"].shape = (2, 3)', AttributeError, r"write blob.reshape\(\*shape\)"),
    ('net.blobs["x"].width = 5', AttributeError, r"write blob.reshape\(\*shape\)"),
    ('net.blobs["x"].reshape((2, 3))', TypeError, r"Blob.reshape: got \(2, 3\), want integers: blob.reshape\(1, 3"),
    ('net.blobs["x"].reshape(2.0, 3, 2, 2)', TypeError, r"got 2.0, 3, 2, 2, want integers"),
    ('net.blobs["x"].reshape(None)', TypeError, "got None, want integers"),
    ('net.blobs["x"].reshape("2", 3)', TypeError, "got '2', 3, want"),
    ('net.blobs["x"].reshape(-1, 3)', caffe.NetError, "want lengths >= 0"),
    ('net.blobs["x"].reshape(*[1] * 33)', caffe.NetError, "got 33 axes, want 32 at most"),
    ('net.blobs["xx"]', KeyError, "'xx' is not in net.blobs; did you mean x?"),
    ('net.params["ip3"]', KeyError, r"'ip3' is not in net.params; did you mean ip2 or ip\?|ip or ip2"),
    ("pickle.dumps(net)", caffe.NetError, r"net.save\(path\)"),
    ("copy.deepcopy(net)", caffe.NetError, r"net.save\(path\)"),
    ("copy.copy(net)", caffe.NetError, r"net.save\(path\)"),
    ('pickle.dumps(net.params["ip"])', caffe.NetError, r"Blob\(.*blob.data.copy\(\)"),
    ('copy.deepcopy(net.blobs["x"])', caffe.NetError, r"blob.data.copy\(\)"),
    ('copy.copy(net.blobs["x"])', caffe.NetError, r"blob.data.copy\(\)"),
    ("pickle.dumps(net.layers[1])", caffe.LayerError, r"layer 'ip' cannot be pickled or copied"),
    ("copy.deepcopy(net.layer_dict)", caffe.LayerError, "cannot be pickled or copied"),
])
def test_refused_in_words_and_without_harm(net, statement, error, words):
    with pytest.raises(error, match=words):
        exec(statement, {"net": net, "A": ARRAY, "pickle": pickle, "copy": copy})
    assert runs_as_before(net)


@pytest.mark.parametrize(("statement", "words"), [
    ('net.blobs["x"] = A', r"net.blobs\['x'\] = ... changes this dictionary, not the net; to write values: "
                           r"net.blobs\['x'\].data\[...\] = array"),
    ('net.params["ip"] = A', r"net.params\['ip'\]\[0\].data\[...\] = array"),
    ('del net.blobs["x"]', r"del net.blobs\['x'\]"),
    ('net.layer_dict["ip"] = A', "net.layer_dict"),
])
def test_dictionaries_are_the_scripts_own(net, statement, words):
    # Caffe: they are Python's own dictionaries; what is put in goes nowhere. pycaffe.py
    with pytest.warns(UserWarning, match=words):
        exec(statement, {"net": net, "A": ARRAY})
    assert runs_as_before(net)
    np.testing.assert_array_equal(net.forward(x=np.full((2, 3, 2, 2), 2.))["ip2"],
                                  built().forward(x=np.full((2, 3, 2, 2), 2.))["ip2"])


def test_dictionaries_can_be_copied_and_are_ordered(net):
    assert isinstance(net.blobs, OrderedDict) and net.blobs.get("nope") is None and "nope" not in net.blobs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mine in (copy.copy(net.blobs), net.params.copy(), OrderedDict(net.blobs)):
            mine["new"] = ARRAY
    assert list(net.blobs) == ["x", "ip", "ip2"] and list(net.params) == ["ip", "ip2"]


REPLACED = '''
for i, text in enumerate(inp["texts"]):
    for what in ("weight", "both", "slice", "layer", "back"):
        with open("net.prototxt", "w") as file:
            file.write(str(text))
        net = caffe.Net("net.prototxt", caffe.TEST)
        net.blobs["x"].data[...] = 1
        net.forward()
        own = list(net.params["ip"])
        if what == "weight":
            net.params["ip"][0] = net.params["ip2"][0]
        elif what == "slice":
            net.params["ip"][0:2] = net.params["ip2"]
        elif what == "layer":
            net.layers[1] = net.layers[2]
        else:
            net.params["ip"][1] = net.params["ip2"][1]
            net.layers[1].blobs[0] = net.params["ip2"][0]
        if what == "back":
            net.params["ip"][0], net.params["ip"][1] = own
        net.params["ip2"][0].data[0, 0] = 5  # shared by both now
        net.forward()
        for name in ("ip", "ip2"):
            out["%d %s %s" % (i, what, name)] = net.blobs[name].data.copy()
        net.save("saved.caffemodel")
        with open("saved.caffemodel", "rb") as file:
            out["%d %s file" % (i, what)] = np.frombuffer(file.read(), np.uint8)
'''


def test_blobs_and_layers_can_take_the_place_of_others_as_in_genuine_caffe():
    texts = np.array([CONVS, FULL.replace("dim: 2 dim: 2 }", "}")])
    out = {}
    exec(REPLACED, {"caffe": caffe, "np": np, "inp": {"texts": texts}, "out": out})
    assert out["0 weight ip"][0, :, 0, 0].tolist() == [10, 7, 7] and out["0 back ip"][0, :, 0, 0].tolist() == [4, 4, 4]
    want = run_bvlc(REPLACED, texts=texts)
    assert list(out) == list(want)
    for key, value in want.items():
        np.testing.assert_array_equal(out[key], value, err_msg=key)


def test_python_layers_still_add_blobs_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("adding.py").write_text("""
import caffe

class Adding(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(2, 3)
        self.blobs.append(caffe.Blob(4))
        self.blobs.extend([caffe.Blob(5), caffe.Blob(6)])
        del self.blobs[3]
        try:
            self.blobs.append(3)
        except TypeError as error:
            self.text = str(error)
        self.blobs[1] = caffe.Blob(7)

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = len(self.blobs)
""")
    Path("net.prototxt").write_text('layer { name: "a" type: "Python" top: "y" python_param { module: "adding" '
                                    'layer: "Adding" } }')
    net = caffe.Net("net.prototxt", caffe.TEST)
    assert net.forward()["y"].tolist() == [3] and [blob.shape for blob in net.params["a"]] == [(2, 3), (7,), (5,)]
    assert "got int, want a caffe.Blob" in net.layers[0].text


@pytest.mark.parametrize(("call", "error", "words"), [
    ("solver.net = None", AttributeError, "net"), ("solver.test_nets = []", AttributeError, "test_nets"),
    ("solver.iter = 4", AttributeError, "iter"),
    ("pickle.dumps(solver)", caffe.SolverError, r"solver.snapshot\(\)"),
    ("copy.deepcopy(solver)", caffe.SolverError, r"solver.restore\(path\)"),
    ("solver.share_weights(5)", TypeError, "solver.share_weights: got int, want a caffe.Net"),
    ("solver.restore(5)", TypeError, r"solver.restore: got 5 \(int\), want the path of a solverstate"),
    ("solver.solve(b'nope')", caffe.ProtoError, "nope"),
    ("solver.solve(5)", TypeError, "solver.solve: got 5"),
])
def test_solvers(call, error, words):
    Path("net.prototxt").write_text(CONVS.replace('"Input"', '"DummyData"').replace("input_param", "dummy_data_param"))
    Path("solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed"')
    solver = caffe.SGDSolver("solver.prototxt")
    with pytest.raises(error, match=words):
        exec(call, {"solver": solver, "pickle": pickle, "copy": copy})
    solver.step(1)

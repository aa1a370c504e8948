"""Running nets: passes, ranges, edits, weights and files, the same script in genuine Caffe and in ours."""

from __future__ import annotations

import json

import numpy as np
import pytest

import caffe
from tests.bvlc import run_bvlc
from tests.caffe.net_cases import CHAIN, DATA, LOSS, full, layer

BOUND = 2e-5  # relative; single precision, another order of sums
INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
CONV = ('layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 4 } } }\n'
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 kernel_size: 3 '
        'weight_filler { type: "xavier" } } }\n' + layer("r", "ReLU", ["c"], ["c"]) +
        layer("p", "Pooling", ["c"], ["p"], "pooling_param { kernel_size: 2 stride: 2 }"))
NETS = {
    "chain": DATA + CHAIN + LOSS,
    "forced": "force_backward: true\n" + INPUT + full("a", "x") + layer("r", "ReLU", ["a"], ["a"]) +
              full("b", "a", n=2) + full("z", "a", n=2),
    "other": INPUT + full("b", "x", n=4) + full("a", "x"),
    "conv": CONV,
    "shared": "force_backward: true\n" + INPUT + full("a", "x", more='param { name: "w" }') +
              full("b", "a", more='param { name: "w" }') + full("c", "b", n=1),
}
SCRIPT = """
import json
for name, text in json.loads(str(inp["nets"])).items():
    with open(name + ".prototxt", "w") as file:
        file.write(text)
X = np.arange(6, dtype=np.float32).reshape(2, 3) / 4 - 0.5

def net(name, seed=5, phase=caffe.TRAIN):
    caffe.set_random_seed(seed)
    return caffe.Net(name + ".prototxt", phase)

def keep(key, *arrays):
    for i, array in enumerate(arrays):
        out["%s_%d" % (key, i)] = np.array(array, copy=True)

# ranges: what lies outside start ... end keeps its values
n = net("forced")
n.forward(x=X)
n.blobs["a"].data[...] = 0.25
got = n.forward(start="b", end="b")
assert set(got) == {"b"} and set(n.forward(blobs=["a"], start="b")) == {"b", "z", "a"}
keep("range", n.blobs["a"].data, n.blobs["b"].data, n.blobs["z"].data)
keep("range_loss", n._forward(0, 2), n._forward(3, 3))
for blob in n.blobs.values():
    blob.diff[...] = 7
n.blobs["b"].diff[...] = 1
got = n.backward(start="b", end="b")
assert list(got) == n.bottom_names["b"]
keep("range_back", *[b.diff for b in n.blobs.values()])
got = n.backward(diffs=["a"], start="z", end="a", b=X[:, :2], z=X[:, 1:])
assert set(got) == {"a", "x"}
keep("backward_kw", *[b.diff for b in n.blobs.values()] + [b.diff for v in n.params.values() for b in v])

# parameter diffs accumulate, bottom diffs are overwritten
n = net("chain")
n.forward()
n.backward()
keep("once", n.params["a"][0].diff, n.blobs["b"].diff)
n.backward()
keep("twice", n.params["a"][0].diff, n.blobs["b"].diff)
n.clear_param_diffs()
n.backward()
keep("cleared", n.params["a"][0].diff, n.blobs["b"].diff)

# the loss weight lives in the loss's diff; edits between the passes count
n = net("chain")
n.blobs["loss"].diff[...] = 3
keep("tripled_loss", n._forward(0, 4))
n.backward()
keep("tripled", n.params["a"][0].diff)
n.blobs["a"].data[...] *= 2
n.params["b"][0].data[...] += 1
n.clear_param_diffs()
n.backward()
keep("edited", *[b.diff for v in n.params.values() for b in v] + [n.blobs["a"].diff])

# shared parameters gather both gradients
n = net("shared")
n.forward(x=X)
n.blobs["c"].diff[...] = 1
n.backward()
keep("shared", *[b.diff for v in n.params.values() for b in v] + [n.blobs["x"].diff])

# a new shape in every forward
n = net("conv")
for shape in ((1, 2, 5, 4), (2, 2, 7, 9), (1, 2, 3, 3)):
    n.blobs["x"].reshape(*shape)
    n.blobs["x"].data[...] = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    keep("reshaped_" + "_".join(map(str, shape)), n.forward()["p"], list(n.blobs["p"].shape))
n.blobs["x"].reshape(1, 2, 8, 8)
n.reshape()
keep("net_reshape", list(n.blobs["p"].shape))

# hooks: every layer of the range, also those that need no backward
n, calls = net("chain"), []
for kind in ("before_forward", "after_forward", "before_backward", "after_backward"):
    getattr(n, kind)(lambda i, kind=kind: calls.append((kind, i)))
n.forward(start="a", end="b")
n.backward()
keep("hooks", json.dumps(calls))

# batches
n = net("forced")
many = np.arange(15, dtype=np.float32).reshape(5, 3) / 8
outs = n.forward_all(blobs=["a"], x=many)
keep("forward_all", outs["a"], outs["b"], outs["z"])
outs, diffs = n.forward_backward_all(blobs=["a"], diffs=["a", "b"], x=many, b=many[:, :2], z=many[:, 1:])
keep("forward_backward_all", outs["a"], outs["b"], outs["z"], diffs["a"], diffs["b"], diffs["x"])
keep("scalar_fill", n.forward(x=np.array([[1], [2]]))["b"])  # a cast and a broadcast

# weights from another net: by name, data only; then apart again
n, m = net("forced"), net("chain", seed=9)
n.params["a"][0].diff[...] = 7
m.layers  # the target keeps what the source does not have
n2 = net("chain", seed=1)
n2.share_with(m)
m.params["a"][0].data[...] = 0.5
m.params["a"][0].diff[...] = 7
n2.params["a"][0].diff[...] = 1
keep("share_with", n2.params["a"][0].data, n2.params["a"][0].diff, m.params["a"][0].diff)

# files
n = net("forced")
n.params["a"][0].diff[...] = 2
n.save("forced.caffemodel")
keep("saved", np.fromfile("forced.caffemodel", np.uint8))
n = net("conv")
n.save("conv.caffemodel")
keep("saved_conv", np.fromfile("conv.caffemodel", np.uint8))
n = net("shared", seed=2)
n.params["c"][0].data[...] = 9
n.save("shared.caffemodel")
keep("saved_shared", np.fromfile("shared.caffemodel", np.uint8))
del n
m = net("forced", seed=8)
m.copy_from("forced.caffemodel")
keep("copied", *[b.data for v in m.params.values() for b in v])
m = caffe.Net("forced.prototxt", caffe.TEST, weights="forced.caffemodel")
keep("weights_given", m.forward(x=X)["b"])
m = caffe.Net("forced.prototxt", "forced.caffemodel", caffe.TEST)
keep("legacy_form", m.forward(x=X)["b"])

# arrays outlive the net, and stay live while it runs
n = net("forced")
a, w, blobs = n.blobs["a"].data, n.params["a"][0].data, n.blobs
n.forward(x=X)
keep("live", a)
w[...] = 0
n.forward()
keep("live_after_edit", a)
del n
keep("after_del", a, w, blobs["x"].data)

for call, kind in ((lambda n: n.forward(y=X), Exception), (lambda n: n.forward(x=X[:1]), Exception),
                   (lambda n: n.forward(start="nope"), ValueError), (lambda n: n.backward(end="nope"), ValueError),
                   (lambda n: n.backward(b=X), Exception)):
    try:
        call(net("forced"))
    except kind as problem:
        keep("error_%d" % len(out), str(problem).split(".")[0].split(":")[0])
    else:
        raise AssertionError("no error")
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    inp = {"nets": np.array(json.dumps(NETS))}
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOG_minloglevel", "2")
        patch.chdir(tmp_path_factory.mktemp("passes"))
        with pytest.warns(DeprecationWarning, match=r"Net\('net.prototxt', 'weights', phase\) is deprecated"):
            exec(SCRIPT, {"np": np, "caffe": caffe, "inp": inp, "out": out})
    return out


def test_oracle_passes_ranges_edits_and_files(answers):
    theirs = run_bvlc(SCRIPT, nets=np.array(json.dumps(NETS)))
    assert list(answers) == list(theirs) and len(theirs) > 80
    for name, want in theirs.items():
        got = answers[name]
        assert got.shape == want.shape and got.dtype.kind == want.dtype.kind, name
        if want.dtype.kind == "f":
            np.testing.assert_allclose(got, want, rtol=0, atol=BOUND * max(np.abs(want).max(initial=0), 1e-30),
                                       err_msg=name)
        else:  # files byte for byte, names, shapes
            np.testing.assert_array_equal(got, want, err_msg=name)


def test_diffs_of_parameters_accumulate_and_of_bottoms_do_not(answers):
    np.testing.assert_allclose(answers["twice_0"], 2 * answers["once_0"], rtol=1e-6)
    np.testing.assert_array_equal(answers["twice_1"], answers["once_1"])
    np.testing.assert_array_equal(answers["cleared_0"], answers["once_0"])
    np.testing.assert_allclose(answers["tripled_0"], 3 * answers["once_0"], rtol=1e-6)


def test_hooks_in_order(answers):
    calls = json.loads(str(answers["hooks_0"]))
    assert calls[:4] == [["before_forward", 2], ["after_forward", 2], ["before_forward", 3], ["after_forward", 3]]
    # data and target, which need no backward, are called, too
    assert calls[4:] == [[kind, i] for i in (4, 3, 2, 1, 0) for kind in ("before_backward", "after_backward")]


def test_batches_are_stripped_of_padding_whatever_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    (tmp_path / "net.prototxt").write_text(NETS["forced"])
    n = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    many = np.ones((5, 3), np.float32)
    outs, diffs = n.forward_backward_all(blobs=["a"], x=many)
    assert {name: rows.shape for name, rows in outs.items()} == {"a": (5, 3), "b": (5, 2), "z": (5, 2)}
    assert {name: rows.shape for name, rows in diffs.items()} == {"x": (5, 3)}
    assert n.forward_all(x=many[:4])["b"].shape == (4, 2)

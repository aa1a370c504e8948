"""What calls with wrong arguments say: who, what they got, what they want, and the right call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "conv1" type: "InnerProduct" bottom: "x" top: "conv1" inner_product_param { num_output: 4 } }
layer { name: "conv2" type: "InnerProduct" bottom: "conv1" top: "y" inner_product_param { num_output: 4 } }
"""
MEMORY = """
layer { name: "in" type: "MemoryData" top: "x" top: "l" memory_data_param { batch_size: 2 channels: 1 height: 3
  width: 2 } }
"""
IMAGES = np.zeros((4, 1, 3, 2), np.float32)


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("memory.prototxt").write_text(MEMORY)


@pytest.mark.parametrize(("args", "words"), [
    (("net.prototxt", caffe.TEST, "w.caffemodel"), r"got level 'w.caffemodel', want an integer; for weights write "
     r"Net\('net.prototxt', caffe.TEST, weights='w.caffemodel'\)"),
    (("net.prototxt", caffe.TEST, Path("w.caffemodel")), "weights='w.caffemodel'"),
    (("net.prototxt", "w.caffemodel"), "got phase 'w.caffemodel', want caffe.TRAIN .*weights come after it"),
    (("net.prototxt", "TEST"), "got phase 'TEST', want caffe.TRAIN"),
    (("net.prototxt", None, caffe.TEST), "got phase None"), (("net.prototxt", 5), "got phase 5"),
    (("net.prototxt",), "'phase'; want Net"), ((), "'network_file'; want Net"),
    (("net.prototxt", caffe.TEST, 1.5), "got level 1.5, want an integer"),
    (("net.prototxt", caffe.TEST, 0, "deploy"), r"got stages 'deploy', want a list of names: \['deploy'\]"),
    (("net.prototxt", caffe.TEST, 0, [1]), r"got stages \[1\]"),
    (("net.prototxt", caffe.TEST, 0, None, 5), r"Net: got 5 \(int\), want the path of a caffemodel"),
    ((None, caffe.TEST), r"Net: got None \(NoneType\), want the path of a prototxt"), ((5, caffe.TEST), "got 5"),
])
def test_constructor_of_nets(args, words):
    with pytest.raises(TypeError, match=words):
        caffe.Net(*args)


@pytest.mark.parametrize(("call", "error", "words"), [
    ('net.forward(end="conv3")', ValueError, "'conv3' is not in list.* did you mean conv2 or conv1|conv1 or conv2"),
    ('net.forward(start="nope")', ValueError, "'nope' is not in list.* there are in, conv1, conv2"),
    ('net.backward(start="nope")', ValueError, "'nope' is not in list"),
    ('net.backward(end="nope")', ValueError, "'nope' is not in list"),
    ('net.forward(blobs=["nope"])', KeyError, "'nope' is not in net.blobs; there are x, conv1, y"),
    ('net.backward(diffs=["nope"])', KeyError, "'nope' is not in net.blobs"),
    ('net.forward(blobs="conv1")', TypeError, r"got the string 'conv1', want a list of blob names: \['conv1'\]"),
    ('net.forward("x")', TypeError, r"\['x'\]"), ('net.forward_all(x=A, blobs="x")', TypeError, r"\['x'\]"),
    ("net.forward(x=np.ones((2, 5)))", ValueError, r"Input 'x' wants numbers of shape \(2, 3\): could not broadcast"),
    ('net.forward(x=[["a"] * 3] * 2)', ValueError, "Input 'x' wants numbers"),
    ("net.forward(x=np.ones((3, 3)))", Exception, "Input is not batch sized: 'x' got shape"),
    ("net.backward(y=np.ones((2, 5)))", ValueError, r"Diff 'y' wants numbers of shape \(2, 4\)"),
    ("net.forward_all(x=1)", TypeError, "'x': got 1, want an array of items along its first axis"),
    ("net.forward_all(x=np.float32(1))", TypeError, "'x': got"),
    ("net.forward_all(x=None)", TypeError, "'x': got None"),
    ('net.forward_all(x="ab")', TypeError, "'x': got 'ab'"),
    ("net.forward_backward_all(x=1)", TypeError, "'x': got 1"),
    ("net.share_with(5)", TypeError, "net.share_with: got int, want a caffe.Net"),
    ("net.share_with(None)", TypeError, "got NoneType"),
    ("net.copy_from(None)", TypeError, r"net.copy_from: got None \(NoneType\), want the path of a caffemodel"),
    ("net.copy_from(5)", TypeError, "net.copy_from: got 5"),
    ('net.copy_from(b"nope.caffemodel")', caffe.ProtoError, "Could not open file nope.caffemodel"),
    ('net.copy_from(Path("nope.caffemodel"))', caffe.ProtoError, "Could not open file nope.caffemodel"),
    ("net.load_hdf5(None)", TypeError, "net.load_hdf5: got None"), ("net.save(None)", TypeError, "net.save: got None"),
    ("net.save_hdf5(5)", TypeError, "net.save_hdf5: got 5"),
    ("net.before_forward(5)", TypeError, "net.before_forward: got 5, want a function of the layer's index"),
    ("net.after_backward(None)", TypeError, "net.after_backward: got None"),
    ("caffe.SGDSolver(5)", TypeError, r"SGDSolver: got 5 \(int\), want the path of a solver prototxt"),
    ('caffe.SGDSolver("nope.prototxt")', caffe.ProtoError, "Could not open file nope.prototxt"),
    ("caffe.get_solver(None)", TypeError, "get_solver: got None"),
    ('caffe.set_random_seed("a")', TypeError, r"set_random_seed: got 'a' \(str\), want an integer"),
    ("caffe.set_random_seed(1.5)", TypeError, "got 1.5"), ("caffe.set_solver_count(None)", TypeError, "got None"),
    ('caffe.set_solver_rank("0")', TypeError, "set_solver_rank: got '0'"),
])
def test_calls(call, error, words):
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    with pytest.raises(error, match=words):
        exec(call, {"net": net, "caffe": caffe, "np": np, "Path": Path, "A": np.ones((2, 3))})
    assert list(net.forward()) == ["y"]


@pytest.mark.parametrize(("data", "labels", "words"), [
    (5, np.zeros(4), "data array must be a NumPy array of float32; got int"), (None, None, "got NoneType"),
    (IMAGES[0, 0], np.zeros(4, np.float32), "data array must be 4-d; got 2 axes"),
    (IMAGES, 3, "labels array must be a NumPy array of float32; got int"),
    (IMAGES, np.zeros((4, 1), np.float32), "labels array must be 4-d; got 2 axes"),
    (IMAGES.transpose(0, 1, 3, 2), np.zeros(4, np.float32), "data array must be C contiguous; np.ascontiguousarray")])
def test_arrays_of_memory_data(data, labels, words):
    net = caffe.Net("memory.prototxt", caffe.TEST)
    with pytest.raises(caffe.NetError, match=words):
        net.set_input_arrays(data, labels)
    net.set_input_arrays(IMAGES, np.arange(4, dtype=np.float32))
    assert net.forward()["l"].ravel().tolist() == [0, 1]

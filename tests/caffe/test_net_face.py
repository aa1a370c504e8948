"""What scripts see of nets, blobs and modes beside the passes (test_net.py)."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe._caffe import common
from caffe.proto import caffe_pb2
from tests.caffe.net_cases import CHAIN, DATA, LOSS, full, layer

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
ONE = INPUT + full("a", "x")


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


def net(text=ONE, phase=caffe.TEST, **more):
    Path("net.prototxt").write_text(text)
    return caffe.Net("net.prototxt", phase, **more)


# -- construction ------------------------------------------------------------------------------


def test_forms_of_the_constructor():
    net().save("a.caffemodel")
    for n in (caffe.Net("net.prototxt", caffe.TEST), caffe.Net("net.prototxt", phase=caffe.TEST, level=1),
              caffe.Net(network_file="net.prototxt", phase=0, stages=["x"]),
              caffe.Net(Path("net.prototxt"), caffe.TEST),
              caffe.Net("net.prototxt", caffe.TEST, 0, None, "a.caffemodel")):
        assert list(n.blobs) == ["x", "a"]
    with pytest.warns(DeprecationWarning):
        caffe.Net("net.prototxt", "a.caffemodel", caffe.TEST)


@pytest.mark.parametrize(("args", "kwargs", "error", "words"), [
    (("nothing.prototxt", caffe.TEST), {}, RuntimeError, "Could not open file nothing.prototxt"),
    (("net.prototxt", caffe.TEST), {"weights": "no.caffemodel"}, RuntimeError, "Could not open file no.caffemodel"),
    (("net.prototxt",), {}, TypeError, "phase"),
    (("net.prototxt", 2), {}, TypeError, "want caffe.TRAIN (0) or caffe.TEST (1)"),
    (("net.prototxt", "TEST"), {}, TypeError, "got phase 'TEST'"),
    (("net.prototxt", caffe.TEST), {"stage": "x"}, TypeError, "stages=None"),
])
def test_wrong_arguments(args, kwargs, error, words):
    net()
    with pytest.raises(error) as caught:
        caffe.Net(*args, **kwargs)
    assert words in str(caught.value)


def test_names_and_order():
    n = net(DATA + CHAIN + LOSS, caffe.TRAIN)
    assert (n.inputs, n.outputs, n.name) == ([], ["loss"], "")
    assert list(n.layer_dict) == list(n._layer_names) == ["data", "target", "a", "b", "loss"]
    assert n.top_names["a"] == ["a"] and n.bottom_names["loss"] == ["b", "target"]
    assert list(n.params) == ["a", "b"] and [b.shape for b in n.params["a"]] == [(3, 3), (3,)]
    assert n.blob_loss_weights["loss"] == 1 and n.layers[2].type == "InnerProduct"
    assert n._bottom_ids(4) == [3, 1] and n._top_ids(0) == [0]
    assert n.layer_dict["a"].blobs is n.params["a"]
    n.anything = 3  # scripts hang things on nets
    assert n.anything == 3 and len(n.layers) == 5


# -- weights -----------------------------------------------------------------------------------


def test_copy_from_says_what_does_not_fit():
    net(INPUT + full("a", "x", n=4)).save("four.caffemodel")
    with pytest.raises(caffe.NetError) as caught:
        net().copy_from("four.caffemodel")
    said = str(caught.value)
    assert "Cannot copy param 0 weights from layer 'a'; shape mismatch. Source param shape is (4, 3)" in said
    assert "target param shape is (3, 3)" in said and "rename the layer" in said
    with pytest.raises(caffe.NetError, match="Incompatible number of blobs for layer a: .* has 2, this net 1"):
        net(ONE.replace("num_output", "bias_term: false num_output")).copy_from("four.caffemodel")
    with pytest.raises(caffe.NetError, match="Cannot share param weights from layer 'a'; shape mismatch"):
        net().share_with(net(INPUT + full("a", "x", n=4)))


def test_copy_from_leaves_what_it_does_not_know(capfd, monkeypatch):
    source = net(INPUT + full("a", "x") + full("other", "a"))
    source.save("two.caffemodel")
    n = net(INPUT + full("b", "x") + full("a", "b"))
    before = n.params["b"][0].data.copy()
    monkeypatch.setenv("GLOG_minloglevel", "0")
    n.copy_from("two.caffemodel")
    assert "Ignoring source layer other" in capfd.readouterr().err
    assert (n.params["a"][0].data == source.params["a"][0].data).all() and (n.params["b"][0].data == before).all()


def test_copy_from_a_v1_file_with_shapes_of_four():
    old = caffe_pb2.NetParameter()
    ip = old.layers.add(name="a", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    for shape in ((1, 1, 3, 3), (1, 1, 1, 3)):
        blob = ip.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3])
        blob.data.extend(range(int(np.prod(shape))))
    Path("v1.caffemodel").write_bytes(old.SerializeToString())
    n = net()
    n.copy_from("v1.caffemodel")
    assert n.params["a"][0].data.ravel().tolist() == list(range(9)) and n.params["a"][1].data.tolist() == [0, 1, 2]


def test_diffs_are_saved_and_copied_on_request():
    n = net()
    n.params["a"][0].diff[...] = 4
    n.save("with.caffemodel", write_diff=True)
    n.save("without.caffemodel")
    for name, want in (("with", 4), ("without", 1)):
        m = net()
        m.params["a"][0].diff[...] = 1
        m.copy_from(f"{name}.caffemodel")
        assert (m.params["a"][0].diff == want).all()


# -- blobs -------------------------------------------------------------------------------------


def test_blob_face():
    blob = caffe.Blob(2, np.int64(3), 4, 5)
    assert blob.shape == (2, 3, 4, 5) and list(blob.shape) == [2, 3, 4, 5] and blob.count == 120
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 4, 5)
    blob.reshape(*np.array([7, 2]))
    assert (blob.num, blob.channels, blob.height, blob.width) == (7, 2, 1, 1)
    blob.reshape()
    assert blob.shape == () and blob.data.shape == () and blob.count == 1
    assert blob.data.dtype == blob.diff.dtype == np.float32 and blob.data.flags.c_contiguous
    for wrong, error in (((1.5,), TypeError), (((2, 3),), TypeError), ((-1,), caffe.NetError)):
        with pytest.raises(error):
            blob.reshape(*wrong)
    with pytest.raises(AttributeError):
        blob.data = np.zeros(3)
    blob.reshape(1, 1, 1, 1, 2)
    with pytest.raises(caffe.NetError, match="Cannot use legacy accessors on Blobs with > 4 axes"):
        blob.num  # noqa: B018


def test_reshape_keeps_memory_until_it_grows_and_old_views_stay():
    blob = caffe.Blob(2, 3)
    blob.data[...] = [[0, 1, 2], [3, 4, 5]]
    old = blob.data
    blob.reshape(4)
    assert blob.data.tolist() == [0, 1, 2, 3] and np.shares_memory(old, blob.data)
    blob.reshape(3, 2)
    assert blob.data.tolist() == [[0, 1], [2, 3], [4, 5]]
    blob.reshape(7)
    assert (blob.data == 0).all() and old.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_view_taken_once_follows_the_net():
    n = net()
    x, a = n.blobs["x"].data, n.blobs["a"].data
    for value in (1, 2):
        x[...] = value
        n.forward()
        np.testing.assert_allclose(a, x @ n.params["a"][0].data.T + n.params["a"][1].data, rtol=1e-6)


# -- Python layers in the middle ---------------------------------------------------------------

USER = '''
import numpy as np
import caffe

class Twice(caffe.Layer):
    def setup(self, bottom, top):
        assert self.phase == caffe.TEST and self.param_str == "{'by': 2}"

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        assert list(propagate_down) == [True]
        bottom[0].diff[...] = 2 * top[0].diff

class Wrong(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): raise RuntimeError("mine")
    def forward(self, bottom, top): pass
    def backward(self, top, propagate_down, bottom): pass
'''


def test_python_layers_between_built_in_ones(monkeypatch, tmp_path):
    (tmp_path / "net_face_user.py").write_text(USER)
    monkeypatch.syspath_prepend(str(tmp_path))
    python = 'python_param { module: "net_face_user" layer: "%s" param_str: "{\'by\': 2}" }'
    n = net("force_backward: true\n" + INPUT + layer("t", "Python", ["x"], ["t"], python % "Twice") + full("b", "t"))
    n.blobs["x"].data[...] = np.arange(6).reshape(2, 3)
    n.forward()
    w, c = n.params["b"][0].data, n.params["b"][1].data
    np.testing.assert_allclose(n.blobs["b"].data, 2 * n.blobs["x"].data @ w.T + c, rtol=1e-6)
    n.blobs["b"].diff[...] = 1
    n.backward()
    np.testing.assert_allclose(n.blobs["x"].diff, 2 * np.ones((2, 3)) @ w, rtol=1e-6)
    with pytest.raises(RuntimeError, match="^mine$"):
        net(INPUT + layer("t", "Python", ["x"], ["t"], python % "Wrong"))
    sys.modules.pop("net_face_user")


# -- modes and names ---------------------------------------------------------------------------


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(common.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(common._state, "warned", False)
    monkeypatch.delenv("CAFFE_STRICT_GPU", raising=False)


def test_gpu_calls_without_cuda_warn_once_and_go_on(no_cuda):
    with pytest.warns(UserWarning, match=r"set_device\(0\): no CUDA device .* continuing on the CPU"):
        caffe.set_device(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caffe.set_mode_gpu()
    assert common.device() == common.CPU
    assert net().forward()["a"].shape == (2, 3)
    caffe.set_mode_cpu()


def test_strict_gpu_raises(no_cuda, monkeypatch):
    monkeypatch.setenv("CAFFE_STRICT_GPU", "1")
    for call in (caffe.set_mode_gpu, lambda: caffe.set_device(1)):
        with pytest.raises(caffe.CaffeError, match="no CUDA device on this machine .*unset CAFFE_STRICT_GPU"):
            call()


def test_mode_and_seed_are_the_processes():
    caffe.set_random_seed(4)
    want = net().params["a"][0].data.copy()
    caffe.set_random_seed(4)
    got = []
    thread = threading.Thread(target=lambda: got.append((net().params["a"][0].data.copy(), common.device())))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(got[0][0], want)
    assert got[0][1] == common.device()


def test_names_of_the_package():
    for name in ("AdaDeltaSolver AdaGradSolver AdamSolver Classifier Detector Layer NCCL NesterovSolver Net NetSpec "
                 "RMSPropSolver SGDSolver TEST TRAIN Timer __version__ classifier coord_map detector draw get_solver "
                 "has_nccl init_log io layer_type_list layers log net_spec params proto pycaffe set_device "
                 "set_mode_cpu set_mode_gpu set_multiprocess set_random_seed set_solver_count set_solver_rank "
                 "solver_count solver_rank to_proto").split():
        assert hasattr(caffe, name), name
    assert (caffe.TRAIN, caffe.TEST, caffe.__version__) == (0, 1, "1.0.0") and callable(caffe.log)
    assert importlib.import_module("caffe.classifier").Classifier is caffe.Classifier
    assert importlib.import_module("caffe.detector").Detector is caffe.Detector
    with pytest.raises(AttributeError, match="nonsense"):
        caffe.nonsense  # noqa: B018


def test_names_that_scripts_import_from_the_private_module():
    module = importlib.import_module("caffe._caffe")
    for name in ("Blob BlobVec BoolVec DtypeVec IntVec Layer LayerParameter LayerVec NCCL Net NetVec RawBlobVec "
                 "SGDSolver Solver SolverParameter StringVec Timer get_solver has_nccl init_log layer_type_list "
                 "set_device set_mode_cpu set_mode_gpu set_multiprocess set_random_seed set_solver_count "
                 "set_solver_rank solver_count solver_rank").split():
        assert callable(getattr(module, name)) and name in module.__all__, name
    assert module.Net is caffe.Net and module.Blob is caffe.Blob and module.has_nccl()
    assert issubclass(module.SGDSolver, module.Solver)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


@pytest.mark.parametrize("first", ["caffe._caffe", "caffe.proto.caffe_pb2"])
def test_import_order_does_not_matter(first):
    code = (f"import {first}; from caffe import layers as L, params as P, Net; from caffe._caffe import Net as N; "
            "import caffe._caffe.layers; from caffe import layers as M; assert N is Net; "
            "assert M is L; L.ReLU; P.Pooling.MAX")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

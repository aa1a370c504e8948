"""What BVLC's own tests of net_spec, coord_map, io, draw and layer types ask for; and where each of all 52 is tested.

Nets and solvers: test_bvlc_behaviours_net.py, test_bvlc_behaviours_solver.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import coord_map_from_to, crop

# file of BVLC's -> what each of its tests asks for, and the test of ours
HERE = Path(__file__).parent
NET, SOLVER, PYTHON = (f"test_bvlc_behaviours_{name}.py" for name in ("net", "solver", "python"))
ASKED = {
    "test_net": (NET, {
        "memory": "memory_of_blobs_and_parameters_outlives_the_net", "layer_dict": "layer_dict",
        "forward_backward": "forward_backward", "forward_start_end": "forward_start_end",
        "backward_start_end": "backward_start_end", "clear_param_diffs": "clear_param_diffs",
        "inputs_outputs": "inputs_outputs", "top_bottom_names": "top_bottom_names", "save_and_read": "save_and_read",
        "save_hdf5": "save_hdf5", "level 0": "levels", "level 1": "levels", "stage A": "stages", "stage B": "stages",
        "stages A and B": "stages", "train": "all_in_one", "val": "all_in_one", "deploy": "all_in_one"}),
    "test_solver": (SOLVER, {"solve": "solve", "apply_update": "apply_update", "net_memory": "net_memory",
                             "snapshot": "snapshot"}),
    "test_python_layer": (SOLVER, {
        "forward": "python_layer_forward", "backward": "python_layer_backward",
        "reshape": "python_layer_reshape_to_other_axes", "exception": "python_layer_exception_is_its_own",
        "parameter": "python_layer_parameter", "phase": "python_layer_phase"}),
    "test_python_layer_with_param_str": (SOLVER, {"forward": "param_str_forward_and_backward",
                                                  "backward": "param_str_forward_and_backward"}),
    "test_nccl": (SOLVER, {"newuid": "newuid_is_bytes_and_new"}),
    "test_net_spec": (PYTHON, {name: f"spec_{name}" for name in ("lenet", "silence", "type_error")}),
    "test_coord_map": (PYTHON, {name: f"coord_map_{name}" for name in (
        "conv_pool_deconv", "pass", "padding", "multi_conv", "rect", "nd_conv", "crop_of_crop", "crop_helper",
        "catch_unconnected", "catch_scale_mismatch", "catch_negative_crop")}),
    "test_io": (PYTHON, {name: f"io_{name}" for name in ("old_format", "new_format", "no_shape", "scalar",
                                                         "label_none_size")}),
    "test_layer_type_list": (PYTHON, {"standard_types": "standard_layer_types"}),
    "test_draw": (PYTHON, {"draw_net": "every_net_of_the_checkout_is_drawn"}),
}


def test_each_of_the_52_has_a_test_of_ours():
    assert sum(len(asked) for _, asked in ASKED.values()) == 52
    for file, asked in ASKED.values():
        there = {node.name for node in ast.parse((HERE / file).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert {f"test_{ours}" for ours in asked.values()} <= there, file


# -- net_spec --------------------------------------------------------------------------------------


def load(text):
    Path("spec.prototxt").write_text(str(text))
    return caffe.Net("spec.prototxt", caffe.TEST)


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


def test_spec_lenet(place):
    def lenet(n):
        n.data, n.label = L.DummyData(shape=[dict(dim=[2, 1, 28, 28]), dict(dim=[2, 1, 1, 1])],
                                      transform_param=dict(scale=1. / 255), ntop=2)
        n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
        n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
        n.ip1 = L.InnerProduct(n.pool1, num_output=50, weight_filler=dict(type="xavier"))
        n.relu1 = L.ReLU(n.ip1, in_place=True)
        n.ip2 = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
        n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
        return n
    named = lenet(caffe.NetSpec())
    net = load(named.to_proto())
    assert list(net.top_names) == ["data", "conv1", "pool1", "ip1", "relu1", "ip2", "loss"]
    assert net.forward()["loss"] >= 0 and net.blobs["conv1"].shape == (2, 20, 24, 24)

    class Plain:
        pass
    unnamed = load(caffe.to_proto(lenet(Plain()).loss))  # names are made up
    assert [one.type for one in unnamed.layers] == [one.type for one in net.layers]
    assert [blob.shape for blob in unnamed.blobs.values()] == [blob.shape for blob in net.blobs.values()]


def test_spec_silence(place):
    n = caffe.NetSpec()
    n.data, n.data2 = L.DummyData(shape=dict(dim=3), ntop=2)
    n.silence_data = L.Silence(n.data, ntop=0)
    n.silence_data2 = L.Silence(n.data2, ntop=0)
    net = load(n.to_proto())
    assert [net.layer_dict[name].type for name in ("silence_data", "silence_data2")] == ["Silence"] * 2
    assert net.forward() == {}


def test_spec_type_error():
    data = L.DummyData(ntop=2, shape=dict(dim=[3, 2]))
    for wrong in ([data], ["data"], [lambda: None], [{}], [4], [0.6]):
        with pytest.raises(TypeError, match=r"Silence input 0 is not a Top \(type is"):
            L.Silence(*wrong, ntop=0)
    L.Silence(*data, ntop=0)


# -- coord_map: axis, scale and shift between blobs ------------------------------------------------


def conv_pool_deconv(pad=1, **kernel):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 1, 100, 100]))
    n.conv = L.Convolution(n.data, num_output=10, **(kernel or dict(kernel_size=3)), stride=1, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2, stride=2, pad=0)
    n.deconv = L.Deconvolution(n.pool, convolution_param=dict(num_output=10, kernel_size=4, stride=2, pad=0))
    return n


def test_coord_map_conv_pool_deconv():
    n = conv_pool_deconv()
    assert coord_map_from_to(n.deconv, n.data) == (1, 1, -1)
    assert coord_map_from_to(n.pool, n.data) == (1, 2, 0.5)


def test_coord_map_pass():
    n = conv_pool_deconv()
    ax_a_b = coord_map_from_to(n.deconv, n.data)
    n.relu = L.ReLU(n.deconv)
    n.norm = L.BatchNorm(n.relu)
    assert coord_map_from_to(n.relu, n.data) == coord_map_from_to(n.norm, n.data) == ax_a_b


def test_coord_map_padding():
    ax, a, b = coord_map_from_to((n := conv_pool_deconv()).deconv, n.data)
    n = conv_pool_deconv(pad=3)
    assert coord_map_from_to(n.deconv, n.data) == (ax, a, b - 2)


def test_coord_map_multi_conv():
    shifts = []
    for kernels in ([3], [3, 5], [5, 3]):
        n = caffe.NetSpec()
        n.data = L.Input(shape=dict(dim=[1, 1, 40, 40]))
        top = n.data
        for i, kernel in enumerate(kernels):
            top = n[f"conv{i}"] = L.Convolution(top, num_output=2, kernel_size=kernel, pad=kernel)
        shifts.append(coord_map_from_to(top, n.data))
    assert shifts == [(1, 1, -2), (1, 1, -5), (1, 1, -5)]


def test_coord_map_rect():
    ax, a, b = coord_map_from_to((n := conv_pool_deconv()).deconv, n.data)
    n = conv_pool_deconv(pad=[1, 2], kernel_size=[3, 5])
    ax2, a2, b2 = coord_map_from_to(n.deconv, n.data)
    assert ax2 == ax and np.equal(a2, a).all() and np.equal(b2, b).all()


def test_coord_map_nd_conv():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 3, 100, 100, 100]))
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=[3, 3, 3], stride=[1, 1, 1], pad=[0, 1, 2])
    n.deconv = L.Deconvolution(n.conv, num_output=10, kernel_size=[3, 3, 3], stride=[2, 2, 2], pad=[0, 1, 2])
    ax, a, b = coord_map_from_to(n.deconv, n.data)
    assert ax == 1 and a.tolist() == [0.5, 0.5, 0.5] and b.tolist() == [0.5, 0, -0.5]


def test_coord_map_crop_of_crop():
    n = conv_pool_deconv()
    shift = coord_map_from_to(n.deconv, n.data)[2]
    n.crop = L.Crop(n.deconv, n.data, axis=2, offset=3)
    assert coord_map_from_to(n.crop, n.data)[2] == shift + 3
    n.again = L.Crop(n.crop, n.data, axis=2, offset=2)
    assert coord_map_from_to(n.again, n.data)[2] == shift + 5


def test_coord_map_crop_helper(place):
    n = conv_pool_deconv()
    n.crop = crop(n.deconv, n.data)
    layer = n.to_proto().layer[-1]
    assert (layer.type, list(layer.bottom)) == ("Crop", ["deconv", "data"])
    assert (layer.crop_param.axis, list(layer.crop_param.offset)) == (2, [1])
    assert load(n.to_proto()).blobs["crop"].shape == (2, 10, 100, 100)


def test_coord_map_catch_unconnected():
    n = caffe.NetSpec()
    n.one, n.other = L.Input(shape=dict(dim=[1, 1, 4, 4])), L.Input(shape=dict(dim=[1, 1, 4, 4]))
    with pytest.raises(RuntimeError):
        coord_map_from_to(n.one, n.other)


def test_coord_map_catch_scale_mismatch():
    n = conv_pool_deconv()
    with pytest.raises(AssertionError, match="scale mismatch"):
        crop(n.pool, n.data)


def test_coord_map_catch_negative_crop():
    n = conv_pool_deconv()
    with pytest.raises(AssertionError, match="cannot crop negative"):
        crop(n.data, n.deconv)


# -- io, types, draw -------------------------------------------------------------------------------

blob_of = caffe.proto.caffe_pb2.BlobProto


def test_io_old_format():
    data = np.zeros((10, 10))
    blob = blob_of(data=data.ravel(), num=1, channels=1, height=10, width=10)
    assert caffe.io.blobproto_to_array(blob).shape == (1, 1, 10, 10)


def test_io_new_format():
    blob = blob_of(data=range(100))
    blob.shape.dim.extend([10, 10])
    array = caffe.io.blobproto_to_array(blob)
    assert array.shape == (10, 10) and array[3, 4] == 34


def test_io_no_shape():
    with pytest.raises(ValueError):
        caffe.io.blobproto_to_array(blob_of(data=range(100)))


def test_io_scalar():
    assert caffe.io.blobproto_to_array(blob_of(data=[123])) == 123


def test_io_label_none_size():
    datum = caffe.io.array_to_datum(np.ones((10, 10, 10)), label=None)
    assert (datum.channels, datum.height, datum.width) == (10, 10, 10) and not datum.HasField("label")


def test_standard_layer_types():
    assert {"Data", "Convolution", "InnerProduct"} <= set(caffe.layer_type_list())


def test_every_net_of_the_checkout_is_drawn():
    from google.protobuf import text_format
    nets = sorted(HERE.parents[1].glob("models/*/*.prototxt"))
    nets = [path for path in nets if path.name != "solver.prototxt"]
    assert len(nets) > 40
    for path in nets:
        net = text_format.Parse(path.read_text(), caffe.proto.caffe_pb2.NetParameter())
        assert all(caffe.draw.get_layer_label(layer, "LR") for layer in net.layer), path

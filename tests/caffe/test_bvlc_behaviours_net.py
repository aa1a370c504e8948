"""What BVLC's own tests of pycaffe's Net ask for, on nets of ours: one test a behaviour, named as theirs."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

import caffe
from tests.caffe.net_cases import ALL_IN_ONE, dummy, full, layer

SIMPLE = ('name: "simple" force_backward: true\n' + dummy("data", 5, 2, 3, 4) + """
layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 5 } data_filler { value: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
        convolution_param { num_output: 11 kernel_size: 2 pad: 3 weight_filler { type: "gaussian" std: 1 }
                            bias_filler { value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip_blob" inner_product_param { num_output: 13
        weight_filler { type: "gaussian" std: 2.5 } bias_filler { value: -3 } } }
""" + layer("loss", "SoftmaxWithLoss", ["ip_blob", "label"], ["loss"]))


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(SIMPLE)


@pytest.fixture
def net():
    caffe.set_random_seed(2)
    return caffe.Net("net.prototxt", caffe.TRAIN)


def test_memory_of_blobs_and_parameters_outlives_the_net(net):
    arrays = [array for blobs in net.params.values() for blob in blobs for array in (blob.data, blob.diff)]
    arrays += [array for blob in net.blobs.values() for array in (blob.data, blob.diff)]
    before = [array.copy() for array in arrays]
    del net
    gc.collect()
    caffe.Net("net.prototxt", caffe.TRAIN).forward()  # would reuse the memory
    for array, value in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, value)
        array += 1


def test_layer_dict(net):
    assert list(net.layer_dict) == list(net._layer_names) == ["data", "label", "conv", "ip", "loss"]
    for i, name in enumerate(net._layer_names):
        assert net.layer_dict[name].type == net.layers[i].type and net.layer_dict[name] is net.layers[i]
        assert callable(net.layers[i].setup) and callable(net.layers[i].reshape)


def test_forward_backward(net):
    net.forward()
    net.backward()
    assert net.blobs["loss"].data.shape == () and float(net.blobs["loss"].data) > 0
    assert np.abs(net.params["conv"][0].diff).max() > 0


def test_forward_start_end(net):
    conv, ip = net.blobs["conv"], net.blobs["ip_blob"]
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    sentinel = ip.data.copy()
    out = net.forward(start="conv", end="conv")
    assert list(out) == ["conv"] and np.shares_memory(out["conv"], conv.data)
    np.testing.assert_array_equal(ip.data, sentinel)
    conv.data[...] = 3
    net.forward(start="ip", end="ip")
    weights, bias = (blob.data for blob in net.params["ip"])
    np.testing.assert_allclose(ip.data, np.full((5, weights.shape[1]), 3.) @ weights.T + bias, rtol=1e-4, atol=1e-3)
    assert (conv.data == 3).all()
    for wrong in ({"start": "x"}, {"end": "x"}):
        with pytest.raises(ValueError, match="'x' is not in list"):
            net.forward(**wrong)


def test_backward_start_end(net):
    conv, ip = net.blobs["conv"], net.blobs["ip_blob"]
    net.forward()
    net.backward()
    conv.diff[...] = 9
    below = net.blobs["data"].diff.copy()
    ip.diff[...] = np.random.default_rng(0).normal(size=ip.shape)
    out = net.backward(start="ip", end="ip")
    assert list(out) == ["conv"]
    want = ip.diff @ net.params["ip"][0].data
    np.testing.assert_allclose(conv.diff.reshape(5, -1), want, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(net.blobs["data"].diff, below)
    with pytest.raises(ValueError, match="'x' is not in list"):
        net.backward(start="x")


def test_clear_param_diffs(net):
    net.forward()
    net.backward()
    data_diff = net.blobs["data"].diff.copy()
    net.clear_param_diffs()
    assert not any(blob.diff.any() for blobs in net.params.values() for blob in blobs)
    np.testing.assert_array_equal(net.blobs["data"].diff, data_diff)


def test_inputs_outputs(net):
    assert (net.inputs, net.outputs) == ([], ["loss"])


def test_top_bottom_names(net):
    assert dict(net.top_names) == {"data": ["data"], "label": ["label"], "conv": ["conv"], "ip": ["ip_blob"],
                                   "loss": ["loss"]}
    assert dict(net.bottom_names) == {"data": [], "label": [], "conv": ["data"], "ip": ["conv"],
                                      "loss": ["ip_blob", "label"]}
    assert list(net.top_names) == list(net.bottom_names) == list(net._layer_names)


def same_weights(net, other):
    assert list(net.params) == list(other.params)
    for name in net.params:
        for mine, theirs in zip(net.params[name], other.params[name], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_save_and_read(net):
    net.save("w.caffemodel")
    caffe.set_random_seed(5)
    with pytest.warns(DeprecationWarning):
        same_weights(net, caffe.Net("net.prototxt", "w.caffemodel", caffe.TRAIN))
    same_weights(net, caffe.Net("net.prototxt", caffe.TRAIN, weights="w.caffemodel"))
    same_weights(net, caffe.Net("net.prototxt", weights="w.caffemodel", phase=caffe.TEST))
    third = caffe.Net("net.prototxt", caffe.TRAIN)
    third.copy_from("w.caffemodel")
    same_weights(net, third)


def test_save_hdf5(net):
    net.save_hdf5("w.h5")
    caffe.set_random_seed(5)
    other = caffe.Net("net.prototxt", caffe.TRAIN)
    other.load_hdf5("w.h5")
    same_weights(net, other)
    third = caffe.Net("net.prototxt", caffe.TRAIN)
    third.copy_from("w.h5")  # told by what is in it
    same_weights(net, third)


RULED = dummy("data", 1, 3) + full("NoLevel", "data") + "".join(
    full(f"Level{rule}Only", "data", more=f"include {{ {words} }}") for rule, words in (
        ("0", "min_level: 0 max_level: 0"), ("1", "min_level: 1 max_level: 1"))) + full(
    "Level1OrMore", "data", more="include { min_level: 1 }")


@pytest.mark.parametrize(("how", "kept"), [({}, {"NoLevel", "Level0Only"}), ({"level": 0}, {"NoLevel", "Level0Only"}),
                                           ({"level": 1}, {"NoLevel", "Level1Only", "Level1OrMore"})])
def test_levels(how, kept):
    Path("level.prototxt").write_text(RULED)
    assert set(caffe.Net("level.prototxt", caffe.TEST, **how).params) == kept


STAGED = dummy("data", 1, 3) + full("A", "data", more='include { stage: "A" }') + full(
    "B", "data", more='include { stage: "B" }') + full("AorB", "data", more='include { stage: "A" } include { stage: '
                                                       '"B" }') + full(
    "AandB", "data", more='include { stage: "A" stage: "B" }') + full("notA", "data", more='exclude { stage: "A" }')


@pytest.mark.parametrize(("stages", "kept"), [(["A"], {"A", "AorB"}), (["B"], {"B", "AorB", "notA"}),
                                              (["A", "B"], {"A", "B", "AorB", "AandB"}), (None, {"notA"})])
def test_stages(stages, kept):
    Path("stage.prototxt").write_text(STAGED)
    assert set(caffe.Net("stage.prototxt", caffe.TEST, stages=stages).params) == kept


@pytest.mark.parametrize(("phase", "stages", "present"), [
    (caffe.TRAIN, [], {"data", "label", "a", "loss"}), (caffe.TEST, ["val"], {"data", "label", "a", "loss"}),
    (caffe.TEST, ["deploy"], {"input", "a", "prob"})])
def test_all_in_one(phase, stages, present):
    Path("all.prototxt").write_text(ALL_IN_ONE)
    names = [n for n in caffe.Net("all.prototxt", phase, stages=stages)._layer_names if "split" not in n]
    assert set(names) == present


# -- what the reference tells beyond those tests -------------------------------------------------


def test_arrays_are_cast_and_broadcast_and_only_their_first_axis_is_checked():
    Path("in.prototxt").write_text(layer("i", "Input", [], ["x"], "input_param { shape { dim: 2 dim: 3 } }") + full(
        "a", "x"))
    n = caffe.Net("in.prototxt", caffe.TEST)
    n.forward(x=np.array([[1], [2]], np.int64))
    assert n.blobs["x"].data.tolist() == [[1, 1, 1], [2, 2, 2]]
    with pytest.raises(Exception, match="Input is not batch sized"):
        n.forward(x=np.zeros((3, 3)))
    with pytest.raises(Exception, match="Input blob arguments do not match net inputs."):
        n.forward(y=np.zeros((2, 3)))
    with pytest.raises(Exception, match="Top diff arguments do not match net outputs."):
        n.backward(x=np.zeros((2, 3)))
    n.forward(start="a", x=np.ones((2, 3)))  # inputs may be given although their layer does not run
    assert (n.blobs["x"].data == 1).all()


def test_blob_loss_weights_and_total_of_a_range(net):
    assert dict(net.blob_loss_weights) == {"data": 0, "label": 0, "conv": 0, "ip_blob": 0, "loss": 1}
    total = net._forward(0, len(net.layers) - 1)
    assert isinstance(total, float) and total == pytest.approx(float(net.blobs["loss"].data), rel=1e-6)
    assert net._forward(0, 2) == 0
    net.blobs["loss"].diff[...] = 3  # the weight lives there
    assert net._forward(4, 4) == pytest.approx(3 * total, rel=1e-6)


def test_first_layer_of_a_name_takes_the_weights_and_the_last_the_index():
    Path("two.prototxt").write_text(dummy("data", 2, 3) + full("a", "data") + full("a", "a", "b"))
    caffe.set_random_seed(1)
    n = caffe.Net("two.prototxt", caffe.TEST)
    assert n.layer_dict["a"] is n.layers[2] and n.params["a"] is n.layers[2].blobs
    Path("one.prototxt").write_text(dummy("data", 2, 3) + full("a", "data"))
    one = caffe.Net("one.prototxt", caffe.TEST)
    one.save("one.caffemodel")
    n.copy_from("one.caffemodel")
    np.testing.assert_array_equal(n.layers[1].blobs[0].data, one.params["a"][0].data)
    assert (n.layers[2].blobs[0].data != one.params["a"][0].data).any()


def test_layers_can_be_sliced_and_hold_their_blobs(net):
    assert len(net.layers) == 5 and [one.type for one in net.layers[2:4]] == ["Convolution", "InnerProduct"]
    assert [blob.shape for blob in net.layers[2].blobs] == [(11, 2, 2, 2), (11,)]
    with pytest.raises(IndexError):
        net.layers[5]


def test_deprecated_input_fields_become_a_layer_named_input():
    Path("old.prototxt").write_text('input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4\n' + full("a", "x"))
    n = caffe.Net("old.prototxt", caffe.TEST)
    assert list(n._layer_names) == ["input", "a"] and n.inputs == ["x"] and n.blobs["x"].shape == (1, 2, 3, 4)


def test_backward_without_a_loss_computes_nothing_and_keeps_what_was_written():
    Path("plain.prototxt").write_text(dummy("data", 2, 3) + full("a", "data"))
    n = caffe.Net("plain.prototxt", caffe.TEST)
    n.forward()
    n.blobs["a"].diff[...] = n.blobs["data"].diff[...] = 4
    n.backward()
    assert (n.blobs["data"].diff == 4).all() and not n.params["a"][0].diff.any()


def test_set_input_arrays_by_either_name():
    Path("memory.prototxt").write_text('layer { name: "m" type: "MemoryData" top: "x" top: "y" memory_data_param { '
                                       "batch_size: 2 channels: 1 height: 1 width: 3 } }\n" + full("a", "x"))
    n = caffe.Net("memory.prototxt", caffe.TEST)
    data, labels = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3), np.arange(4, dtype=np.float32)
    n._set_input_arrays(data, labels)
    n.forward()
    n.forward()
    assert n.blobs["x"].data.ravel().tolist() == [6, 7, 8, 9, 10, 11] and n.blobs["y"].data.ravel().tolist() == [2, 3]
    with pytest.raises(caffe.NetError, match="if the first layer is a MemoryDataLayer"):
        caffe.Net("net.prototxt", caffe.TRAIN).set_input_arrays(data, labels)

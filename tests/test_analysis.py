"""What the analysis says of a net, against the published figures and against nets that are built."""

from __future__ import annotations

from fractions import Fraction

import pytest
from data_nets import net_of
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from nets import NetError
from nets.analysis import analyse, parameters
from nets.zoo import ZOO, emit, slimmed


def layers(name, size=(500, 500)):
    return {layer.name: layer for layer in analyse(sized(emit(name, "deploy"), size))}


def sized(net, size):
    for layer in net.layer:
        if layer.type == "Input":
            layer.input_param.shape[0].dim[2:] = size
    return net


def parsed(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


@pytest.mark.parametrize("name, learned, dead", [
    ("voc-fcn32s", 134_346_581, 1_806_336), ("voc-fcn16s", 134_357_354, None), ("voc-fcn8s", 134_362_751, None),
    ("pascalcontext-fcn32s", 134_506_364, 14_745_600), ("pascalcontext-fcn16s", 134_537_144, None),
    ("pascalcontext-fcn8s", 134_552_564, None), ("nyud-fcn32s-color", 134_424_424, 6_553_600),
    ("voc-fcn-alexnet", 56_954_261, None), ("voc-fcn-googlenet", 5_995_077, None),
    ("ilsvrc-vgg16-fcn", 134_260_544, 0), ("ilsvrc-caffenet-fcn", 56_868_224, 0),
    ("ilsvrc-googlenet-fcn", 5_973_552, 0), ("voc-fcn32s-fixed", 21 * 4097, None),
    ("nyud-fcn32s-color-hha", 2 * 134_424_424, 6_553_600), ("ilsvrc-googlenet", 6_998_552, 0),
    ("nyud-fcn32s-color-d", 134_424_424 + 9 * 64, 6_553_600)])
def test_golden_parameters(name, learned, dead):
    net = emit(name, "deploy")
    assert parameters(net, learned=True) == learned
    if dead is not None:  # kernels between different classes and on the diagonal of ungrouped upsampling
        assert parameters(net) - learned == dead


@pytest.mark.parametrize("name, fields", [
    ("voc-fcn8s", {"pool3": (8, 44), "pool4": (16, 100), "pool5": (32, 212), "fc6": (32, 404), "fc7": (32, 404)}),
    ("voc-fcn-alexnet", {"pool5": (32, 195), "fc6": (32, 355), "fc7": (32, 355)}),
    ("voc-fcn-googlenet", {"inception_5b/output": (32, 715)})])
def test_golden_strides_and_receptive_fields(name, fields):
    found = layers(name)
    assert {layer: (found[layer].stride, found[layer].field) for layer in fields} == fields


def test_the_papers_receptive_field_of_googlenet_counts_the_pooling_it_leaves_out():
    assert layers("ilsvrc-googlenet", (224, 224))["pool5/7x7_s1"].field == 907


@pytest.mark.parametrize("name, offsets", [
    ("voc-fcn-googlenet", {"score": 98}), ("voc-fcn-alexnet", {"score": 18}), ("voc-fcn-pool5", {"score": 115}),
    ("voc-fcn-pool4", {"score": 107}), ("voc-fcn-pool3", {"score": 103}), ("voc-fcn32s-fixed", {"score": 19}),
    ("voc-fcn4s", {"score_pool4c": 5, "score_pool3c": 9, "score_pool2c": 17, "score": 33}),
    ("nyud-fcn16s-color-hha", {"score_pool4c": 5, "score": 27}),
    ("siftflow-fcn8s", {"score_pool4_semc": 5, "score_pool3_semc": 9, "score_sem": 31,
                        "score_pool4_geoc": 5, "score_pool3_geoc": 9, "score_geo": 31}),
    ("shapes-fcn-googlenet", {"score": 33}), ("pascalcontext33-fcn16s", {"score_pool4c": 5, "score": 27})])
def test_golden_crops(name, offsets):
    assert {layer.name: layer.crop for layer in layers(name).values() if layer.type == "Crop"} == offsets


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_every_crop_of_the_zoo_is_the_one_that_is_wanted(name, phase):
    for file in ZOO[name].phases:
        for layer in analyse(emit(name, file), phase=phase):
            assert layer.crop == layer.crop_wanted and (layer.shape is not None or not layer.tops)


def test_a_wrong_crop_is_seen():
    net = emit("voc-fcn8s", "deploy")
    net.layer[-1].crop_param.offset[0] = 34
    assert (analyse(net)[-1].crop, analyse(net)[-1].crop_wanted, analyse(net)[-1].start) == (34, 31, 3)


@pytest.mark.parametrize("size, stages", [  # pool1 ... pool5, score_fr, upscore2, upscore_pool4, upscore8
    (500, (349, 175, 88, 44, 22, 16, 34, 70, 568)), (375, (287, 144, 72, 36, 18, 12, 26, 54, 440)),
    (256, (227, 114, 57, 29, 15, 9, 20, 42, 344)), (425, (312, 156, 78, 39, 20, 14, 30, 62, 504)),
    (560, (379, 190, 95, 48, 24, 18, 38, 78, 632))])
def test_golden_sizes(size, stages):
    found = layers("voc-fcn8s", (size, size))
    names = [f"pool{i}" for i in range(1, 6)] + ["score_fr", "upscore2", "upscore_pool4", "upscore8"]
    assert tuple(found[name].shape[2] for name in names) == stages


@pytest.mark.parametrize("name", [name for name in ZOO if not name.startswith(("pascalcontext-", "voc-fcn8s"))])
def test_sizes_and_counts_are_those_of_the_built_net(name, tmp_path):
    net = sized(slimmed(ZOO[name]).build("deploy", {}).to_proto(), (224, 227))
    built = net_of(tmp_path, str(net))
    for layer in analyse(net):
        if layer.name in built.blobs:
            assert layer.shape == tuple(built.blobs[layer.name].shape), layer.name
        blobs = built.params[layer.name] if layer.name in built.params else []
        assert layer.parameters == sum(blob.count for blob in blobs), layer.name


def test_start_is_the_pixel_at_the_centre_of_the_first_place():
    found = {layer.name: layer for layer in analyse(parsed("""
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 2 kernel_size: 4 stride: 2 pad: 1 bias_term: false } }
        layer { name: "full" type: "InnerProduct" bottom: "conv" top: "full" inner_product_param { num_output: 3 } }
        layer { name: "odd" type: "Convolution" bottom: "data" top: "odd"
                convolution_param { num_output: 1 kernel_h: 3 kernel_w: 1 } }
        layer { name: "own" type: "Mine" bottom: "odd" top: "own" }"""))}
    conv, full, odd, own = (found[name] for name in ("conv", "full", "odd", "own"))
    assert (conv.shape, conv.stride, conv.field, conv.start) == ((1, 2, 4, 4), 2, 4, Fraction(1, 2))
    assert conv.parameters == 4 * 4 * 3 * 2
    assert (full.shape, full.stride, full.field, full.start, full.parameters) == ((1, 3), None, 10, None, 99)
    assert (odd.shape, odd.stride, odd.field) == ((1, 1, 7, 9), None, 3)
    assert (own.shape, own.stride, own.parameters) == (None, None, 0)


def test_images_of_a_data_layer_are_as_large_as_its_crop_and_batch_norm_learns_nothing():
    data, norm = analyse(parsed("""
        layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 32 } }
        layer { name: "norm" type: "BatchNorm" bottom: "data" top: "norm" }"""))
    assert data.shape == (1, 3, 32, 32) and (norm.parameters, norm.learned) == (7, 0)


def test_phases_and_old_inputs():
    net = parsed("""input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 6
        layer { name: "a" type: "ReLU" bottom: "data" top: "a" include { phase: TRAIN } }
        layer { name: "b" type: "ReLU" bottom: "data" top: "b" exclude { phase: TRAIN } }""")
    assert [layer.name for layer in analyse(net, phase="TRAIN")] == ["a"]
    assert [(layer.name, layer.shape) for layer in analyse(net)] == [("b", (1, 3, 4, 6))]


@pytest.mark.parametrize("text, phase, words", [
    ("layers { name: 'old' }", "TEST", "in the old form"),
    ("", "VAL", "phase 'VAL', want TRAIN or TEST"),
    ("layer { name: 'a' type: 'ReLU' bottom: 'x' top: 'a' }", "TEST", "layer 'a' has the bottom 'x'")])
def test_what_cannot_be_analysed_is_said(text, phase, words):
    with pytest.raises(NetError, match=words):
        analyse(parsed(text), phase=phase)


def test_parameters_above_an_unknown_layer_are_not_guessed():
    net = parsed("""input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 6
        layer { name: "own" type: "Mine" bottom: "data" top: "own" }
        layer { name: "c" type: "Convolution" bottom: "own" top: "c"
                convolution_param { num_output: 1 kernel_size: 1 } }""")
    assert analyse(net)[-1].parameters is None
    with pytest.raises(NetError, match="build the net to count"):
        parameters(net)

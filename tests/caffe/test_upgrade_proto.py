"""Nets of every age come out in the current form; test_caffemodel.py holds them against genuine Caffe's files."""

from __future__ import annotations

import pytest

from caffe._caffe.errors import ProtoError
from caffe._caffe.files.proto_text import parse_text, read_net_param_from_text
from caffe._caffe.files.upgrade_proto import (
    upgrade_net,
    upgrade_snapshot_prefix,
    upgrade_solver,
    v1_layer_type,
)
from caffe._caffe.files.upgrade_v0 import V0_TYPES
from caffe.proto import caffe_pb2
from tests.bvlc import run_bvlc


def net(text):
    return parse_text(text, caffe_pb2.NetParameter())


def check(old, new):
    given = net(old)
    before = given.SerializeToString()
    assert str(upgrade_net(given)) == str(net(new))
    assert given.SerializeToString() == before, "the message given must stay as it was"


def test_current_form_stays():
    text = 'name: "n" force_backward: true state { level: 2 } layer { name: "a" type: "ReLU" bottom: "x" }'
    check(text, text)


def test_v0_convolution_behind_padding():
    check("""
        input: "x" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4 input_shape { dim: 9 }
        layers { layer { name: "p" type: "padding" pad: 2 } bottom: "x" top: "p" }
        layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 5 stride: 2 group: 1 biasterm: false
            weight_filler { type: "xavier" } blobs_lr: 1 weight_decay: 0 } bottom: "p" top: "c" }
        """, """
        layer { name: "input" type: "Input" top: "x"
            input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "c" param { lr_mult: 1 decay_mult: 0 }
            convolution_param { num_output: 3 kernel_size: 5 stride: 2 group: 1 bias_term: false pad: 2
                weight_filler { type: "xavier" } } }""")


def test_v0_data_layers():
    check("""
        layers { layer { name: "d" type: "data" source: "db" meanfile: "m" batchsize: 4 cropsize: 3 mirror: true
            scale: 0.5 rand_skip: 7 } top: "d" }
        layers { layer { name: "i" type: "images" source: "l" batchsize: 2 shuffle_images: true new_height: 5
            new_width: 6 rand_skip: 1 } top: "i" }
        layers { layer { name: "w" type: "window_data" source: "f" batchsize: 1 det_fg_threshold: 0.6
            det_bg_threshold: 0.4 det_fg_fraction: 0.3 det_context_pad: 2 det_crop_mode: "square" } top: "w" }
        layers { layer { name: "h" type: "hdf5_data" source: "h" batchsize: 8 } top: "h" }
        layers { layer { name: "o" type: "hdf5_output" hdf5_output_param { file_name: "o" } } bottom: "h" }
        layers { layer { name: "l" type: "infogain_loss" source: "g" } bottom: "d" bottom: "h" }
        """, """
        layer { name: "d" type: "Data" top: "d" data_param { source: "db" batch_size: 4 rand_skip: 7 }
            transform_param { mean_file: "m" crop_size: 3 mirror: true scale: 0.5 } }
        layer { name: "i" type: "ImageData" top: "i" image_data_param { source: "l" batch_size: 2 shuffle: true
            new_height: 5 new_width: 6 rand_skip: 1 } }
        layer { name: "w" type: "WindowData" top: "w" window_data_param { source: "f" batch_size: 1
            fg_threshold: 0.6 bg_threshold: 0.4 fg_fraction: 0.3 context_pad: 2 crop_mode: "square" } }
        layer { name: "h" type: "HDF5Data" top: "h" hdf5_data_param { source: "h" batch_size: 8 } }
        layer { name: "o" type: "HDF5Output" bottom: "h" hdf5_output_param { file_name: "o" } }
        layer { name: "l" type: "InfogainLoss" bottom: "d" bottom: "h" infogain_loss_param { source: "g" } }""")


def test_v0_parameter_of_another_type_is_logged_and_dropped(capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    check('layers { layer { name: "r" type: "relu" kernelsize: 3 } }', 'layer { name: "r" type: "ReLU" }')
    assert "Unknown parameter kernelsize for layer type relu" in capfd.readouterr().err


def test_v1_parameters():
    check("""
        layers { name: "ip" type: INNER_PRODUCT param: "w" param: "b" blob_share_mode: STRICT
            blob_share_mode: PERMISSIVE blobs_lr: 1 weight_decay: 1 weight_decay: 0 weight_decay: 3
            loss_weight: 0.5 include { phase: TEST } exclude { min_level: 1 } bottom: "x" top: "y"
            inner_product_param { num_output: 2 } blobs { num: 1 channels: 1 height: 1 width: 1 data: 3 } }
        """, """
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" loss_weight: 0.5
            param { name: "w" share_mode: STRICT lr_mult: 1 decay_mult: 1 }
            param { name: "b" share_mode: PERMISSIVE decay_mult: 0 } param { decay_mult: 3 }
            blobs { num: 1 channels: 1 height: 1 width: 1 data: 3 }
            include { phase: TEST } exclude { min_level: 1 } inner_product_param { num_output: 2 } }""")


@pytest.mark.parametrize(("kind", "type_name", "param"), [
    ("DATA", "Data", "data_param"), ("IMAGE_DATA", "ImageData", "image_data_param"),
    ("WINDOW_DATA", "WindowData", "window_data_param")])
def test_transform_parameters_of_v1_data_layers(kind, type_name, param):
    old = 'scale: 0.5 mean_file: "m" crop_size: 3 mirror: false'
    check(f'layers {{ type: {kind} {param} {{ source: "s" {old} }} }}',
          f'layer {{ type: "{type_name}" {param} {{ source: "s" }} transform_param {{ {old} }} }}')
    # Caffe: in the current form these fields stay where they are, and are not used.
    check(f'layer {{ type: "{type_name}" {param} {{ scale: 2 }} }}',
          f'layer {{ type: "{type_name}" {param} {{ scale: 2 }} }}')


def test_inputs():
    check('input: "a" input: "b" input_dim: [1, 2, 3, 4, 5, 6, 7, 8] layer { name: "r" }', """
        layer { name: "input" type: "Input" top: "a" top: "b" input_param {
            shape { dim: [1, 2, 3, 4] } shape { dim: [5, 6, 7, 8] } } } layer { name: "r" }""")
    check('input: "a" input_shape { dim: 3 } layer { name: "r" }', """
        layer { name: "input" type: "Input" top: "a" input_param { shape { dim: 3 } } } layer { name: "r" }""")
    check('input: "a" layer { name: "r" }', 'layer { name: "r" }')  # as in old caffemodels
    for short in ("input_dim: [1, 2, 3]", "input_dim: [1, 2, 3, 4]", "input_shape { dim: 1 }"):
        with pytest.raises(ProtoError, match="2 input fields"):
            upgrade_net(net(f'input: "a" input: "b" {short}'))


def test_batch_norm_with_its_three_old_params():
    check('layer { type: "BatchNorm" param { name: "m" lr_mult: 1 } param { } param { decay_mult: 2 } }',
          'layer { type: "BatchNorm" param { name: "m" lr_mult: 0 decay_mult: 0 } '
          "param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 decay_mult: 0 } }")
    for other in ('type: "BatchNorm" param { lr_mult: 1 }', 'type: "Scale" param { } param { } param { }'):
        check(f"layer {{ {other} }}", f"layer {{ {other} }}")


@pytest.mark.parametrize(("text", "words"), [
    ('layer { name: "a" } layers { name: "b" type: RELU }', "both 'layer' and 'layers' fields"),
    ('layers { name: "b" type: RELU } layers { layer { type: "relu" } }', "mixed with later ones"),
    ('layers { layer { name: "x" type: "cnn" } }', "Unknown layer name: cnn"),
    ('layers { layer { type: "conv" } bottom: "x" }', "Unknown blob input x"),
    ('input: "x" layers { layer { type: "padding" } bottom: "x" top: "p" } '
     'layers { layer { type: "relu" } bottom: "p" }', "non-convolutional / non-pooling layer type relu"),
])
def test_what_cannot_be_upgraded(text, words):
    with pytest.raises(ProtoError, match=words):
        upgrade_net(net(text), "some.prototxt")


def test_oracle_type_names():
    """Every type that an old form can name is a layer type of genuine Caffe."""
    numbers = caffe_pb2.V1LayerParameter.LayerType.values()
    names = {v1_layer_type(number) for number in numbers}
    assert len(names) == len(numbers) == 40 and v1_layer_type(0) == ""
    assert set(V0_TYPES.values()) <= set(caffe_pb2.V1LayerParameter.LayerType.keys())
    out = run_bvlc("out['types'] = np.array(list(caffe.layer_type_list()))")
    assert names - {""} <= set(out["types"].tolist())


def test_solver_types_and_snapshot_prefix(tmp_path):
    for number, name in enumerate(["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]):
        assert upgrade_solver(caffe_pb2.SolverParameter(solver_type=number)).type == name
    assert not upgrade_solver(caffe_pb2.SolverParameter()).HasField("type")
    for given, want in ((None, "a/b.c/solver"), ("x", "x"), (str(tmp_path), f"{tmp_path}/solver")):
        solver = caffe_pb2.SolverParameter(snapshot_prefix=given)
        assert upgrade_snapshot_prefix(solver, "a/b.c/solver.prototxt").snapshot_prefix == want


def test_file_is_named(tmp_path):
    (tmp_path / "old.prototxt").write_text('layers { layer { name: "x" type: "cnn" } }')
    with pytest.raises(ProtoError, match=r"old\.prototxt: layer 'x'"):
        read_net_param_from_text(tmp_path / "old.prototxt")

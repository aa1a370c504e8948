"""The diagnosis of dead nets: each cause is found and named, a living net is left in peace."""

from __future__ import annotations

import numpy as np
import pytest
from bvlc import ROOT, run_bvlc
from data_nets import net_of

import surgery
from surgery.diagnose import diagnose
from surgery.report import SurgeryError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 40 dim: 40 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 4 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "score_fr" type: "Convolution" bottom: "conv1" top: "score_fr" convolution_param {
  num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "upscore" type: "Deconvolution" bottom: "score_fr" top: "upscore" convolution_param {
  num_output: 3 kernel_size: 4 stride: 2 bias_term: false } }
layer { name: "score" type: "Crop" bottom: "upscore" bottom: "data" top: "score"
  crop_param { axis: 2 offset: 1 } }
"""


@pytest.fixture
def net(tmp_path):
    net = net_of(tmp_path, NET)
    surgery.interp(net, ["upscore"])
    net.blobs["data"].data[...] = np.random.RandomState(0).randn(1, 3, 40, 40)
    return net


def findings(net):
    net.forward()
    return diagnose(net)


def test_living_net_has_no_findings(net):
    assert findings(net) == []


def test_upsampling_kernels_zero(net):
    net.params["upscore"][0].data[...] = 0
    first, second = findings(net)
    assert first.startswith("layer 'upscore': upsampling kernels are zero")
    assert "surgery.interp(net, layers) was not run" in first
    assert second.startswith("blob 'score' is 0 everywhere, so that every pixel gets class 0")


def test_all_weights_zero(net):
    for blobs in net.params.values():
        blobs[0].data[...] = 0
    found = findings(net)
    assert found[0].startswith("all weights of the net are zero; no caffemodel was loaded")
    assert found[1].startswith("layer 'upscore': upsampling kernels are zero")
    assert found[2].startswith("blob 'score' is 0 everywhere")


def test_weights_of_one_layer_zero(net):
    net.params["score_fr"][0].data[...] = 0
    found = findings(net)
    assert found[0].startswith("layer 'score_fr': all weights are zero; the caffemodel has no layer")
    assert len(found) == 2


def test_dead_features_leave_only_the_bias(net):
    net.params["conv1"][1].data[...] = -1000  # no ReLU lets anything through
    net.params["score_fr"][1].data[...] = [1, 2, 3]
    net.params["upscore"][0].data[...] = 0
    for i in range(3):
        net.params["upscore"][0].data[i, i, 1:3, 1:3] = 1  # constant to the very border
    found, = findings(net)
    assert found.startswith("blob 'score' is the same in every pixel")
    net.blobs["data"].reshape(1, 3, 20, 20)
    assert findings(net) == []  # too small a picture to tell


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("blob", [0, 1])
def test_weights_that_are_no_numbers(net, value, blob):
    net.params["score_fr"][blob].data.flat[1] = value
    found = findings(net)
    assert found[0].startswith("layer 'score_fr': weights hold NaN or infinity; training has diverged")
    assert found[1].startswith("blob 'score' holds NaN or infinity")


def test_image_that_is_no_number(net):
    net.blobs["data"].data[0, 0, 3, 3] = np.nan
    found, = findings(net)
    assert found.startswith("blob 'score' holds NaN or infinity; training has diverged, or the image")


def test_unknown_blob(net):
    with pytest.raises(SurgeryError, match="no blob 'scores'; it has data, conv1, score_fr, upscore, score"):
        diagnose(net, "scores")


def test_diagnose_on_genuine_caffe_oracle(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    found = run_bvlc(f"""
        sys.path[:0] = [{str(ROOT)!r}]
        import surgery
        from surgery.diagnose import diagnose
        net = caffe.Net({str(tmp_path / "net.prototxt")!r}, caffe.TEST)
        net.blobs["data"].data[...] = np.random.RandomState(0).randn(1, 3, 40, 40)
        net.forward()
        out["dead"] = diagnose(net)
        surgery.interp(net, ["upscore"])
        net.forward()
        out["living"] = np.array(diagnose(net), str)
        """)
    assert found["dead"][0].startswith("layer 'upscore': upsampling kernels are zero")
    assert found["living"].size == 0

"""Casting classifiers to fully convolutional nets, in our engine and in genuine Caffe."""

from __future__ import annotations

import os

import numpy as np
import pytest
from bvlc import ROOT, run_bvlc
from data_nets import net_of
from tiny_nets import CLASSIFIER, FCN, up

import caffe
import surgery
from caffe.proto import caffe_pb2
from surgery import base_nets
from surgery.report import SurgeryError


def prototxts(tmp_path, fcn=FCN):
    (tmp_path / "classifier.prototxt").write_text(CLASSIFIER)
    (tmp_path / "fcn.prototxt").write_text(fcn)
    return tmp_path / "classifier.prototxt", tmp_path / "fcn.prototxt"


def as_v1(net):
    """Make of a net's parameters what ILSVRC's caffemodels are: V1 layers, 4-D legacy shapes."""
    message = caffe_pb2.NetParameter(name="old")
    for name, blobs in net.params.items():
        layer = message.layers.add(name=name)
        layer.type = (caffe_pb2.V1LayerParameter.CONVOLUTION if name == "conv1"
                      else caffe_pb2.V1LayerParameter.INNER_PRODUCT)
        for blob in blobs:
            shape = (1,) * (4 - blob.data.ndim) + blob.data.shape
            layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3],
                            data=blob.data.ravel().tolist())
    return message.SerializeToString()


def test_cast_computes_what_the_classifier_does_from_a_v1_file(tmp_path):
    classifier, fcn = prototxts(tmp_path)
    net = caffe.Net(str(classifier), caffe.TEST)
    (tmp_path / "v1.caffemodel").write_bytes(as_v1(net))
    out = tmp_path / "new/fcn.caffemodel"
    report = base_nets.cast(classifier, tmp_path / "v1.caffemodel", fcn, out)
    assert [o.layer for o in report.dropped] == ["fc8"] and len(report.coerced) == 2
    assert os.listdir(out.parent) == ["fcn.caffemodel"]
    cast = caffe.Net(str(fcn), caffe.TEST, weights=str(out))
    x = np.random.RandomState(0).randn(2, 3, 9, 8)
    for each in (net, cast):
        each.blobs["data"].data[...] = x
        each.forward()
    want = net.blobs["fc7"].data
    np.testing.assert_allclose(cast.blobs["fc7"].data[:, :, 0, 0], want, atol=1e-6 * abs(want).max())


def test_cast_and_interp_on_genuine_caffe_oracle(tmp_path):
    classifier, fcn = prototxts(tmp_path, FCN + up("upscore", "fc7", 5, 4, 2))
    net = caffe.Net(str(classifier), caffe.TEST)
    (tmp_path / "v1.caffemodel").write_bytes(as_v1(net))
    x = np.random.RandomState(0).randn(2, 3, 9, 8).astype(np.float32)

    def operate(folder):
        new = caffe.Net(str(fcn), caffe.TEST)
        surgery.transplant(new, caffe.Net(str(classifier), caffe.TEST, weights=str(tmp_path / "v1.caffemodel")))
        surgery.interp(new, ["upscore"])
        new.save(str(folder / "ours.caffemodel"))
        new.blobs["data"].data[...] = x
        return new.forward()["upscore"]

    ours = operate(tmp_path)
    found = run_bvlc(f"""
        sys.path[:0] = [{str(ROOT)!r}]
        import surgery
        from surgery import base_nets
        classifier, fcn, v1 = {str(classifier)!r}, {str(fcn)!r}, {str(tmp_path / "v1.caffemodel")!r}
        new = caffe.Net(fcn, caffe.TEST)
        report = surgery.transplant(new, caffe.Net(classifier, caffe.TEST, weights=v1))
        surgery.interp(new, [name for name in new.params if "up" in name])
        new.save({str(tmp_path / "theirs.caffemodel")!r})
        new.blobs["data"].data[...] = inp["x"]
        out["upscore"] = new.forward()["upscore"]
        out["report"] = str(report)
        """, x=x)
    np.testing.assert_allclose(ours, found["upscore"], atol=2e-5 * abs(ours).max())
    assert "coercing fc6 0 -> fc6 from (6, 288) to (6, 4, 9, 8)" in str(found["report"])
    assert (tmp_path / "ours.caffemodel").read_bytes() == (tmp_path / "theirs.caffemodel").read_bytes()


def test_cast_refuses_a_net_that_gets_nothing_for_a_layer(tmp_path):
    classifier, fcn = prototxts(tmp_path, FCN.replace('"fc7"', '"fc7_conv"'))
    caffe.Net(str(classifier), caffe.TEST).save(str(tmp_path / "a.caffemodel"))
    with pytest.raises(SurgeryError, match="the classifier has nothing for fc7_conv; give both"):
        base_nets.cast(classifier, tmp_path / "a.caffemodel", fcn, tmp_path / "b.caffemodel")
    assert not (tmp_path / "b.caffemodel").exists()


def test_save_whole_leaves_what_was_there_when_saving_fails(tmp_path):
    class Failing:
        def save(self, path):
            with open(path, "wb") as stream:
                stream.write(b"half")
            raise OSError(28, "No space left on device")

    (tmp_path / "a.caffemodel").write_bytes(b"before")
    with pytest.raises(OSError, match="No space"):
        base_nets.save_whole(Failing(), tmp_path / "a.caffemodel")
    assert os.listdir(tmp_path) == ["a.caffemodel"]
    assert (tmp_path / "a.caffemodel").read_bytes() == b"before"


def test_base_net_says_what_is_missing_and_where_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SurgeryError, match=r"VGG_ILSVRC_16_layers.caffemodel' is missing \(553,432,081 "
                       r"bytes, sha1 9363e1f6.*get it from http://www.robots.ox.ac.uk/.*put it there"):
        base_nets.main(["vgg16-fcn"])
    with pytest.raises(SurgeryError, match="shapes-vgg16.caffemodel' is missing .*make shapes-vgg16"):
        base_nets.main(["shapes-vgg16-fcn"])
    with pytest.raises(SurgeryError, match="'vgg19' is unknown; known are vgg16-fcn, alexnet-fcn, googlenet-fcn, "):
        base_nets.main(["vgg19"])
    with pytest.raises(SurgeryError, match="VGG_ILSVRC_16_layers.caffemodel' is missing"):
        base_nets.main(["ilsvrc-vgg16"])  # by the classifier's name


def test_base_net_refuses_another_file_under_the_published_name(tmp_path, monkeypatch):
    from dataclasses import replace
    path = tmp_path / "VGG.caffemodel"
    path.write_bytes(b"truncated")
    row = replace(base_nets.BASE_NETS["vgg16-fcn"], weights=str(path))
    with pytest.raises(SurgeryError, match="has 9 bytes, want 553,432,081 bytes"):
        base_nets.require(row)
    with pytest.raises(SurgeryError, match="has sha1 .*, want 9 bytes, sha1 9363"):
        base_nets.require(replace(row, size=9))


def test_embedded_base_net_is_cast_by_its_zoo_rows_smoke(tmp_path, capsys):
    from nets.zoo import emit
    net = net_of(tmp_path, str(emit("shapes-vgg16", "deploy")))
    net.save(str(tmp_path / "classifier.caffemodel"))
    out = tmp_path / "fcn.caffemodel"
    assert base_nets.main(["shapes-vgg16-fcn", "--weights", str(tmp_path / "classifier.caffemodel"),
                           "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith("copying 28, coercing 2, dropping 1\n")
    fcn = net_of(tmp_path, str(emit("shapes-vgg16-fcn", "deploy")))
    fcn.copy_from(str(out))
    np.testing.assert_array_equal(fcn.params["fc6"][0].data.ravel(), net.params["fc6"][0].data.ravel())

"""Surgery: transplant, expand_score, interp, identity_plus and the cast of classifiers."""

from __future__ import annotations

import os

import numpy as np
import pytest
from bvlc import ROOT, run_bvlc
from data_nets import net_of

import caffe
import surgery
from caffe.proto import caffe_pb2
from surgery import base_nets
from surgery.report import SurgeryError

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }\n'
MSRA = 'weight_filler { type: "msra" } bias_filler { type: "uniform" }'


def conv(name, bottom, num_output, kernel, more=""):
    return (f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
            f"convolution_param {{ num_output: {num_output} kernel_size: {kernel} {MSRA} {more} }} }}\n")


def full(name, bottom, num_output):
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
            f"inner_product_param {{ num_output: {num_output} {MSRA} }} }}\n")


def up(name, bottom, num_output, kernel, stride, more=""):
    return (f'layer {{ name: "{name}" type: "Deconvolution" bottom: "{bottom}" top: "{name}" '
            f"convolution_param {{ num_output: {num_output} kernel_size: {kernel} stride: {stride} "
            f"bias_term: false {more} }} }}\n")


def image(*shape):
    return INPUT % " ".join(f"dim: {side}" for side in shape)


def values(net):
    return {(name, i): blob.data.copy() for name, blobs in net.params.items()
            for i, blob in enumerate(blobs)}


def assert_unchanged(net, before):
    for key, blob in values(net).items():
        np.testing.assert_array_equal(blob, before[key])


CLASSIFIER = image(2, 3, 9, 8) + conv("conv1", "data", 4, 3, "pad: 1") + full("fc6", "conv1", 6) + \
    full("fc7", "fc6", 5) + full("fc8", "fc7", 3)
FCN = image(2, 3, 9, 8) + conv("conv1", "data", 4, 3, "pad: 1") + \
    conv("fc6", "conv1", 6, 1, "").replace("kernel_size: 1", "kernel_h: 9 kernel_w: 8") + \
    conv("fc7", "fc6", 5, 1)


# --- bilinear kernels

@pytest.mark.parametrize("size, ramp", [
    (1, [1]), (2, [.5, .5]), (3, [.5, 1, .5]), (4, [.25, .75, .75, .25]),
    (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])])
def test_upsample_filt_is_the_outer_product_of_ramps(size, ramp):
    np.testing.assert_allclose(surgery.upsample_filt(size), np.outer(ramp, ramp), rtol=1e-15)


@pytest.mark.parametrize("size", [4, 15, 16, 32, 63, 64])
def test_upsample_filt_keeps_a_constant(size):
    factor = (size + 1) // 2
    ramp = surgery.upsample_filt(size)[size // 2] / surgery.upsample_filt(size)[size // 2].max()
    kernel = surgery.upsample_filt(size)
    for y in range(factor):  # each output pixel of stride `factor` sees these taps
        for x in range(factor):
            assert kernel[y::factor, x::factor].sum() == pytest.approx(1, abs=1e-12)
    assert ramp.max() == 1


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_upsample_filt_wants_a_size(size):
    with pytest.raises(SurgeryError, match="whole number from 1 up"):
        surgery.upsample_filt(size)


def test_interp_fills_the_diagonal_and_nothing_else(tmp_path):
    net = net_of(tmp_path, image(1, 3, 4, 4) + up("upscore", "data", 3, 4, 2))
    net.params["upscore"][0].data[...] = 7
    report = surgery.interp(net, ["upscore"])
    weights = net.params["upscore"][0].data
    for i in range(3):
        for j in range(3):
            want = surgery.upsample_filt(4) if i == j else np.full((4, 4), 7)
            np.testing.assert_array_equal(weights[i, j], want.astype(np.float32))
    assert str(report) == "filling upscore 0 (bilinear 4x4, 3 channels)"


def test_interp_fills_grouped_kernels_which_upsample_alike(tmp_path):
    text = image(1, 3, 4, 5) + up("upa", "data", 3, 4, 2) + up("upb", "data", 3, 4, 2, "group: 3")
    net = net_of(tmp_path, text)
    surgery.interp(net, [name for name in net.params if "up" in name])
    assert net.params["upb"][0].data.shape == (3, 1, 4, 4)
    net.blobs["data"].data[...] = np.random.RandomState(0).randn(1, 3, 4, 5)
    net.forward()
    np.testing.assert_allclose(net.blobs["upa"].data, net.blobs["upb"].data, atol=1e-6)
    net.blobs["data"].data[...] = 1
    net.forward()
    np.testing.assert_allclose(net.blobs["upa"].data[:, :, 2:-2, 2:-2], 1, atol=1e-6)


@pytest.mark.parametrize("layers, message", [
    (["upok", "up"], "layer 'up' has no parameters in this net; layers that have: upok"),
    (["upok", "upmk"], "'upmk' has weights of shape .* need to be the same"),
    (["upok", "uphw"], "'uphw' has a kernel of 4x2; it must be square"),
    (["upok", "fc"], "'fc' has weights of shape .*; it takes a Deconvolution"),
    ("upok", r"layers is the text 'upok'; it takes a list of names")])
def test_interp_refuses_and_changes_nothing(tmp_path, layers, message):
    text = image(1, 4, 4, 4) + up("upok", "data", 4, 4, 2) + up("upmk", "data", 2, 4, 2) + \
        up("uphw", "data", 4, 4, 2).replace("kernel_size: 4", "kernel_h: 4 kernel_w: 2") + \
        full("fc", "data", 2)
    net = net_of(tmp_path, text)
    before = values(net)
    with pytest.raises(SurgeryError, match=message):
        surgery.interp(net, layers)
    assert_unchanged(net, before)


# --- transplant

def test_transplant_copies_coerces_drops_and_keeps(tmp_path, capsys):
    old = net_of(tmp_path, CLASSIFIER)
    new = net_of(tmp_path, FCN + conv("score_fr", "fc7", 2, 1))
    before = values(new)
    report = surgery.transplant(new, old)
    for layer in ("conv1", "fc6", "fc7"):
        for i in (0, 1):
            np.testing.assert_array_equal(new.params[layer][i].data.ravel(),
                                          old.params[layer][i].data.ravel())
    for i in (0, 1):
        np.testing.assert_array_equal(new.params["score_fr"][i].data, before["score_fr", i])
    assert [(o.layer, o.index) for o in report.copied] == [
        ("conv1", 0), ("conv1", 1), ("fc6", 1), ("fc7", 1)]
    assert [(o.layer, o.shape, o.new_shape) for o in report.coerced] == [
        ("fc6", (6, 288), (6, 4, 9, 8)), ("fc7", (5, 6), (5, 6, 1, 1))]
    assert [o.layer for o in report.dropped] == ["fc8"]
    assert [o.layer for o in report.kept] == ["score_fr"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "copying conv1 0 -> conv1"
    assert "coercing fc6 0 -> fc6 from (6, 288) to (6, 4, 9, 8)" in lines
    assert lines[-1].startswith("dropping fc8")
    assert str(report).splitlines()[:-1] == lines
    assert report.summary() == "copying 4, coercing 2, dropping 1, keeping 1"


def test_transplant_with_suffix(tmp_path):
    old = net_of(tmp_path, image(1, 3, 4, 4) + conv("conv1", "data", 2, 3))
    new = net_of(tmp_path, image(1, 3, 4, 4) + conv("conv1", "data", 2, 3)
                 + conv("conv1hha", "data", 2, 3))
    before = values(new)
    surgery.transplant(new, old, "hha")
    np.testing.assert_array_equal(new.params["conv1hha"][0].data, old.params["conv1"][0].data)
    np.testing.assert_array_equal(new.params["conv1"][0].data, before["conv1", 0])


@pytest.mark.parametrize("old_classes, new_classes", [(3, 5), (5, 3)])
def test_transplant_refuses_other_counts_before_it_writes(tmp_path, old_classes, new_classes):
    both = [net_of(tmp_path, image(1, 3, 4, 4) + conv("conv1", "data", 4, 3)
                   + conv("score", "conv1", classes, 1)) for classes in (new_classes, old_classes)]
    before = values(both[0])
    with pytest.raises(SurgeryError, match=r"'score' blob 0 has shape .* wants .*expand_score"):
        surgery.transplant(*both)
    assert_unchanged(both[0], before)


def test_transplant_drops_a_bias_without_a_place_and_keeps_one_without_a_source(tmp_path):
    text = image(1, 3, 4, 4) + conv("conv1", "data", 2, 3)
    biased = net_of(tmp_path, text)
    bare = net_of(tmp_path, text.replace("kernel_size", "bias_term: false kernel_size"))
    report = surgery.transplant(bare, biased)
    assert [(o.layer, o.index) for o in report.dropped] == [("conv1", 1)]
    bias = biased.params["conv1"][1].data.copy()
    bare.params["conv1"][0].data[...] = 2
    report = surgery.transplant(biased, bare)
    assert (biased.params["conv1"][0].data == 2).all()
    np.testing.assert_array_equal(biased.params["conv1"][1].data, bias)
    assert [o.layer for o in report.kept] == ["conv1"]


def test_transplant_of_nothing_is_an_error(tmp_path):
    with pytest.raises(SurgeryError, match="none of the 1 layers with parameters"):
        surgery.transplant(net_of(tmp_path, image(1, 3, 4, 4) + conv("a", "data", 2, 3)),
                           net_of(tmp_path, image(1, 3, 4, 4) + conv("b", "data", 2, 3)))


def test_expand_score_fills_the_first_classes(tmp_path):
    old = net_of(tmp_path, image(1, 3, 4, 4) + conv("score", "data", 3, 1))
    new = net_of(tmp_path, image(1, 3, 4, 4) + conv("score5", "data", 5, 1))
    before = values(new)
    report = surgery.expand_score(new, "score5", old, "score")
    for i in (0, 1):
        np.testing.assert_array_equal(new.params["score5"][i].data[:3], old.params["score"][i].data)
        np.testing.assert_array_equal(new.params["score5"][i].data[3:], before["score5", i][3:])
    assert len(report.of("expanding")) == 2


@pytest.mark.parametrize("pair, message", [
    (("score5", "score"), "fit into the first classes|does not fit"), (("score", "nothing"), "no parameters"),
    (("score", "wide"), "weights an output"), (("score", "bare"), "give both a bias")])
def test_expand_score_refuses_and_changes_nothing(tmp_path, pair, message):
    net = net_of(tmp_path, image(1, 3, 4, 4) + conv("score", "data", 3, 1) + conv("score5", "data", 5, 1)
                 + conv("wide", "score", 3, 2) + conv("bare", "data", 3, 1, "bias_term: false"))
    old, new = pair
    before = values(net)
    with pytest.raises(SurgeryError, match=message):
        surgery.expand_score(net, new, net, old)
    assert_unchanged(net, before)


# --- identity_plus

def test_identity_plus_is_seeded_and_near_the_identity(tmp_path):
    text = image(1, 16, 9, 9) + conv("conv1", "data", 16, 3, "pad: 1") + conv("conv2", "conv1", 8, 3)
    net = net_of(tmp_path, text)
    bias = net.params["conv1"][1].data.copy()
    assert surgery.layers_keeping_width(net) == ["conv1"]
    surgery.identity_plus(net, ["conv1"], 0)
    net.blobs["data"].data[...] = np.random.RandomState(0).randn(1, 16, 9, 9)
    net.forward()
    np.testing.assert_allclose(net.blobs["conv1"].data - bias.reshape(-1, 1, 1),
                               net.blobs["data"].data, atol=1e-6)
    surgery.identity_plus(net, ["conv1"], seed=3)
    first = net.params["conv1"][0].data.copy()
    noise = first.copy()
    noise[np.arange(16), np.arange(16), 1, 1] -= 1
    assert noise.std() == pytest.approx(0.35 * np.sqrt(2 / 144), rel=0.06)  # 2304 draws
    surgery.identity_plus(net, ["conv1"], seed=3)
    np.testing.assert_array_equal(net.params["conv1"][0].data, first)
    surgery.identity_plus(net, ["conv1"], seed=4)
    assert (net.params["conv1"][0].data != first).mean() > 0.99


@pytest.mark.parametrize("layers, message", [
    (["conv1", "conv2"], r"'conv2' has weights of shape \(2, 4, 3, 3\); it takes"),
    (["conv3"], "no parameters in this net"), ("conv1", "it takes a list")])
def test_identity_plus_refuses_and_changes_nothing(tmp_path, layers, message):
    net = net_of(tmp_path, image(1, 4, 9, 9) + conv("conv1", "data", 4, 3) + conv("conv2", "conv1", 2, 3))
    before = values(net)
    with pytest.raises(SurgeryError, match=message):
        surgery.identity_plus(net, layers)
    assert_unchanged(net, before)


# --- casting classifiers

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
    with pytest.raises(SurgeryError, match="'vgg19' is unknown; known are vgg16-fcn, shapes-vgg16-fcn"):
        base_nets.main(["vgg19"])


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

"""Surgery: transplant, expand_score, interp, identity_plus and the cast of classifiers."""

from __future__ import annotations

import numpy as np
import pytest
from data_nets import net_of
from tiny_nets import CLASSIFIER, FCN, assert_unchanged, conv, full, image, up, values

import surgery
from surgery.report import SurgeryError

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

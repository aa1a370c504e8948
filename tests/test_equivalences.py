"""Nets that must give the same scores, whatever their weights: on slim nets, to 1e-5 of the largest score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from data_nets import net_of

import caffe
import surgery
from caffe import layers as L
from nets.rows import CastForm, Classifier
from nets.zoo import ZOO, slimmed

SIZE = (40, 52)
MOST = 1e-5  # of the largest score


def slim(folder, name, size=SIZE, **changes):
    """The slim deploy net of a row, bilinear kernels in place."""
    row = replace(slimmed(ZOO[name]), size=size, **changes)
    folder.mkdir(exist_ok=True)
    net = net_of(folder, str(row.build("deploy", {}).to_proto()))
    surgery.interp(net, [layer for layer in net.params if "up" in layer])
    return net


def fill(net, seed):
    """Fill all but the upsampling with weights under which features keep their size."""
    rng = np.random.RandomState(seed)
    for layer, (weights, *bias) in net.params.items():
        if "up" not in layer:
            fan_in = weights.data[0].size
            weights.data[...] = rng.normal(0, np.sqrt(2 / fan_in), weights.data.shape)
            for blob in bias:
                blob.data[...] = rng.normal(0, 0.1, blob.data.shape)


def share(net, other, suffix=""):
    """Copy the layers of `other` that `net` has under the same name and suffix."""
    for layer, blobs in other.params.items():
        if layer + suffix in net.params:
            for into, blob in zip(net.params[layer + suffix], blobs, strict=True):
                into.data[...] = blob.data


def scores(net, blob="score", **images):
    for name, image in images.items():
        net.blobs[name].data[...] = image
    net.forward()
    return net.blobs[blob].data.copy()


def assert_same(found, want):
    assert abs(want).max() > 1e-3, "the comparison needs scores"
    np.testing.assert_allclose(found, want, rtol=0, atol=MOST * abs(want).max())


def image(channels=3, size=SIZE, seed=0):
    return np.random.RandomState(seed).normal(0, 1, (1, channels, *size)).astype(np.float32)


def test_late_fusion_is_the_mean_of_the_two_nets(tmp_path):
    color, hha = (slim(tmp_path / kind, f"nyud-fcn32s-{kind}") for kind in ("color", "hha"))
    both = slim(tmp_path / "both", "nyud-fcn32s-color-hha")
    for seed, (net, suffix) in enumerate(((color, "color"), (hha, "hha"))):
        fill(net, seed)
        share(both, net, suffix)
    one, two = image(seed=1), image(seed=2)
    want = (scores(color, data=one) + scores(hha, data=two)) / 2
    assert_same(scores(both, color=one, hha=two), want)


def test_early_fusion_without_depth_is_the_colour_net(tmp_path):
    color, early = slim(tmp_path / "color", "nyud-fcn32s-color"), slim(tmp_path / "early", "nyud-fcn32s-color-d")
    fill(color, 0)
    share(early, color)
    surgery.widen(early, "conv1_1_bgrd", color, "conv1_1")
    assert_same(scores(early, color=image(), depth=0), scores(color, data=image()))
    assert abs(scores(early, color=image(), depth=1) - scores(color, data=image())).max() > 1e-3


@pytest.mark.parametrize("name", ["voc-fcn16s", "nyud-fcn16s-color-hha"])
def test_16s_without_its_skip_is_32s_upsampled_in_the_same_two_steps(tmp_path, name):
    fine = slim(tmp_path / "fine", name)
    fill(fine, 0)
    for layer in fine.params:
        if layer.startswith("score_pool4"):
            for blob in fine.params[layer]:
                blob.data[...] = 0
    late = "score_fused" in fine.blobs
    images = dict(color=image(seed=1), hha=image(seed=2)) if late else dict(data=image())
    found = scores(fine, **images)
    coarse = fine.blobs["score_fused" if late else "score_fr"].data
    classes = coarse.shape[1]
    steps = two_steps(tmp_path / "steps", coarse.shape)
    want = scores(steps, data=coarse)[:, :, 27:27 + SIZE[0], 27:27 + SIZE[1]]
    assert want.shape == (1, classes, *SIZE)
    assert_same(found, want)


def two_steps(folder, shape):
    """A net that upsamples scores by 2 and then by 16."""


    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=list(shape))))
    for name, bottom, stride in (("up2", "data", 2), ("score", "up2", 16)):
        n[name] = L.Deconvolution(n[bottom], convolution_param=dict(
            num_output=shape[1], kernel_size=2 * stride, stride=stride, bias_term=False))
    folder.mkdir()
    net = net_of(folder, str(n.to_proto()))
    surgery.interp(net, ["up2", "score"])
    return net


@pytest.mark.parametrize("name", ["voc-fcn8s", "voc-fcn-alexnet"])
def test_grouped_upsampling_is_ungrouped(tmp_path, name):
    row = replace(slimmed(ZOO[name]), size=SIZE)
    definition = row.build("deploy", {}).to_proto()
    nets = []
    for kind in ("ungrouped", "grouped"):
        for layer in definition.layer:
            if layer.type == "Deconvolution" and kind == "grouped":
                layer.convolution_param.group = layer.convolution_param.num_output
        (tmp_path / kind).mkdir()
        net = net_of(tmp_path / kind, str(definition))
        fill(net, 0)
        surgery.interp(net, [layer for layer in net.params if "up" in layer])
        nets.append(net)
    ungrouped, grouped = nets
    assert grouped.params["upscore" + name[7:-1].replace("-alexne", "")][0].data.shape[1] == 1
    assert_same(scores(grouped, data=image()), scores(ungrouped, data=image()))


@pytest.mark.parametrize("trunk, end, top", [
    ("vgg16", "fc7", "fc7"), ("caffenet", "fc7", "fc7"), ("googlenet", "inception_5b/output", "pool5/7x7_s1")])
def test_a_cast_is_its_classifier_on_the_classifiers_image(tmp_path, trunk, end, top):
    row = slimmed(ZOO[f"ilsvrc-{trunk}"])
    assert isinstance(row, Classifier)
    cast_row = slimmed(ZOO[f"ilsvrc-{trunk}-fcn"])
    assert isinstance(cast_row, CastForm) and cast_row.size == row.size
    nets = []
    for kind, each in (("classifier", row), ("cast", cast_row)):
        (tmp_path / kind).mkdir()
        nets.append(net_of(tmp_path / kind, str(each.build("deploy", {}).to_proto())))
    classifier, cast = nets
    fill(classifier, 0)
    surgery.transplant(cast, classifier)
    given = image(size=row.size)
    want, found = scores(classifier, top, data=given), scores(cast, end, data=given)
    if trunk == "googlenet":  # the trunk ends below the average over all places
        found = found.mean(axis=(2, 3), keepdims=True)
    assert found.shape[2:] == (1, 1)
    assert_same(found.ravel(), want.ravel())


def test_class_weights_change_the_loss_alone():
    row = replace(ZOO["voc-fcn32s"], class_weights="data/weights.binaryproto")
    loss = row.build("train", {}).to_proto().layer[-1]
    assert (loss.type, loss.infogain_loss_param.source) == ("InfogainLoss", "data/weights.binaryproto")
    assert (loss.loss_param.ignore_label, loss.loss_param.normalize) == (255, False)
    assert ZOO["voc-fcn32s"].build("deploy", {}).to_proto() == row.build("deploy", {}).to_proto()

"""Where trainings start that begin from several nets, or from a net with fewer channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from train_project import make_weights

import caffe
import surgery
from nets.prototxt import write_prototxt
from nets.zoo import ZOO, slimmed
from solvers import start
from solvers.recipes import RECIPES
from surgery.report import SurgeryError

BASE = "ilsvrc-vgg16-fcn"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Slim deploy nets and random weights, as trainings find them."""
    root = tmp_path_factory.mktemp("project")
    for seed, (name, weights) in enumerate((
            (BASE, RECIPES["nyud-fcn32s-color"].init), *((graft.net, graft.weights) for graft in
                                                         RECIPES["nyud-fcn32s-color-hha"].transplants))):
        prototxt = root / f"models/{name}/deploy.prototxt"
        write_prototxt(slimmed(ZOO[name]).build("deploy", {}).to_proto(), prototxt)
        make_weights(root / weights, prototxt, seed)
    for name in ("nyud-fcn32s-color-d", "nyud-fcn32s-color-hha"):
        write_prototxt(slimmed(ZOO[name]).build("deploy", {}).to_proto(), root / f"{name}.prototxt")
    return root


def begun(project, monkeypatch, name):
    monkeypatch.chdir(project)
    net = caffe.Net(f"{name}.prototxt", caffe.TEST)
    start.begin(name, net, RECIPES[name], RECIPES[name].init)
    return net


def test_depth_starts_from_the_mean_of_the_colours(project, monkeypatch):
    net = begun(project, monkeypatch, "nyud-fcn32s-color-d")
    base = caffe.Net(f"models/{BASE}/deploy.prototxt", caffe.TEST, weights=RECIPES["nyud-fcn32s-color"].init)
    given, found = base.params["conv1_1"][0].data, net.params["conv1_1_bgrd"][0].data
    np.testing.assert_array_equal(found[:, :3], given)
    np.testing.assert_array_equal(found[:, 3], given.mean(axis=1))
    np.testing.assert_array_equal(net.params["conv1_1_bgrd"][1].data, base.params["conv1_1"][1].data)
    np.testing.assert_array_equal(net.params["fc7"][0].data, base.params["fc7"][0].data)
    np.testing.assert_array_equal(net.params["upscore"][0].data[3, 3], surgery.upsample_filt(64).astype(np.float32))


def test_each_trunk_of_late_fusion_starts_from_its_own_net(project, monkeypatch):
    net = begun(project, monkeypatch, "nyud-fcn32s-color-hha")
    for graft in RECIPES["nyud-fcn32s-color-hha"].transplants:
        source = caffe.Net(f"models/{graft.net}/deploy.prototxt", caffe.TEST, weights=graft.weights)
        for layer in ("conv1_1", "fc6", "score_fr"):
            for i in (0, 1):
                np.testing.assert_array_equal(net.params[layer + graft.suffix][i].data, source.params[layer][i].data)


def test_a_changed_source_is_another_training(project, monkeypatch):
    monkeypatch.chdir(project)
    row = RECIPES["nyud-fcn32s-color-hha"]
    before = start.origin(row, None)
    assert start.origin(row, "given.caffemodel") == {"surgery": ("interp",)} and len(before["transplants"]) == 2
    second = Path(row.transplants[1].weights)
    content = second.read_bytes()
    try:
        second.write_bytes(content + b"\0")
        assert start.origin(row, None) != before
        second.unlink()
        assert start.origin(row, None)["transplants"][1][-1] is None
    finally:
        second.write_bytes(content)


@pytest.mark.parametrize("new_layer, layer, words", [
    ("conv9", "conv1_1", "'conv9' has no parameters"), ("conv1_1_bgrd", "conv9", "'conv9' has no parameters"),
    ("conv1_1_bgrd", "conv1_2", "want one channel more"), ("conv1_1_bgrd", "upscore", "want one channel more")])
def test_widen_refuses_other_shapes_and_changes_nothing(project, monkeypatch, new_layer, layer, words):
    monkeypatch.chdir(project)
    net = caffe.Net("nyud-fcn32s-color-d.prototxt", caffe.TEST)
    source = caffe.Net("models/nyud-fcn32s-color/deploy.prototxt", caffe.TEST)
    with pytest.raises(SurgeryError, match=words):
        surgery.widen(net, new_layer, source, layer)
    assert not net.params["conv1_1_bgrd"][0].data.any()

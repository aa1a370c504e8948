"""torchvision's classifiers as caffemodels and back: equal scores, and what cannot be converted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe
from caffe.convert import convert, main
from tests.caffe import torchvision_nets as tv

SCORE = {"torchvision-vgg16": "fc8", "torchvision-alexnet": "fc8", "torchvision-googlenet": "loss3/classifier"}
MEANS = {name: (127.5,) * 3 if "google" in name else (103.53, 116.28, 123.675) for name in SCORE}
VOC_MEAN = (104.00699, 116.66877, 122.67892)


@pytest.fixture
def images():
    return np.random.default_rng(5).integers(0, 256, (2, 3, 224, 224)).astype(np.float32)


def save(net, path, **more):
    torch.save(dict(net.state_dict(), **more), path)
    return path


def caffe_scores(prototxt, weights, images_rgb, mean_bgr, blob):
    net = caffe.Net(str(prototxt), caffe.TEST, weights=str(weights))
    net.blobs["data"].reshape(*images_rgb.shape)
    net.blobs["data"].data[...] = images_rgb[:, ::-1] - np.array(mean_bgr, np.float32)[:, None, None]
    net.forward()
    return net.blobs[blob].data.copy()


def torch_scores(net, images_rgb):
    with torch.no_grad():
        return net.double()(tv.normalised(images_rgb)).numpy()


def assert_equal_scores(got, want):
    assert np.abs(want).max() > 0.1 and np.ptp(want) > 0.1
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("name", SCORE)
def test_scores_are_equal_and_the_form_is_found(name, images, tmp_path):
    net = tv.make(name)
    done = convert(save(net, tmp_path / "net.pth"), tmp_path / "net.caffemodel")
    assert name in done.found and done.mean_bgr == pytest.approx(MEANS[name], abs=1e-9)
    got = caffe_scores(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", images, MEANS[name], SCORE[name])
    assert_equal_scores(got, torch_scores(net, images))
    assert "less mean" in (tmp_path / "net.prototxt").read_text().splitlines()[0]


@pytest.mark.parametrize("name", SCORE)
def test_back_again_gives_equal_scores(name, images, tmp_path):
    net, other = tv.make(name), tv.make(name, seed=1)
    convert(save(net, tmp_path / "a.pth"), tmp_path / "a.caffemodel")
    convert(tmp_path / "a.caffemodel", tmp_path / "b.pth", target_form=name)
    other.load_state_dict(torch.load(tmp_path / "b.pth", weights_only=True))  # strict: every key, every shape
    assert_equal_scores(torch_scores(other, images), torch_scores(net, images))


def test_another_mean_is_exact_away_from_the_border(tmp_path):
    net = tv.make("torchvision-vgg16")
    weights = save(net, tmp_path / "net.pth")
    convert(weights, tmp_path / "net.caffemodel", mean_bgr=VOC_MEAN)
    image = np.random.default_rng(1).integers(0, 256, (1, 3, 224, 224)).astype(np.float32)
    got = caffe_scores(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", image, VOC_MEAN, "conv1_1")
    with torch.no_grad():
        want = torch.relu(net.double().features[0](tv.normalised(image))).numpy()
    inside = np.s_[..., 1:-1, 1:-1]
    assert_equal_scores(got[inside], want[inside])
    border = np.abs(got - want)[..., 0, :].max() / np.abs(want).max()
    assert 1e-4 < border < 0.05
    back = tmp_path / "back.pth"
    convert(tmp_path / "net.caffemodel", back, target_form="torchvision-vgg16", mean_bgr=VOC_MEAN)
    for key, array in torch.load(back, weights_only=True).items():
        assert torch.allclose(array, net.state_dict()[key].float(), rtol=1e-5, atol=1e-6), key


def test_googlenet_without_transform_input(images, tmp_path):
    net = tv.make("torchvision-googlenet", transform_input=False)
    aux = {"aux1.fc1.weight": torch.zeros(2, 2), "aux2.conv.bn.num_batches_tracked": torch.tensor(3)}
    convert(save(net, tmp_path / "net.pth", **aux), tmp_path / "net.caffemodel", images="imagenet")
    got = caffe_scores(tmp_path / "net.prototxt", tmp_path / "net.caffemodel", images,
                       MEANS["torchvision-vgg16"], SCORE["torchvision-googlenet"])
    assert_equal_scores(got, torch_scores(net, images))


def test_weights_that_came_from_caffe_stay_as_they_are(tmp_path):
    net = tv.make("torchvision-vgg16")
    done = convert(save(net, tmp_path / "vgg16_from_caffe.pth"), tmp_path / "net.caffemodel", images="caffe")
    assert done.mean_bgr is None
    found = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST, weights=str(tmp_path / "net.caffemodel"))
    np.testing.assert_array_equal(found.params["conv1_1"][0].data, net.state_dict()["features.0.weight"].numpy())
    np.testing.assert_array_equal(found.params["fc8"][1].data, net.state_dict()["classifier.6.bias"].numpy())


def test_the_published_vgg16_has_the_zoos_layers():
    from caffe._caffe.convert.torchvision import ARCHITECTURES

    keys = ARCHITECTURES["torchvision-vgg16"].keys()
    assert len(keys) == 32 and keys[0] == "features.0.weight" and keys[-1] == "classifier.6.bias"
    assert len(ARCHITECTURES["torchvision-alexnet"].keys()) == 16
    assert len(ARCHITECTURES["torchvision-googlenet"].keys()) == 57 * 5 + 2
    assert set(ARCHITECTURES["torchvision-googlenet"].keys()) == {
        key for key in tv.make("torchvision-googlenet").state_dict() if not key.endswith("num_batches_tracked")}


def broken(kind):
    state = tv.make("torchvision-vgg16").state_dict()
    if kind == "missing":
        del state["features.28.bias"], state["classifier.3.weight"]
    elif kind == "nan":
        state["classifier.0.weight"][0, 0] = float("nan")
    elif kind == "shape":
        state["features.2.weight"] = torch.zeros(4, 3, 3, 3)
    elif kind == "bias":
        state["features.2.bias"] = torch.zeros(3)
    elif kind == "other":
        state["features.31.weight"] = torch.zeros(4, 4, 3, 3)
    return state


@pytest.mark.parametrize(("kind", "words"), [
    ("missing", ["2 of 32 keys missing", "features.28.bias", "classifier.3.weight"]),
    ("nan", ["'classifier.0'", "nan or infinite"]),
    ("shape", ["'conv1_2' has shapes [(4, 3, 3, 3)", "want [(4, 4, 3, 3)"]),
    ("bias", ["'features.2'", "(3,)"]),
    ("other", ["no known form", "features.0.weight", "--from", "torchvision-vgg16"]),
])
def test_what_does_not_fit_is_named(kind, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")  # as the command sets it
    torch.save(broken(kind), tmp_path / "net.pth")
    assert main([str(tmp_path / "net.pth"), str(tmp_path / "net.caffemodel")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert all(word in said for word in words), said
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_prototxt_in_the_way_stops_before_anything_is_written(tmp_path, capsys):
    save(tv.make("torchvision-alexnet"), tmp_path / "net.pth")
    (tmp_path / "net.prototxt").write_text("mine")
    assert main([str(tmp_path / "net.pth"), str(tmp_path / "net.caffemodel")]) == 1
    assert "--prototxt" in capsys.readouterr().err and not (tmp_path / "net.caffemodel").exists()
    assert main([str(tmp_path / "net.pth"), str(tmp_path / "net.caffemodel"), "--prototxt",
                 str(tmp_path / "other.prototxt")]) == 0
    assert (tmp_path / "net.prototxt").read_text() == "mine"
    assert "torchvision-alexnet: 8 layers" in capsys.readouterr().out

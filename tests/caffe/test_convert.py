"""caffemodel to .npz and state dicts and back: nothing is lost, scores are equal, bad files are named."""

from __future__ import annotations

import struct
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import caffe
from caffe._caffe.files.caffemodel import read_layers, write_net
from caffe.convert import convert, main
from caffe.proto import caffe_pb2
from nets.prototxt import write_prototxt
from nets.zoo import ZOO
from tests.bvlc import run_bvlc
from tests.caffe.torchvision_nets import vgg16
from tests.tiny_nets import CLASSIFIER

SMALL = dict(widths=(2, 3, 4, 5, 6), fc=7)
CLASSES = 4


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture
def classifier(tmp_path):
    """A prototxt and a caffemodel of it."""
    (tmp_path / "net.prototxt").write_text(CLASSIFIER)
    caffe.set_random_seed(7)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "net.caffemodel"))
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


def scores(prototxt, weights, blob="fc8"):
    net = caffe.Net(str(prototxt), caffe.TEST, weights=str(weights))
    shape = net.blobs["data"].data.shape
    net.blobs["data"].data[...] = np.random.default_rng(3).normal(0, 50, shape)
    net.forward()
    return net.blobs[blob].data.copy()


@pytest.mark.parametrize(("way", "more"), [("x.npz", {}), ("x.npz", dict(target_form="chainer")), ("x.pth", {}),
                                           ("x.pt", {})])
def test_there_and_back_is_the_same_file(classifier, way, more, tmp_path):
    prototxt, weights = classifier
    convert(weights, tmp_path / way, **more)
    convert(tmp_path / way, tmp_path / "bare.caffemodel")
    convert(tmp_path / way, tmp_path / "full.caffemodel", net=prototxt)
    assert (tmp_path / "full.caffemodel").read_bytes() == weights.read_bytes()
    np.testing.assert_array_equal(scores(prototxt, tmp_path / "bare.caffemodel"), scores(prototxt, weights))


def test_npz_keys_types_and_shapes(classifier, tmp_path):
    convert(classifier[1], tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as found:
        assert set(found.files) == {"layers", *(f"{name}/{i}" for name in ("conv1", "fc6", "fc7", "fc8")
                                                for i in (0, 1))}
        assert found["conv1/0"].shape == (4, 3, 3, 3) and found["fc6/1"].shape == (6,)
        assert found["layers"].tolist()[:3] == [["data", "Input"], ["conv1", "Convolution"], ["fc6", "InnerProduct"]]
    convert(tmp_path / "x.npz", tmp_path / "y.caffemodel")
    assert [(row.name, row.type) for row in read_layers(tmp_path / "y.caffemodel")] == [
        (row.name, row.type) for row in read_layers(classifier[1])]


def test_blobs_that_are_no_weights_keep_their_numbers(tmp_path):
    net = caffe_pb2.NetParameter(layer=[dict(name="b/n", type="BatchNorm")])
    write_net(tmp_path / "a.caffemodel", net, [[np.full(n, n + 0.5, np.float32) for n in (3, 2, 1)]])
    convert(tmp_path / "a.caffemodel", tmp_path / "a.pth")
    assert sorted(torch.load(tmp_path / "a.pth", weights_only=True)) == ["b/n.0", "b/n.1", "b/n.2"]
    convert(tmp_path / "a.caffemodel", tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / "b.caffemodel")
    assert (tmp_path / "b.caffemodel").read_bytes() == (tmp_path / "a.caffemodel").read_bytes()


def test_an_old_files_shapes_become_todays(classifier, tmp_path):
    old = caffe_pb2.NetParameter()
    for row in read_layers(classifier[1]):
        if row.blobs:
            kind = "CONVOLUTION" if row.type == "Convolution" else "INNER_PRODUCT"
            layer = old.layers.add(name=row.name, type=caffe_pb2.V1LayerParameter.LayerType.Value(kind))
            for blob in row.blobs:
                num, channels, height, width = (1,) * (4 - len(blob.shape)) + blob.shape
                layer.blobs.add(num=num, channels=channels, height=height, width=width, data=blob.data.tolist())
    (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
    convert(tmp_path / "old.caffemodel", tmp_path / "old.pth")
    convert(tmp_path / "old.pth", tmp_path / "new.caffemodel", net=classifier[0])
    assert (tmp_path / "new.caffemodel").read_bytes() == classifier[1].read_bytes()


def test_fields_of_forks_are_no_hindrance(classifier, tmp_path):
    field = b"\xa2\x09\x03abc"  # number 148, of which BVLC's Clip would want something else
    data, out = classifier[1].read_bytes(), bytearray()
    parsed = caffe_pb2.NetParameter.FromString(data)
    for layer in parsed.layer:
        body = layer.SerializeToString() + field
        size, head = len(body), bytearray(b"\xa2\x06")
        while size >= 128:
            head.append(size & 127 | 128)
            size >>= 7
        out += head + bytes([size]) + body
    (tmp_path / "fork.caffemodel").write_bytes(bytes(out))
    convert(tmp_path / "fork.caffemodel", tmp_path / "x.npz")
    convert(tmp_path / "x.npz", tmp_path / "new.caffemodel", net=classifier[0])
    assert (tmp_path / "new.caffemodel").read_bytes() == data


# -- the published converted FCNs ------------------------------------------------------------------


class PublishedFcn(nn.Module):
    """FCN-8s (or 16s, 32s) as others wrote it in PyTorch, slim: names as Caffe's, offsets in the code."""

    def __init__(self, stride, at_once=False):
        super().__init__()
        convs = [m for m in vgg16(**SMALL).features if isinstance(m, nn.Conv2d)]
        names = [f"conv{b}_{i}" for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
        convs[0].padding = (100, 100)
        for name, conv in zip(names, convs, strict=True):
            setattr(self, name, conv)
        self.fc6, self.fc7 = nn.Conv2d(6, 7, 7), nn.Conv2d(7, 7, 1)
        self.score_fr = nn.Conv2d(7, CLASSES, 1)
        ups = {32: [("upscore", 32)], 16: [("upscore2", 2), ("upscore16", 16)],
               8: [("upscore2", 2), ("upscore_pool4", 2), ("upscore8", 8)]}[stride]
        for name, factor in ups:
            setattr(self, name, nn.ConvTranspose2d(CLASSES, CLASSES, 2 * factor, factor, bias=False))
        if stride < 32:
            self.score_pool4 = nn.Conv2d(5, CLASSES, 1)
        if stride < 16:
            self.score_pool3 = nn.Conv2d(4, CLASSES, 1)
        self.stride, self.scales = stride, (0.01, 0.0001) if at_once else (1, 1)

    def forward(self, x):
        size, pools = x.shape[2:], {}
        for block, count in enumerate((2, 2, 3, 3, 3), 1):
            for i in range(1, count + 1):
                x = torch.relu(getattr(self, f"conv{block}_{i}")(x))
            pools[block] = x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        x = self.score_fr(torch.relu(self.fc7(torch.relu(self.fc6(x)))))
        if self.stride == 32:
            return _crop(self.upscore(x), 19, size)
        x = self.upscore2(x)
        x = x + _crop(self.score_pool4(pools[4] * self.scales[0]), 5, x.shape[2:])
        if self.stride == 16:
            return _crop(self.upscore16(x), 27, size)
        x = self.upscore_pool4(x)
        x = x + _crop(self.score_pool3(pools[3] * self.scales[1]), 9, x.shape[2:])
        return _crop(self.upscore8(x), 31, size)


def _crop(x, offset, size):
    return x[:, :, offset:offset + size[0], offset:offset + size[1]].contiguous()


def published(name, tmp_path):
    """The torch net with seeded weights, and the zoo's slim prototxt of the same net."""
    from dataclasses import replace

    from data.set_types import Head
    from nets.vgg16 import Vgg16

    stride = int("".join(c for c in name if c.isdigit()))
    torch.manual_seed(stride)
    net = PublishedFcn(stride, at_once="atonce" in name).eval()
    for array in net.parameters():
        array.data.normal_(0, (2 / array[0].numel()) ** 0.5 if array.ndim > 1 else 0.1)
    row = replace(ZOO[f"voc-{name}"], heads=(Head(("x",) * CLASSES),), trunk=Vgg16(**SMALL), size=(37, 45))
    write_prototxt(row.build("deploy", {}).to_proto(), tmp_path / "deploy.prototxt")
    return net, tmp_path / "deploy.prototxt"


def torch_scores(net):
    feed = np.random.default_rng(3).normal(0, 50, (1, 3, 37, 45)).astype(np.float32)
    with torch.no_grad():
        return net.double()(torch.from_numpy(feed).double()).numpy()


@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s", "fcn8s-atonce"])
@pytest.mark.parametrize("form", ["pytorch", "chainer"])
def test_published_fcns_both_ways(name, form, tmp_path, capsys):
    net, prototxt = published(name, tmp_path)
    if form == "pytorch":
        source, back = tmp_path / "fcn.pth", tmp_path / "back.pth"
        torch.save(net.state_dict(), source)
    else:
        source, back = tmp_path / "fcn.npz", tmp_path / "back.npz"
        np.savez(source, **{key.replace(".weight", "/W").replace(".bias", "/b"): array.numpy()
                            for key, array in net.state_dict().items()})
    assert run(source, tmp_path / "fcn.caffemodel", "--net", prototxt) == 0
    said = capsys.readouterr().out
    assert f"{form}, FCN-{name[3:].split('-')[0]}: " in said
    assert ("scale_pool4, scale_pool3: constants" in said) == ("atonce" in name)
    want = torch_scores(net)
    got = scores(prototxt, tmp_path / "fcn.caffemodel", "score")
    assert np.ptp(want) > 0.1 and np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
    assert run(tmp_path / "fcn.caffemodel", back, "--to", form) == 0
    assert ("left out" in capsys.readouterr().out) == ("atonce" in name)
    if form == "pytorch":
        net.load_state_dict(torch.load(back, weights_only=True))  # strict
        np.testing.assert_array_equal(torch_scores(net), want)
    else:
        with np.load(source) as a, np.load(back) as b:
            assert set(a.files) == set(b.files)
            assert all(np.array_equal(a[key], b[key]) for key in a.files)


def test_what_a_published_fcn_lacks_is_listed(tmp_path, capsys):
    net, prototxt = published("fcn8s", tmp_path)
    state = net.state_dict()
    del state["conv3_2.bias"], state["score_pool3.weight"], state["score_pool3.bias"]
    torch.save(dict(epoch=3, model_state_dict={f"module.{key}": value for key, value in state.items()}),
               tmp_path / "fcn.pth")
    assert run(tmp_path / "fcn.pth", tmp_path / "x.caffemodel") == 1
    assert "FCN-8s: 3 of 39 keys are missing: conv3_2.bias, score_pool3.weight, score_pool3.bias" in \
        capsys.readouterr().err
    assert not (tmp_path / "x.caffemodel").exists()


# -- files that are not as they must be ------------------------------------------------------------


def test_every_layer_that_does_not_fit_the_net_is_named(classifier, tmp_path, capsys):
    np.savez(tmp_path / "x.npz", **{"conv1/0": np.zeros((4, 3, 5, 5)), "conv1/1": np.zeros(4), "extra/0": np.ones(3)})
    assert run(tmp_path / "x.npz", tmp_path / "x.caffemodel", "--net", classifier[0]) == 1
    said = capsys.readouterr().err
    assert "'conv1' has shapes [(4, 3, 5, 5), (4,)], want [(4, 3, 3, 3), (4,)]" in said
    assert all(f"'{name}' is missing" in said for name in ("fc6", "fc7", "fc8"))
    assert not (tmp_path / "x.caffemodel").exists()


class Anything:
    pass


def write_bad(kind, path):
    if kind == "pickled":
        torch.save(nn.Linear(2, 2), path)
    elif kind == "objects":
        np.savez(path.with_suffix(""), a=np.array([Anything()], dtype=object))
        path.with_suffix(".npz").rename(path)
    elif kind == "list":
        torch.save([torch.zeros(2)], path)
    elif kind == "epoch":
        torch.save(dict(epoch=3, weights=torch.zeros(3)), path)
    elif kind == "cut":
        torch.save({"a.weight": torch.zeros(1000)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "x")
    elif kind == "sparse":
        torch.save({"a.weight": torch.eye(3).to_sparse()}, path)
    elif kind == "gap":
        torch.save({"a.bias": torch.zeros(3)}, path)
    elif kind == "keys":
        torch.save({"a.running_mean": torch.zeros(3)}, path)
    elif kind == "web page":
        path.write_bytes(b"<!DOCTYPE html>")
    elif kind == "numbers":
        path.write_bytes(struct.pack("<4f", 1, 2, 3, 4))


@pytest.mark.parametrize(("kind", "words"), [
    ("pickled", ["pickled objects", "torch.save(model.state_dict(), FILE)"]),
    ("objects", ["no pickled objects"]), ("list", ["one list", "want a state dict"]),
    ("epoch", ["'epoch' (int)"]), ("cut", ["cut off or damaged"]), ("zip", ["zip archive of readme.txt"]),
    ("sparse", ["'a.weight' is sparse"]), ("gap", ["no 'a.weight'"]), ("keys", ["no known form", "a.running_mean"]),
    ("web page", ["web page"]), ("numbers", ["want a .caffemodel"]), ("absent", ["Could not open file"]),
])
def test_bad_files_are_one_clear_line(kind, words, tmp_path, capsys):
    write_bad(kind, tmp_path / "bad.pth")
    assert run(tmp_path / "bad.pth", tmp_path / "x.caffemodel") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "bad.pth" in said
    assert all(word in said for word in words), said
    assert not (tmp_path / "x.caffemodel").exists()


@pytest.mark.parametrize(("arguments", "words"), [
    (["x.h5"], "want one of .caffemodel, .npz, .pth, .pt"), (["x.npz", "--to", "pytorch"], "caffe-npz, chainer"),
    (["x.npz", "--from", "chainer"], "leave --from out"), (["x.npz", "--net", "y"], "leave --net out"),
    (["x.npz", "--mean", "1", "2", "3"], "for torchvision's nets"), (["x.caffemodel", "--to", "chainer"], "leave --to"),
    (["x.pth", "--to", "torchvision-vgg16"], "no weights and bias for conv1_1"), (["no/x.npz"], "Could not write"),
])
def test_requests_that_cannot_be_met(arguments, words, classifier, tmp_path, capsys):
    assert run(classifier[1], tmp_path / arguments[0], *arguments[1:]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_genuine_caffe_reads_what_was_converted(classifier, tmp_path):
    """A file with names, types and blobs alone is enough for it, too."""
    convert(classifier[1], tmp_path / "x.pth")
    convert(tmp_path / "x.pth", tmp_path / "bare.caffemodel")
    found = run_bvlc(f"""
        net = caffe.Net({str(classifier[0])!r}, caffe.TEST, weights={str(tmp_path / "bare.caffemodel")!r})
        net.blobs["data"].data[...] = inp["feed"]
        out["fc8"] = net.forward()["fc8"]
    """, feed=np.random.default_rng(3).normal(0, 50, (2, 3, 9, 8)).astype(np.float32))
    want = scores(classifier[0], tmp_path / "bare.caffemodel")
    assert np.abs(found["fc8"] - want).max() <= 1e-5 * np.abs(want).max()

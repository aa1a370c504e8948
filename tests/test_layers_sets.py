"""The data layers of PASCAL-Context, NYUDv2 and SIFT Flow on miniatures: each pixel from its file, faults."""

from __future__ import annotations

import random

import miniatures
import numpy as np
import pytest
import scipy.io
from bvlc import ROOT, run_bvlc
from data_nets import layer_text, net_of
from draw_order import randint_py2
from image_files import read_image
from miniatures import CONTEXT_33, CONTEXT_59, SCENES, save_mat
from param_str import DataLayerError, DataLayerWarning
from PIL import Image

CONTEXT_MEAN = (104.007, 116.669, 122.679)
NYUD_MEAN, HHA_MEAN, LOG_DEPTH_MEAN = (116.190, 97.203, 92.318), (132.431, 94.076, 118.477), 7.844
SIFTFLOW_MEAN = (114.578, 115.294, 108.353)


def py2_order(n, count):
    rng = random.Random(1337)
    return [randint_py2(rng, n) for _ in range(count)]


def net(root, module, layer, names, **params):
    return net_of(root, layer_text(layer, repr(dict(seed=1337, **params)), module, names))


def context_net(root, split="val", **params):
    return net(root, "pascalcontext_layers", "PASCALContextSegDataLayer", "data label", voc_dir=f"{root}/data/pascal",
               context_dir=f"{root}/data/pascal-context", split=split, **params)


def nyud_net(root, tops, split="test", **params):
    return net(root, "nyud_layers", "NYUDSegDataLayer", " ".join(tops), nyud_dir=f"{root}/data/nyud", split=split,
               tops=list(tops), **params)


def siftflow_net(root, split="test", **params):
    return net(root, "siftflow_layers", "SIFTFlowSegDataLayer", "data sem geo", siftflow_dir=f"{root}/data/sift-flow",
               split=split, **params)


def ids(path):
    return path.read_text().split()


def tops(net):
    net.forward()
    return {name: blob.data.copy() for name, blob in net.blobs.items()}


def channels(path, mean, flipped):
    with Image.open(path) as image:
        pixels = np.array(image, np.float32)
    pixels = pixels[..., ::-1] if flipped else pixels
    return (pixels.astype(np.float64) - mean).astype(np.float32).transpose(2, 0, 1)[np.newaxis]


# --- PASCAL-Context

@pytest.mark.parametrize("classes, names", [(60, list(CONTEXT_59)), (34, CONTEXT_33)])
def test_context_maps_459_classes_to_ours(tmp_path, classes, names):
    folder = miniatures.context(tmp_path)
    found_net = context_net(tmp_path, **({} if classes == 60 else dict(classes=classes)))
    for name in ids(tmp_path / "data/pascal/VOC2010/ImageSets/Main/val.txt"):
        found = tops(found_net)
        label = scipy.io.loadmat(folder / f"trainval/{name}.mat")["LabelMap"]
        want = np.zeros(label.shape)
        for k, of in enumerate(names, start=1):
            want[label == CONTEXT_59[of]] = k
        np.testing.assert_array_equal(found["label"][0, 0], want)
        image = tmp_path / f"data/pascal/VOC2010/JPEGImages/{name}.jpg"
        np.testing.assert_array_equal(found["data"], channels(image, CONTEXT_MEAN, flipped=True))
        assert found["label"].max() < classes  # nothing is void


def test_context_knows_the_three_that_go_by_another_name(tmp_path):
    folder = miniatures.context(tmp_path)
    net = context_net(tmp_path)
    layer = net.layers[0]
    assert [layer.class_of[number] for number in (397, 80, 19, 1, 0)] == [11, 28, 52, 0, 0]
    assert (folder / "labels.txt").read_text().count("diningtable") == 0


def test_context_trains_in_the_released_order(tmp_path):
    miniatures.context(tmp_path)
    names = ids(tmp_path / "data/pascal/VOC2010/ImageSets/Main/train.txt")
    net = context_net(tmp_path, split="train")
    for index in py2_order(len(names), 5):
        image = tmp_path / f"data/pascal/VOC2010/JPEGImages/{names[index]}.jpg"
        np.testing.assert_array_equal(tops(net)["data"], channels(image, CONTEXT_MEAN, flipped=True))


@pytest.mark.parametrize("file, text, message", [
    ("59_labels.txt", None, "the list of labels '.*59_labels.txt' is missing"),
    ("labels.txt", None, "the list of labels '.*/labels.txt' is missing"),
    ("59_labels.txt", "0: background\n" * 59, "has 'background', which labels.txt beside it has not"),
    ("59_labels.txt", "1: aeroplane\n", "59_labels.txt' has 1 names; it wants 59, without background"),
    ("labels.txt", "aeroplane\n", "labels.txt' has the line 'aeroplane'; it wants `number: name`")])
def test_context_checks_its_lists(tmp_path, file, text, message):
    path = miniatures.context(tmp_path) / file
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataLayerError, match=message):
        context_net(tmp_path)


def test_context_names_a_label_beyond_its_list(tmp_path):
    path = miniatures.context(tmp_path) / "trainval/2008_000044.mat"
    save_mat(path, LabelMap=np.full((41, 50), 460, np.uint16))
    with pytest.raises(DataLayerError, match=f"'{path}' has the value 460; it wants 1 to 459"):
        context_net(tmp_path)


# --- NYUDv2

@pytest.mark.parametrize("wanted", [("color", "label"), ("hha", "label"), ("color", "depth", "label"),
                                    ("color", "hha", "label"), ("depth",)])
def test_nyud_gives_the_tops_it_is_asked_for(tmp_path, wanted):
    folder = miniatures.nyud(tmp_path)
    net = nyud_net(tmp_path, wanted)
    for name in ids(folder / "test.txt"):
        found = tops(net)
        assert tuple(found) == wanted
        with Image.open(folder / f"data/depth/img_{name}.png") as image:
            millimetres = np.array(image, np.float32)
        label = scipy.io.loadmat(folder / f"segmentation/img_{name}.mat")["segmentation"].astype(int)
        want = {"color": channels(folder / f"data/images/img_{name}.png", NYUD_MEAN, flipped=True),
                "hha": channels(folder / f"data/hha/img_{name}.png", HHA_MEAN, flipped=False),
                "depth": (np.log(millimetres) - np.float32(LOG_DEPTH_MEAN))[np.newaxis, np.newaxis],
                "label": np.where(label == 0, 255, label - 1)[np.newaxis, np.newaxis]}
        for top in wanted:
            np.testing.assert_array_equal(found[top], want[top], err_msg=top)
        if "label" in wanted:
            assert set(np.unique(found["label"])) <= {*range(40), 255} and 255 in found["label"]


@pytest.mark.parametrize("given, message", [
    ("['color', 'normals']", "tops .* it wants a list of some of 'color', 'depth', 'hha', 'label', none twice"),
    ("['color', 'color']", "none twice"), ("[]", "it wants a list"), ("'color'", "it wants a list"),
    ("['color', 'depth', 'label']", "2 tops given; need to define 3 tops: color and depth and label")])
def test_nyud_checks_its_tops(tmp_path, given, message):
    folder = miniatures.nyud(tmp_path)
    text = f"{{'nyud_dir': '{folder}', 'split': 'test', 'tops': {given}}}"
    with pytest.raises(DataLayerError, match=message):
        net_of(tmp_path, layer_text("NYUDSegDataLayer", text, "nyud_layers", "color label"))


@pytest.mark.parametrize("holes, dtype", [(0, np.uint16), (np.nan, np.float32), (np.inf, np.float32), (-1, np.float32)])
def test_depth_without_value_is_the_mean_and_warned_of(tmp_path, holes, dtype):
    folder = miniatures.nyud(tmp_path)
    path = folder / f"data/depth/img_{ids(folder / 'test.txt')[0]}.png"
    depth = np.full(miniatures.NYUD_SIZE, 2550, dtype)
    depth[3:5, 7] = holes
    Image.fromarray(depth).save(path, format="PNG" if dtype == np.uint16 else "TIFF")
    with pytest.warns(DataLayerWarning, match=f"'{path}' is 0 or not finite in 2 of 2352 pixels; they are set to the"):
        found = tops(nyud_net(tmp_path, ("color", "depth", "label")))["depth"][0, 0]
    assert np.isfinite(found).all() and (found[3:5, 7] == 0).all()
    np.testing.assert_allclose(found[0, 0], np.log(2550) - 7.844, atol=1e-6)


@pytest.mark.parametrize("kind, pixels, message", [
    ("depth", np.zeros((42, 56, 3), np.uint8), "depth '.*png' has mode RGB; it wants one channel of 16 bits"),
    ("depth", np.zeros((42, 56), np.uint8), "depth '.*png' has mode L; it wants one channel of 16 bits"),
    ("hha", np.zeros((42, 56), np.uint8), "hha '.*png' has mode L; it wants three channels"),
    ("depth", np.ones((42, 55), np.uint16), "depth '.*png' has 55 x 42 pixels, the files of the other tops 56 x 42"),
    ("hha", np.ones((41, 56, 3), np.uint8), "hha '.*png' has 56 x 41 pixels, the files of the other tops 56 x 42")])
def test_nyud_checks_depth_and_hha(tmp_path, kind, pixels, message):
    folder = miniatures.nyud(tmp_path)
    Image.fromarray(pixels).save(folder / f"data/{kind}/img_{ids(folder / 'test.txt')[0]}.png")
    with pytest.raises(DataLayerError, match=f"NYUDSegDataLayer: {message}"):
        nyud_net(tmp_path, ("color", kind, "label"))


@pytest.mark.parametrize("value", [41, 255])
def test_nyud_names_a_label_of_no_class(tmp_path, value):
    folder = miniatures.nyud(tmp_path)
    path = folder / f"segmentation/img_{ids(folder / 'test.txt')[0]}.mat"
    save_mat(path, segmentation=np.full(miniatures.NYUD_SIZE, value, np.uint8))
    with pytest.raises(DataLayerError, match=f"'{path}' has the value {value}; it wants 1 to 40, or 0 for void"):
        nyud_net(tmp_path, ("color", "label"))


# --- SIFT Flow

def test_siftflow_has_two_labels(tmp_path):
    folder = miniatures.siftflow(tmp_path)
    net = siftflow_net(tmp_path)
    for name in ids(folder / "test.txt"):
        found = tops(net)
        semantic, geometric = (scipy.io.loadmat(folder / kind / SCENES / f"{name}.mat")["S"].astype(int)
                               for kind in ("SemanticLabels", "GeoLabels"))
        np.testing.assert_array_equal(found["sem"][0, 0], np.where(semantic == 0, 255, semantic - 1))
        np.testing.assert_array_equal(found["geo"][0, 0], np.where(geometric == -1, 255, geometric - 1))
        image = folder / "Images" / SCENES / f"{name}.jpg"
        np.testing.assert_array_equal(found["data"], channels(image, SIFTFLOW_MEAN, flipped=True))
        assert 255 in found["sem"] and 255 in found["geo"]


@pytest.mark.parametrize("kind, value, classes", [("SemanticLabels", 34, 33), ("SemanticLabels", -1, 33),
                                                  ("GeoLabels", 4, 3), ("GeoLabels", -2, 3)])
def test_siftflow_names_a_label_of_no_class(tmp_path, kind, value, classes):
    folder = miniatures.siftflow(tmp_path)
    path = folder / kind / SCENES / f"{ids(folder / 'test.txt')[0]}.mat"
    save_mat(path, S=np.full(miniatures.SIFTFLOW_SIZE, value, np.int16))
    with pytest.raises(DataLayerError, match=f"'{path}' has the value {value}; it wants 1 to {classes}, or 0 for void"):
        siftflow_net(tmp_path)


def test_siftflow_checks_the_size_of_both_labels(tmp_path):
    folder = miniatures.siftflow(tmp_path)
    path = folder / "GeoLabels" / SCENES / f"{ids(folder / 'test.txt')[0]}.mat"
    save_mat(path, S=np.ones((40, 39), np.int16))
    with pytest.raises(DataLayerError, match=f"'{path}' has 39 x 40 pixels, its image 40 x 40"):
        siftflow_net(tmp_path)


# --- all of them

OPENERS = {"context": (context_net, "data/pascal-context/trainval/2008_000044.mat", "LabelMap"),
           "siftflow": (siftflow_net, f"data/sift-flow/SemanticLabels/{SCENES}/coast_bea5.mat", "S"),
           "nyud": (lambda root: nyud_net(root, ("color", "label")), "data/nyud/segmentation/img_5045.mat",
                    "segmentation")}


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("how, message", [
    ("missing", "is missing, though its id is in the list; bring the file, or take the id out"),
    ("field", r"has no {}, it holds T; fetch"), ("cut", r"cannot be read .* with {}; fetch it again"),
    ("parts", r"has {} of shape .* and type float64; it wants H x W whole"),
    ("deep", r"has {} of shape \(2, 2, 2\)")])
def test_label_files_are_checked(tmp_path, name, how, message):
    getattr(miniatures, name)(tmp_path)
    opener, place, variable = OPENERS[name]
    path = tmp_path / place
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:150])
    else:
        value = {"field": 1, "parts": np.full((4, 4), 1.5), "deep": np.ones((2, 2, 2), np.uint8)}[how]
        save_mat(path, **{"T" if how == "field" else variable: value})
    with pytest.raises(DataLayerError, match=f"'{path}' {message.format(variable)}"):
        opener(tmp_path)


@pytest.mark.parametrize("name", OPENERS)
def test_a_file_that_vanishes_while_training_is_named(tmp_path, name):
    getattr(miniatures, name)(tmp_path)
    opener, place, _ = OPENERS[name]
    net = opener(tmp_path)
    net.forward()
    net.forward()  # the first of the two is being read again
    (tmp_path / place).unlink()
    with pytest.raises(DataLayerError, match=f"'{tmp_path / place}' is missing.* bring the file, or take the id out"):
        for _ in range(3):
            net.forward()


def test_labels_all_void_are_warned_of_by_name(tmp_path):
    folder = miniatures.siftflow(tmp_path)
    path = folder / "GeoLabels" / SCENES / "coast_bea5.mat"
    save_mat(path, S=np.full(miniatures.SIFTFLOW_SIZE, -1, np.int16))
    with pytest.warns(DataLayerWarning, match=f"'{path}' is 255 .ignored. in every pixel"):
        assert (tops(siftflow_net(tmp_path))["geo"] == 255).all()


def test_items_of_one_pixel(tmp_path):
    folder = miniatures.nyud(tmp_path)
    for name in ids(folder / "test.txt"):
        for kind, pixels in (("images", np.ones((1, 1, 3), np.uint8)), ("depth", np.ones((1, 1), np.uint16))):
            miniatures.save_png(folder / f"data/{kind}/img_{name}.png", pixels)
        save_mat(folder / f"segmentation/img_{name}.mat", segmentation=np.ones((1, 1), np.uint8))
    found = tops(nyud_net(tmp_path, ("color", "depth", "label")))
    assert [array.shape for array in found.values()] == [(1, 3, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)]


def test_grey_and_cmyk_photographs_are_read_as_colour(tmp_path):
    folder = miniatures.siftflow(tmp_path)
    for name, mode in zip(ids(folder / "test.txt"), ("L", "CMYK")):
        path = folder / "Images" / SCENES / f"{name}.jpg"
        with Image.open(path) as image:
            image.convert(mode).save(path)
    net = siftflow_net(tmp_path)
    for name in ids(folder / "test.txt"):
        rgb = np.asarray(read_image(str(folder / "Images" / SCENES / f"{name}.jpg"))[0], np.float64)
        want = (rgb[..., ::-1] - SIFTFLOW_MEAN).astype(np.float32).transpose(2, 0, 1)
        np.testing.assert_array_equal(tops(net)["data"][0], want)


def test_released_methods(tmp_path):
    nyud, siftflow, context = (getattr(miniatures, name)(tmp_path) for name in ("nyud", "siftflow", "context"))
    layer = nyud_net(tmp_path, ("color", "label")).layers[0]
    name = layer.indices[0]
    assert layer.load_image(name).shape == layer.load_hha(name).shape == (3, *miniatures.NYUD_SIZE)
    assert layer.load_depth(name).shape == layer.load_label(name).shape == (1, *miniatures.NYUD_SIZE)
    assert layer.image_file(name) == f"{nyud}/data/images/img_{name}.png"
    assert layer.label_file(name) == f"{nyud}/segmentation/img_{name}.mat"
    layer = siftflow_net(tmp_path).layers[0]
    assert layer.load_label(layer.indices[0]).max() == 255
    assert set(np.unique(layer.load_label(layer.indices[0], "geometric"))) <= {0, 1, 2, 255}
    assert layer.file_of("geo", "a") == f"{siftflow}/GeoLabels/{SCENES}/a.mat"
    layer = context_net(tmp_path).layers[0]
    assert layer.split_file() == f"{tmp_path}/data/pascal/VOC2010/ImageSets/Main/val.txt"
    assert layer.load_image(layer.indices[0]).shape == (3, 41, 50)
    assert layer.label_file("a") == f"{context}/trainval/a.mat"


ORACLE = """
import sys
sys.path[:0] = [{layers!r}]
for text in {texts!r}:
    open("net.prototxt", "w").write(text)
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    for i in range(4):
        net.forward()
        for name, blob in net.blobs.items():
            out["%s/%d/%s" % (len(text), i, name)] = blob.data.copy()
"""


def test_layers_of_all_sets_run_alike_on_genuine_caffe_oracle(tmp_path):
    for name in OPENERS:
        getattr(miniatures, name)(tmp_path)
    options = dict(seed=1337, mirror=True, jitter=5, crop=(30, 31), loss_sampling=0.5, batch=2, start=1)
    texts = [layer_text("PASCALContextSegDataLayer", repr(dict(
        options, voc_dir=f"{tmp_path}/data/pascal", context_dir=f"{tmp_path}/data/pascal-context", split="train",
        mask="foreground")), "pascalcontext_layers")]
    texts.append(layer_text("NYUDSegDataLayer", repr(dict(
        options, nyud_dir=f"{tmp_path}/data/nyud", split="trainval", tops=["color", "depth", "hha", "label"])),
        "nyud_layers", "color depth hha label"))
    texts.append(layer_text("SIFTFlowSegDataLayer", repr(dict(
        options, siftflow_dir=f"{tmp_path}/data/sift-flow", split="trainval")), "siftflow_layers", "data sem geo"))
    genuine = run_bvlc(ORACLE.format(layers=str(ROOT / "layers"), texts=texts))
    for text in texts:
        net = net_of(tmp_path, text)
        for i in range(4):
            for name, array in tops(net).items():
                np.testing.assert_array_equal(array, genuine[f"{len(text)}/{i}/{name}"], err_msg=f"{i} {name}")

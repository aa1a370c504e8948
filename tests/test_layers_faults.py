"""Data layers for segmentation: faults of files and settings, each named; SBD's .mat labels."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from data_nets import (
    MEAN,
    layer_text,
    make_voc,
    net_of,
    passes,
    save_palette,
    voc_net,
)
from draw_order import randint_py2
from param_str import DataLayerError, DataLayerWarning
from PIL import Image


def py2_order(n: int, count: int) -> list[int]:
    rng = random.Random(1337)
    return [randint_py2(rng, n) for _ in range(count)]


# --- faults: each names the file, what it found, and what it wants

BROKEN = {"truncated": lambda whole: whole[:len(whole) // 2], "empty": lambda whole: b"",
          "wrong": lambda whole: b"this is a text, not an image"}


@pytest.mark.parametrize("what", ["image", "label"])
@pytest.mark.parametrize("how", sorted(BROKEN))
def test_broken_file_is_named(tmp_path, what, how):
    name, = make_voc(tmp_path, 1)
    path = tmp_path / ("JPEGImages" if what == "image" else "SegmentationClass")
    path /= name + (".jpg" if what == "image" else ".png")
    path.write_bytes(BROKEN[how](path.read_bytes()))
    with pytest.raises(DataLayerError, match=f"{what} '{path}' cannot be read .*wants a whole image"):
        voc_net(tmp_path)


@pytest.mark.parametrize("path", ["JPEGImages/2007_000000.jpg", "SegmentationClass/2007_000000.png"])
def test_missing_file_is_named(tmp_path, path):
    make_voc(tmp_path, 1)
    (tmp_path / path).unlink()
    with pytest.raises(DataLayerError, match=f"'{tmp_path / path}' is missing.*take the id out"):
        voc_net(tmp_path)


@pytest.mark.parametrize("content, message", [
    (None, "is missing; check voc_dir and split"), (b"", "is empty; it wants one item a line"),
    (b"\n  \n", "is empty"), (b"a\n../../b\n", "has the item '../../b', which leads out of its folder"),
    (b"/etc/passwd", "has the item '/etc/passwd', which leads out"), (b"\xff\xd8\xff\xe0", "cannot be read as text")])
def test_list_of_ids_is_checked(tmp_path, content, message):
    make_voc(tmp_path, 1)
    path = tmp_path / "ImageSets/Segmentation/train.txt"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataLayerError, match=f"VOCSegDataLayer: the list of ids '{path}' {message}"):
        voc_net(tmp_path)


def with_label(tmp_path, label, **params):
    name, = make_voc(tmp_path, 1)
    save_palette(tmp_path / "SegmentationClass" / f"{name}.png", np.array(label))
    return voc_net(tmp_path, **params)


def test_label_of_another_size_is_refused(tmp_path):
    with pytest.raises(DataLayerError, match=r"2007_000000.png' has 5 x 6 pixels, its image 9 x 6"):
        with_label(tmp_path, np.zeros((6, 5)))


@pytest.mark.parametrize("value, classes, fits", [
    (20, 21, True), (21, 21, False), (254, 21, False), (255, 21, True), (9, 9, False), (8, 9, True)])
def test_label_values_are_checked(tmp_path, value, classes, fits):
    label = np.zeros((6, 9))
    label[2, 3] = value
    if fits:
        with_label(tmp_path, label, classes=classes)
        return
    with pytest.raises(DataLayerError,
                       match=f"2007_000000.png' has values {value}; it wants 0 to {classes - 1}, or 255"):
        with_label(tmp_path, label, classes=classes)


def test_label_of_colours_is_refused(tmp_path):
    name, = make_voc(tmp_path, 1)
    Image.new("RGB", (9, 6)).save(tmp_path / "SegmentationClass" / f"{name}.png")
    with pytest.raises(DataLayerError, match=r"png' has 3 channels \(mode RGB\); it wants one"):
        voc_net(tmp_path)


def test_label_of_16_bits_is_read_or_refused_by_its_values(tmp_path):
    name, = make_voc(tmp_path, 1)
    path = tmp_path / "SegmentationClass" / f"{name}.png"
    for value, fits in ((20, True), (300, False)):
        Image.fromarray(np.full((6, 9), value, np.uint16)).save(path)
        if fits:
            (_, label), = passes(voc_net(tmp_path), 1)
            assert (label == value).all()
        else:
            with pytest.raises(DataLayerError, match="has values 300"):
                voc_net(tmp_path)


def test_label_that_is_all_ignored_warns_with_its_name(tmp_path):
    with pytest.warns(DataLayerWarning, match="2007_000000.png' is 255 .* in every pixel"):
        net = with_label(tmp_path, np.full((6, 9), 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        (_, label), = passes(net, 1)
    assert (label == 255).all()


def test_loss_of_a_label_that_is_all_ignored_is_zero(tmp_path):
    name, = make_voc(tmp_path, 1)
    save_palette(tmp_path / "SegmentationClass" / f"{name}.png", np.full((6, 9), 255))
    settings = dict(voc_dir=str(tmp_path), split="train", mean=MEAN, classes=3)
    text = layer_text("VOCSegDataLayer", repr(settings)) + (
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "loss" '
        "loss_param { ignore_label: 255 normalize: true } }")
    with pytest.warns(DataLayerWarning):
        net = net_of(tmp_path, text)
    assert float(net.forward()["loss"]) == 0


@pytest.mark.parametrize("param_str, message", [
    ("", "no Python literal"), ("dict(voc_dir='a')", "no Python literal"), ("[1]", "a list; it wants"),
    ("__import__('os').getcwd()", "no Python literal"),
    ("{'split': 'train'}", r"missing keys 'voc_dir', 'mean'; it takes voc_dir \(required\), split"),
    ("{'voc_dir': 'a', 'split': 'b', 'mean': (1, 2, 3), 'seeds': 1}", "unknown key 'seeds'; it takes"),
    ("{'voc_dir': 'a', 'split': 'b', 'mean': (1, 2)}", r"mean \(1, 2\); it wants three numbers"),
    ("{'voc_dir': 'a', 'split': 'b', 'mean': (1, 2, 3), 'seed': '1337'}", "seed '1337'; it wants"),
    ("{'voc_dir': 'a', 'split': 'b', 'mean': (1, 2, 3), 'mirror': 1}", "mirror 1; it wants True or"),
    ("{'voc_dir': 'a', 'split': 'b', 'mean': (1, 2, 3), 'start': -1}", "start -1; it wants a whole"),
    ("{'voc_dir': 'a', 'split': 'b', 'mean': (1, 2, 3), 'classes': 256}", "classes 256; it wants")])
def test_param_str_is_checked(tmp_path, param_str, message):
    with pytest.raises(DataLayerError, match=f"layer .data. .VOCSegDataLayer.: param_str .*{message}"):
        net_of(tmp_path, layer_text("VOCSegDataLayer", param_str))


def test_tops_and_bottoms_are_counted(tmp_path):
    settings = repr(dict(voc_dir=str(tmp_path), split="train", mean=MEAN))
    with pytest.raises(DataLayerError, match="1 tops given; need to define 2 tops: data and label"):
        net_of(tmp_path, layer_text("VOCSegDataLayer", settings, tops="data"))
    text = 'layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 1 } } }\n'
    with pytest.raises(DataLayerError, match="1 bottoms given; do not define a bottom"):
        net_of(tmp_path, text + layer_text("VOCSegDataLayer", settings, bottoms="in"))


# --- SBD

def make_sbdd(root, n=5):
    import scipy.io
    (root / "img").mkdir()
    (root / "cls").mkdir()
    rng = np.random.RandomState(1)
    pixels, labels = [], []
    for i in range(n):
        pixels.append(rng.randint(0, 256, (7, 8 + i, 3)).astype(np.uint8))
        labels.append(rng.randint(0, 21, (7, 8 + i)).astype(np.uint8))
        Image.fromarray(pixels[-1]).save(root / "img" / f"a{i}.jpg", format="PNG")
        content = {"Segmentation": labels[-1], "Boundaries": np.zeros(3), "CategoriesPresent": 1}
        scipy.io.savemat(root / "cls" / f"a{i}.mat", {"GTcls": content}, do_compression=True)
    (root / "train.txt").write_text("".join(f"a{i}\n" for i in range(n)))
    return pixels, labels


def sbdd_net(root, **params):
    settings = dict(sbdd_dir=str(root), split="train", mean=(0, 0, 0), seed=1337, **params)
    return net_of(root, layer_text("SBDDSegDataLayer", repr(settings)))


def test_sbdd_reads_mat_files_in_the_released_order(tmp_path):
    pixels, labels = make_sbdd(tmp_path)
    for index, (data, label) in zip(py2_order(5, 12), passes(sbdd_net(tmp_path), 12)):
        np.testing.assert_array_equal(data[0], pixels[index][..., ::-1].transpose(2, 0, 1))
        np.testing.assert_array_equal(label[0, 0], labels[index])


@pytest.mark.parametrize("how", [*sorted(BROKEN), "missing", "other"])
def test_sbdd_names_a_broken_label(tmp_path, how):
    import scipy.io
    make_sbdd(tmp_path, 1)
    path = tmp_path / "cls/a0.mat"
    if how == "missing":
        path.unlink()
    elif how == "other":
        scipy.io.savemat(path, {"GTinst": 1})
    else:
        path.write_bytes(BROKEN[how](path.read_bytes()))
    want = {"missing": "is missing", "other": "has no GTcls.Segmentation, it holds GTinst"}.get(how, "cannot be read")
    with pytest.raises(DataLayerError, match=f"SBDDSegDataLayer: label '{path}' {want}"):
        sbdd_net(tmp_path)

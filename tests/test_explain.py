"""What `python -m nets explain` says of nets: the published offsets and pads, faults, pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

import startup
from nets import NetError
from nets.__main__ import main
from nets.explain import explain, reasons, text
from nets.reasons import smallest_image
from nets.zoo import ZOO, emit

CONV = ('layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" '
        'convolution_param {{ num_output: 2 {2} }} }}\n')
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 30 } } }\n'


def write(folder, words, name="net.prototxt"):
    path = folder / name
    path.write_text(words)
    return str(path)


def crops(found):
    return {crop.layer.name: crop.layer.crop for crop in found.crops}


@pytest.mark.parametrize(("name", "offsets", "least"), [
    ("voc-fcn32s", {"score": 19}, 81),
    ("voc-fcn16s", {"score_pool4c": 5, "score": 27}, 73),
    ("voc-fcn8s", {"score_pool4c": 5, "score_pool3c": 9, "score": 31}, 69),
    ("nyud-fcn32s-color-hha", {"score": 19}, 81),
])
def test_golden_crops_and_the_least_pads(name, offsets, least):
    found = explain(name)
    assert crops(found) == offsets and all(crop.wanted == crop.layer.crop for crop in found.crops)
    assert (found.pad.pad, found.pad.usual, found.pad.least_inside, found.pad.least_any) == (100, 1, least, 97)
    words = "\n".join(reasons(found))
    assert "Why pad 100?" in words and f"p - {least}" in words and "p >= 97: images of every size" in words
    for offset in offsets.values():
        assert f"Why crop {offset}?" in words


def test_golden_sum_of_shifts_of_fcn32s():
    found = explain("voc-fcn32s")
    steps = dict(found.crops[0].steps)
    assert {name: float(step) for name, step in steps.items()} == {
        "conv1_1": -99, "pool1": .5, "pool2": 1, "pool3": 2, "pool4": 4, "pool5": 8, "fc6": 96, "upscore": -31.5}
    assert sum(steps.values()) == found.crops[0].top.start == -19
    said = text(found)
    for part in ("544 x 544", "19 at the top and left, 25 at the bottom and right", "begin at -80, outside upscore",
                 "below 193 pixels", "698 x 698 places, 1.95 times"):
        assert part in said
    row = next(line for line in said.splitlines() if line.startswith("fc6 "))
    assert row.split() == ["fc6", "Convolution", "16", "x", "16", "x", "4096", "32", "404", "12.5", "102,764,544"]


def test_golden_alexnet_and_googlenet():
    alexnet, googlenet = explain("voc-fcn-alexnet"), explain("voc-fcn-googlenet")
    assert crops(alexnet) == {"score": 18} and alexnet.pad.least_inside == 82
    assert crops(googlenet) == {"score": 98} and googlenet.pad.least_inside == 2 and googlenet.pad.smallest == 31


def test_a_truncated_net_does_not_need_its_pad():
    assert "does not need it: its kernel's own pad of 1 would do" in "\n".join(reasons(explain("voc-fcn-pool3")))


@pytest.mark.parametrize("name", [name for name in ZOO if "googlenet" not in name and not name.startswith("pascal")])
def test_every_net_of_the_zoo_can_be_explained(name):
    found = explain(name)
    assert all(crop.wanted == crop.layer.crop for crop in found.crops)
    said = text(found)
    assert said.startswith(f"{name} (deploy): image") and "?" not in said.split("parameters:")[0].replace("Why", "")


def test_the_least_pad_is_the_least(tmp_path):
    net = emit("voc-fcn32s", "deploy")
    for pad, works in ((97, True), (96, False)):
        next(layer for layer in net.layer if layer.name == "conv1_1").convolution_param.pad[0] = pad
        next(layer for layer in net.layer if layer.name == "score").crop_param.offset[0] = pad - 81
        least = smallest_image(net)
        assert (least == 1) is works and least is not None


def test_a_wrong_crop_is_told(tmp_path):
    net = emit("voc-fcn32s", "deploy")
    next(layer for layer in net.layer if layer.name == "score").crop_param.offset[0] = 22
    said = text(explain(write(tmp_path, str(net))))
    assert "NOT pixel on pixel: the file crops at 22, the coordinates want 19." in said
    next(layer for layer in net.layer if layer.name == "upscore").convolution_param.kernel_size[0] = 63
    said = text(explain(write(tmp_path, str(net))))
    assert "the coordinates want 18.5, which is between pixels" in said


def test_sizes_and_phases(tmp_path):
    assert explain("voc-fcn32s", (375, 500)).size == (375, 500)
    assert explain("nyud-fcn32s-color").size == (425, 560)
    train = explain("voc-fcn32s", phase="train")
    assert train.size == (500, 500) and train.layers[-1].type == "SoftmaxWithLoss"
    path = write(tmp_path, str(emit("siftflow-fcn16s", "trainval")))
    found = explain(path, (256, 256), "train")
    assert crops(found) == {"score_pool4_semc": 5, "score_sem": 27, "score_pool4_geoc": 5, "score_geo": 27}


def test_inputs_of_the_older_form(tmp_path):
    words = 'input: "data" input_dim: 1 input_dim: 3 input_dim: 20 input_dim: 30\n' + CONV.format(
        "c", "data", "kernel_size: 3 stride: 2")
    found = explain(write(tmp_path, words))
    assert found.size == (20, 30) and found.layers[-1].shape == (1, 2, 9, 14) and found.layers[-1].parameters == 56


def test_layers_that_are_not_known_are_named(tmp_path):
    words = INPUT + 'layer { name: "odd" type: "Python" bottom: "data" top: "odd" }\n' + CONV.format(
        "c", "odd", "kernel_size: 3") + 'layer { name: "cut" type: "Crop" bottom: "c" bottom: "data" top: "cut" }\n'
    said = text(explain(write(tmp_path, words)))
    assert "Not known, because only the built net tells its size: odd (Python), c (Convolution)" in said
    assert "so this offset cannot be judged" in said


def test_size_goes_before_the_crop_of_a_data_layer(tmp_path, capsys):
    net = write(tmp_path, 'layer { name: "d" type: "Data" top: "data" transform_param { crop_size: 32 } }\n'
                + CONV.format("c", "data", "kernel_size: 3"))
    for more, said in (((), "image 32 x 32"), (("--size", "20x30"), "image 20 x 30")):
        main(["explain", net, *more])
        assert said in capsys.readouterr().out


@pytest.mark.parametrize("layer", [
    'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 5 } }',
    'layers { layer { name: "c" type: "conv" num_output: 2 kernelsize: 5 } bottom: "data" top: "c" }'])
def test_nets_of_2013_and_2014(tmp_path, capsys, layer):
    net = 'name: "old" input: "data" input_dim: 1 input_dim: 3 input_dim: 20 input_dim: 30 ' + layer
    main(["explain", write(tmp_path, net)])
    assert "16 x 26" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "said"), [
    (INPUT.replace("dim: 20 dim: 30", ""), "no image goes in"),
    (INPUT + CONV.format("c", "data", "kernel_size: 21"), "'c' would be 0 x 10; the least image is 21 x 21"),
    (INPUT + CONV.format("c", "datum", "kernel_size: 3"), "which no layer before it makes"),
    ('net: "train.prototxt"', "not a NetParameter"),
    ("", "has no layers; give the net's prototxt, not the solver's"),
])
def test_faults_of_a_file_are_one_line(tmp_path, capsys, words, said):
    assert startup.run(lambda: main(["explain", write(tmp_path, words)])) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]


@pytest.mark.parametrize(("more", "said"), [
    (["voc-fcn64s"], "neither a net of the zoo nor a file"),
    (["voc-fcn8s", "--phase", "test"], "no phase 'test', has train, val, deploy"),
    (["voc-fcn8s", "--out", "net.pdf"], "ends in .svg or .png"),
    (["voc-fcn8s", "--out", "/nowhere/at/all/net.svg"], "/nowhere"),
])
def test_faults_of_the_command_are_one_line(tmp_path, capsys, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert startup.run(lambda: main(["explain", *more])) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]


def refuse(path, *args, **kwargs):
    if str(path).startswith("/nowhere"):
        raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("size", ["500", "0x5", "5x", "axb"])
def test_a_size_that_is_none(size, capsys):
    with pytest.raises(SystemExit):
        main(["explain", "voc-fcn8s", "--size", size])
    assert "is not HEIGHTxWIDTH" in capsys.readouterr().err


def test_pictures(tmp_path, capsys):
    for name in ("net.svg", "net.png"):
        assert startup.run(lambda name=name: main(["explain", "shapes-fcn8s", "--out", str(tmp_path / name)])) == 0
    drawn = (tmp_path / "net.svg").read_text()
    ElementTree.fromstring(drawn)
    for part in ("crop 31", "crop 5", "crop 9", "score_pool4c", "stride 32", "pad 100 at conv1_1",
                 "192 x 256"):
        assert part in drawn
    with Image.open(tmp_path / "net.png") as picture:
        assert picture.width > 1000 and len(picture.convert("RGB").getcolors(1 << 20)) > 20
    again = tmp_path / "again.svg"
    main(["explain", "shapes-fcn8s", "--out", str(again)])
    assert again.read_text() == drawn  # the same from run to run


def test_classifiers_can_be_drawn(tmp_path):
    assert main(["explain", "shapes-vgg16", "--out", str(tmp_path / "net.svg")]) == 0


def test_explain_raises_net_errors():
    with pytest.raises(NetError, match="the least image is"):
        explain("ilsvrc-vgg16-fcn", (100, 100))

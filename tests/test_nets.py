"""The zoo: equal to the release where there is one, the right sizes and counts everywhere, files fresh."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bvlc import run_bvlc
from canonical import canonical_digest, learned_parameters, message_digest
from google.protobuf.internal import api_implementation

import caffe
import startup
from caffe.proto import caffe_pb2
from nets import NetError, squeezenet
from nets.__main__ import main
from nets.alexnet import AlexNet
from nets.blocks import image_input, score
from nets.data_layers import Feed
from nets.heads import AT_ONCE, FcnHead
from nets.prototxt import is_fresh, read_prototxt, write_prototxt
from nets.squeezenet import SqueezeNet
from nets.vgg16 import Vgg16
from nets.zoo import DIRS, SLIM, ZOO, emit, inputs, phases, scoring_phase, slimmed, training_phase

ROOT = Path(__file__).resolve().parent.parent
DIGESTS = json.loads((ROOT / "tests/reference/digests.json").read_text())
ALL = [(name, phase) for name in ZOO for phase in phases(name)]


def released(net: str):
    """Emit a net with the folders of the release, which differ for fcn16s and PASCAL-Context."""
    name, phase = net.split("/")
    context = name.startswith("pascalcontext")
    data = "../../data" if name == "voc-fcn16s" or context else "../data"
    return emit(name, phase, sbdd_dir=f"{data}/sbdd/dataset", voc_dir=f"{data}/pascal{'' if context else '/VOC2011'}",
                context_dir=f"{data}/pascal-context", nyud_dir=f"{data}/nyud", siftflow_dir=f"{data}/sift-flow")


def committed(name: str, phase: str):
    return read_prototxt(ROOT / "models" / name / f"{phase}.prototxt", caffe_pb2.NetParameter())


def test_thirty_one_nets_were_released():
    assert len(DIGESTS) == 31 and all(tuple(net.split("/")) in ALL for net in DIGESTS)


@pytest.mark.parametrize("net", DIGESTS)
def test_golden_committed_net_is_the_released(net):
    assert canonical_digest(committed(*net.split("/"))) == DIGESTS[net]["canonical"]


@pytest.mark.parametrize("net", DIGESTS)
def test_golden_message_is_the_released(net):
    assert message_digest(released(net)) == DIGESTS[net]["message"]


@pytest.mark.skipif(api_implementation.Type() != "upb", reason="other back ends print 1 as 1.0")
@pytest.mark.parametrize("net", [net for net in DIGESTS if net != "voc-fcn8s/deploy"])  # edited by hand
def test_golden_text_is_the_released(net):
    assert hashlib.sha256(str(released(net)).encode()).hexdigest() == DIGESTS[net]["text"]


def test_canonical_digest_sees_a_changed_setting():
    net = committed("voc-fcn8s", "train")
    net.layer[-2].crop_param.offset[0] = 30
    assert canonical_digest(net) != DIGESTS["voc-fcn8s/train"]["canonical"]


@pytest.mark.parametrize("name, phase", ALL)
def test_committed_file_is_fresh(name, phase):
    assert committed(name, phase) == emit(name, phase)


@pytest.mark.parametrize("name, offsets", [
    ("voc-fcn32s", {"score": 19}),
    ("voc-fcn16s", {"score_pool4c": 5, "score": 27}),
    ("voc-fcn8s", {"score_pool4c": 5, "score_pool3c": 9, "score": 31}),
    ("voc-fcn8s-atonce", {"score_pool4c": 5, "score_pool3c": 9, "score": 31}),
    ("shapes-fcn8s", {"score_pool4c": 5, "score_pool3c": 9, "score": 31}),
    ("voc-fcn-squeezenet", {"upscore2c": 0, "upscore_fire5c": 0, "score": 17})])
@pytest.mark.parametrize("phase", ["train", "val", "deploy"])
def test_crop_offsets(name, offsets, phase):
    crops = {layer.name: list(layer.crop_param.offset) for layer in emit(name, phase).layer
             if layer.type == "Crop"}
    assert crops == {crop: [offset] for crop, offset in offsets.items()}


@pytest.mark.parametrize("name, count", [
    ("voc-fcn32s", 134_346_581), ("voc-fcn16s", 134_357_354), ("voc-fcn8s", 134_362_751),
    ("voc-fcn8s-atonce", 134_362_751), ("ilsvrc-vgg16", 138_357_544), ("ilsvrc-vgg16-fcn", 134_260_544)])
def test_learned_parameters(name, count):
    assert learned_parameters(emit(name, "deploy")) == count


def test_squeezenet_trunk_has_the_published_parameters():
    n = caffe.NetSpec()
    n.data = image_input(227, 227)
    squeezenet.trunk(n, n.data, SqueezeNet(pad=0))
    conv_final = 1000 * (512 + 1)
    assert learned_parameters(n.to_proto()) == 1_248_424 - conv_final


def test_slim_and_full_nets_are_the_same_code():
    slim, full = (emit(f"{name}-fcn8s", "train") for name in ("shapes", "voc"))
    assert [layer.name for layer in slim.layer] == [layer.name for layer in full.layer]
    assert [list(layer.bottom) for layer in slim.layer] == [list(layer.bottom) for layer in full.layer]


def test_shapes_loss_is_the_mean_and_voc_loss_the_sum_over_pixels():
    loss = {name: emit(name, "train").layer[-1].loss_param for name in ("shapes-fcn32s", "voc-fcn32s")}
    assert loss["shapes-fcn32s"].normalize and not loss["voc-fcn32s"].normalize
    assert all(param.ignore_label == 255 for param in loss.values())


@pytest.mark.parametrize("name, phase", [(n, p) for n, p in ALL if p != "deploy"])
def test_data_layer_settings_read_as_a_dict(name, phase):
    param = emit(name, phase).layer[0].python_param
    settings = ast.literal_eval(param.param_str)
    assert settings["seed"] == 1337 and len(settings.get("mean", "bgr")) == 3
    mirrored = phase == "train" and (name.startswith("shapes-") or name == "voc-fcn-squeezenet")
    assert settings.get("mirror", False) is mirrored  # the release mirrors nothing


def test_phases_and_inputs_of_each_set():
    assert [training_phase(name) for name in ("voc-fcn8s", "nyud-fcn32s-hha")] == ["train", "trainval"]
    assert [scoring_phase(name) for name in ("pascalcontext-fcn8s", "siftflow-fcn8s")] == ["val", "test"]
    assert inputs("nyud-fcn32s-hha") == (("data", "hha"),) and inputs("shapes-vgg16") == (("data", "color"),)
    assert inputs("nyud-fcn32s-color-d") == (("color", "color"), ("depth", "depth"))


@pytest.mark.parametrize("name", ZOO)
def test_deploy_nets_need_no_data_and_drop_nothing(name):
    types = {layer.type for layer in emit(name, "deploy").layer}
    assert "Input" in types and not types & {"Python", "Dropout", "SoftmaxWithLoss"}


# Sizes, on our engine and on genuine Caffe. Widths of 1 change no height or width.
TINY = replace(SLIM, widths=(1, 1, 1, 1, 1), fc=1, dropout=None)
SIZES = {  # input: pool1, pool2, pool3, pool4, pool5, score_fr, upscore2, upscore_pool4, upscore8
    500: (349, 175, 88, 44, 22, 16, 34, 70, 568),
    375: (287, 144, 72, 36, 18, 12, 26, 54, 440),
    256: (227, 114, 57, 29, 15, 9, 20, 42, 344),
}
BLOBS = ("pool1", "pool2", "pool3", "pool4", "pool5", "score_fr", "upscore2", "upscore_pool4", "upscore8")
MEASURE = """
import tempfile, os
def measure(text, sizes, blobs):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "net.prototxt")
        with open(path, "w") as stream:
            stream.write(text)
        net = caffe.Net(path, caffe.TEST)
    found = []
    for height, width in sizes:
        net.blobs["data"].reshape(1, 3, int(height), int(width))
        net.reshape()
        found.append([tuple(net.blobs[blob].shape)[2:] for blob in blobs])
    return np.array(found)
"""


def sizes_on(engine: str, net, sizes, blobs) -> np.ndarray:
    """Give height and width of blobs, (sizes, blobs, 2)."""
    if engine == "genuine":
        script = MEASURE + 'out["sizes"] = measure(str(inp["text"]), inp["sizes"], [str(b) for b in inp["blobs"]])'
        return run_bvlc(script, text=np.array(str(net)), sizes=np.array(sizes), blobs=np.array(blobs))["sizes"]
    space = {"caffe": caffe, "np": np}
    exec(MEASURE, space)  # the same text that genuine Caffe runs
    return space["measure"](str(net), sizes, blobs)


def tiny_fcn(stride: int, pad: int = 100):
    n = caffe.NetSpec()
    n.data = image_input(8, 8)
    n.score_fr = score(replace(TINY, pad=pad).convolutional(n, n.data), 2)
    FcnHead(2, stride).add(n, n.score_fr, n.data)
    return n.to_proto()


@pytest.mark.parametrize("engine", ["ours", "genuine"])
def test_oracle_sizes_of_every_stage(engine):
    sizes = sizes_on(engine, tiny_fcn(8), [(s, s) for s in SIZES], BLOBS)
    assert sizes[..., 0].tolist() == sizes[..., 1].tolist() == [list(row) for row in SIZES.values()]


@pytest.mark.parametrize("engine", ["ours", "genuine"])
@pytest.mark.parametrize("net", [*(f"fcn{stride}s" for stride in (32, 16, 8)), "squeezenet"])
def test_oracle_score_has_the_size_of_every_image(engine, net):
    images = [(1, 1), (1, 40), (2, 3), (5, 4), (7, 6), (31, 33), (3, 300), (64, 65)]
    if net == "squeezenet":
        definition = emit("voc-fcn-squeezenet", "deploy")
    else:
        definition = tiny_fcn(int(net[3:-1]), pad=97)  # the least pad that serves all
    scores = sizes_on(engine, definition, images, ["score"])[:, 0]
    assert scores.tolist() == [list(size) for size in images]


def test_every_image_size_to_600_fits_squeezenet():
    def pooled(size):
        return -(-(size - 3) // 2) + 1
    for size in range(1, 601):
        half = size // 2 + 1
        fire4 = pooled((half + 2 * 10 - 7) // 2 + 1)
        fire5 = pooled(fire4)
        fire9 = pooled(fire5)
        assert fire9 >= 1 and 2 * fire9 + 1 >= fire5 and 2 * fire5 + 1 >= fire4 and 8 * fire4 + 7 >= 17 + size


# Files, records and the command.
def test_check_names_the_stale_file_and_a_fresh_folder_passes(tmp_path, capsys):
    assert main(["voc-fcn32s", "shapes-vgg16", "--out", str(tmp_path)]) == 0
    assert main(["voc-fcn32s", "shapes-vgg16", "--out", str(tmp_path), "--check"]) == 0
    stale = tmp_path / "voc-fcn32s" / "val.prototxt"
    stale.write_text(stale.read_text().replace("num_output: 64", "num_output: 65", 1))
    assert main(["voc-fcn32s", "shapes-vgg16", "--out", str(tmp_path), "--check"]) == 1
    error = capsys.readouterr().err
    assert str(stale) in error and "train.prototxt" not in error


def test_check_names_a_missing_file(tmp_path, capsys):
    assert main(["shapes-vgg16-fcn", "--out", str(tmp_path), "--check"]) == 1
    assert "deploy.prototxt" in capsys.readouterr().err


def test_folders_are_arguments(tmp_path):
    assert main(["voc-fcn-squeezenet", "--out", str(tmp_path), "--voc-dir", "/my/VOC"]) == 0
    net = read_prototxt(tmp_path / "voc-fcn-squeezenet/train.prototxt", caffe_pb2.NetParameter())
    assert ast.literal_eval(net.layer[0].python_param.param_str)["voc_dir"] == "/my/VOC"
    assert DIRS["voc_dir"] == "data/pascal/VOC2011"


@pytest.mark.parametrize("call, words", [
    (lambda: emit("voc-fcn2s", "train"), "not in the zoo; known are voc-fcn32s"),
    (lambda: emit("ilsvrc-vgg16", "train"), "no phase 'train', has deploy"),
    (lambda: emit("voc-fcn8s", "train", voc="x"), "unknown folder ['voc']"),
    (lambda: FcnHead(21, 2).add(caffe.NetSpec(), None, None), "stride 2, want one of [32, 16, 8, 4]"),
    (lambda: Vgg16(widths=(8, 8)).convolutional(caffe.NetSpec(), image_input(8, 8)), "5 blocks"),
    (lambda: AlexNet(widths=(8, 8)).convolutional(caffe.NetSpec(), image_input(8, 8)), "5 convolutions"),
    (lambda: Feed("voc", "val", {}).tops(2, {}), "nothing given for voc_dir, mean"),
    (lambda: scoring_phase("ilsvrc-vgg16"), "it has deploy alone"),
    (lambda: replace(ZOO["nyud-fcn32s-color-d"], fusion="").build("deploy", {}), "want early or late")])
def test_wrong_words_are_answered_with_the_right_ones(call, words):
    with pytest.raises(NetError) as error:
        call()
    assert words in str(error.value)


def test_unknown_name_is_one_line_and_status_1(tmp_path, capsys):
    assert startup.run(lambda: main(["voc-fcn2s", "--out", str(tmp_path)])) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "voc-fcn8s-atonce" in error


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.prototxt"
    write_prototxt(tiny_fcn(32), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full: '.*/net.prototxt'"):
        write_prototxt(tiny_fcn(8), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["net.prototxt"]


def test_reading_says_file_and_line(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("layer {\n  nome: 'x'\n}\n")
    with pytest.raises(NetError, match=r"net\.prototxt.*, line 2: .*nome"):
        read_prototxt(path, caffe_pb2.NetParameter())
    assert not is_fresh(tiny_fcn(8), path)


def test_at_once_scales_are_fixed():
    layers = {layer.name: layer for layer in emit("voc-fcn8s-atonce", "train").layer}
    for skip in AT_ONCE:
        scale = layers[f"scale_{skip.name}"]
        assert scale.param[0].lr_mult == 0 and scale.scale_param.filler.value == np.float32(skip.scale)


@pytest.mark.parametrize("name", [name for name in ZOO if name not in ("voc-fcn-squeezenet",)])
def test_slimmed_is_the_same_net_with_less_in_it(name):
    row, small = ZOO[name], slimmed(ZOO[name])
    for phase in row.phases:
        full, slim = row.build(phase, {}).to_proto(), small.build(phase, {}).to_proto()
        assert [(layer.name, layer.type, layer.bottom) for layer in slim.layer] == [
            (layer.name, layer.type, layer.bottom) for layer in full.layer]
    assert slimmed(small) == small and slimmed(ZOO["voc-fcn-squeezenet"]) is ZOO["voc-fcn-squeezenet"]


def test_googlenet_has_the_layers_of_bvlcs():
    trunk, whole = (emit(name, "deploy") for name in ("ilsvrc-googlenet-fcn", "ilsvrc-googlenet"))
    assert len(trunk.layer) == 139 and len(whole.layer) == 142  # BVLC's 143 with the dropout, which does nothing here
    assert [layer.name for layer in whole.layer][:139] == [layer.name for layer in trunk.layer]
    assert [layer.name for layer in whole.layer][-3:] == ["pool5/7x7_s1", "loss3/classifier", "prob"]
    names = {layer.name for layer in emit("voc-fcn-googlenet", "train").layer}
    assert {layer.name for layer in trunk.layer[1:]} < names and "pool5/drop_7x7_s1" in names

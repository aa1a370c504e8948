"""Released weights: fetched, checked, converted, put where nets are found; never over what was trained here."""

from __future__ import annotations

import hashlib
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from file_server import serving

import caffe
from caffe.convert import convert
from data import transfer
from data.whole import DataError
from nets import weights
from nets.__main__ import main
from nets.choice import choose
from nets.prototxt import write_prototxt
from nets.record import Record, load_record, save_record
from nets.weight_rows import WEIGHTS, Converted, weights_row
from nets.zoo import ZOO, slimmed
from tests.caffe import torchvision_nets as tv

ROOT = Path(__file__).resolve().parent.parent
FCN = "models/voc-fcn16s/voc-fcn16s.caffemodel"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0)
    monkeypatch.delenv("FCN_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def slim(monkeypatch):
    monkeypatch.setattr(weights, "emit", lambda name, phase: slimmed(ZOO[name]).build(phase, {}).to_proto())


def body(name, folder, fill=None):
    """A caffemodel of the slim net, every parameter a small random number."""
    write_prototxt(slimmed(ZOO[name]).build("deploy", {}).to_proto(), folder / "x.prototxt")
    net = caffe.Net(str(folder / "x.prototxt"), caffe.TEST)
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.normal(0, 0.1, blob.data.shape) if fill is None else fill
    net.save(str(folder / "x.caffemodel"))
    return (folder / "x.caffemodel").read_bytes()


def served_as(monkeypatch, name, url, checksum=""):
    row = WEIGHTS[name]
    download = replace(row.download, urls=(url,), size=0, checksums=(checksum,) if checksum else ())
    monkeypatch.setitem(WEIGHTS, name, replace(row, download=download))


@pytest.fixture
def released(slim, monkeypatch, tmp_path):
    """(root, bytes): the slim FCN-16s served by a host of its own, without a known checksum."""
    (tmp_path / "made").mkdir()
    data = body("voc-fcn16s", tmp_path / "made")
    with serving(files={"fcn16s-heavy-pascal.caffemodel": data}) as server:
        served_as(monkeypatch, "voc-fcn16s", server.url("fcn16s-heavy-pascal.caffemodel"))
        yield tmp_path / "root", data


# -- the table --------------------------------------------------------------------------------------


def test_the_three_ilsvrc_nets_and_the_fourteen_fcns_are_there():
    fcns = [row for row in WEIGHTS.values() if row.segments]
    assert len(fcns) == 14 and {"vgg16", "caffenet", "googlenet"} <= set(WEIGHTS)
    assert all(row.net in ZOO for row in WEIGHTS.values())
    assert all(row.place == f"models/{row.name}/{row.name}.caffemodel" for row in fcns)
    assert len({row.download.name for row in WEIGHTS.values()}) == len(WEIGHTS)
    assert weights_row("VGG_ILSVRC_16_layers").download.size == 553_432_081
    assert weights_row("fcn8s-heavy-pascal").name == "voc-fcn8s"
    with pytest.raises(DataError, match="'x' are not known; known are vgg16, caffenet"):
        weights_row("x")


def test_the_expected_scores_are_the_measured_ones():
    got = [round(100 * WEIGHTS[f"voc-fcn{kind}"].expected["mean_iu"], 2) for kind in ("32s", "16s", "8s", "8s-atonce")]
    assert got == [63.63, 65.01, 65.51, 65.40]


def test_vgg16_is_where_the_cast_looks_for_it():
    from surgery.base_nets import BASE_NETS

    base, row = BASE_NETS["vgg16-fcn"], WEIGHTS["vgg16"]
    assert (base.weights, base.size, f"sha1:{base.sha1}") == (row.place, row.download.size, *row.download.checksums)


# -- fetched ----------------------------------------------------------------------------------------


def test_fetched_weights_are_a_net_that_can_be_chosen(released, monkeypatch, capsys):
    root, data = released
    place = weights.bring("voc-fcn16s", root)
    assert place == root / FCN and place.read_bytes() == data
    record = load_record(place)
    assert record.iteration is None and record.origin == WEIGHTS["voc-fcn16s"].download.urls[0]
    digest = hashlib.sha256(data).hexdigest()
    assert (root / "data/downloads/fcn16s-heavy-pascal.caffemodel.sha256").read_text().startswith(digest)
    write_prototxt(slimmed(ZOO["voc-fcn16s"]).build("deploy", {}).to_proto(), place.with_name("deploy.prototxt"))
    monkeypatch.chdir(root)
    chosen = choose("voc-fcn16s")
    assert chosen.classes[15] == "person" and chosen.mean_bgr == (104.00699, 116.66877, 122.67892)
    assert chosen.weights == FCN and Path(chosen.deploy).exists()
    weights.bring("voc-fcn16s", root)
    assert "there already" in capsys.readouterr().out


def test_a_classifier_gets_no_record(slim, monkeypatch, tmp_path):
    with serving(files={"w": b"anything whose checksum is right"}) as server:
        sha1 = hashlib.sha1(b"anything whose checksum is right").hexdigest()
        served_as(monkeypatch, "caffenet", server.url("w"), f"sha1:{sha1}")
        place = weights.bring("bvlc_reference_caffenet", tmp_path)
    assert [path.name for path in place.parent.iterdir()] == ["bvlc_reference_caffenet.caffemodel"]
    assert place.parent == tmp_path / "models/ilsvrc-nets"


def test_records_of_two_inputs_and_two_heads(slim, monkeypatch, tmp_path):
    for name in ("nyud-fcn32s-color-hha", "siftflow-fcn8s"):
        body(name, tmp_path)
        weights.bring(name, tmp_path, tmp_path / "x.caffemodel")
    both = load_record(tmp_path / WEIGHTS["nyud-fcn32s-color-hha"].place)
    assert [(row.blob, row.kind) for row in both.inputs] == [("color", "color"), ("hha", "hha")]
    heads = load_record(tmp_path / WEIGHTS["siftflow-fcn8s"].place).heads
    assert [(row.score, row.label, len(row.classes)) for row in heads] == [
        ("score_sem", "sem", 33), ("score_geo", "geo", 3)]


# -- converted --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["x.pth", "x.npz"])
def test_converted_weights_are_the_same(way, released, tmp_path, monkeypatch):
    root, data = released
    (tmp_path / "y.caffemodel").write_bytes(data)
    convert(tmp_path / "y.caffemodel", tmp_path / way)
    place = weights.bring("voc-fcn16s", root, tmp_path / way)
    assert place.read_bytes() == data
    record = load_record(place)
    assert record.origin.startswith(f"converted from {way}, md5:") and weights.expected(record) is None
    known = Converted("a state dict", "id", hashlib.md5((tmp_path / way).read_bytes()).hexdigest())
    monkeypatch.setitem(WEIGHTS, "voc-fcn16s", replace(WEIGHTS["voc-fcn16s"], converted=(known,)))
    weights.bring("voc-fcn16s", root, tmp_path / way, force=True)
    assert weights.expected(load_record(place))["mean_iu"] == 0.6501


def test_torchvisions_vgg16_gets_the_toolkits_mean(slim, tmp_path, monkeypatch):
    net = tv.make("torchvision-vgg16", widths=(8, 16, 32, 64, 64), fc=256, classes=1000)
    torch.save(net.state_dict(), tmp_path / "vgg16.pth")
    place = weights.bring("vgg16", tmp_path, tmp_path / "vgg16.pth")
    convert(tmp_path / "vgg16.pth", tmp_path / "x.caffemodel", mean_bgr=(104.00699, 116.66877, 122.67892))
    ours, theirs = (layers_of(path) for path in (place, tmp_path / "x.caffemodel"))
    np.testing.assert_array_equal(ours["conv1_1/1"], theirs["conv1_1/1"])
    known = Converted("a state dict", "id", hashlib.md5((tmp_path / "vgg16.pth").read_bytes()).hexdigest(), "caffe")
    monkeypatch.setitem(WEIGHTS, "vgg16", replace(WEIGHTS["vgg16"], converted=(known,)))
    weights.bring("vgg16", tmp_path, tmp_path / "vgg16.pth", force=True)
    np.testing.assert_array_equal(layers_of(place)["conv1_1/0"], net.state_dict()["features.0.weight"].numpy())


def layers_of(path):
    convert(path, path.with_suffix(".npz"))
    with np.load(path.with_suffix(".npz")) as found:
        return dict(found)


# -- what is in the way, what is wrong --------------------------------------------------------------


def test_weights_trained_here_stay_unless_forced(released):
    root, data = released
    place = root / FCN
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    save_record(Record("voc-fcn16s", "d", FCN, ("a",), (0, 0, 0), iteration=4000, scores=dict(mean_iu=0.5)), place)
    with pytest.raises(DataError, match=r"trained here, iteration 4000; mean_iu 0.5000.*--force"):
        weights.bring("voc-fcn16s", root)
    assert place.read_bytes() == b"mine" and load_record(place).iteration == 4000
    assert main(["weights", "voc-fcn16s", "--root", str(root), "--force"]) == 0
    assert place.read_bytes() == data and load_record(place).iteration is None


def test_released_weights_without_a_record_are_known_by_their_checksum(slim, monkeypatch, tmp_path):
    place = tmp_path / WEIGHTS["voc-fcn8s"].place
    place.parent.mkdir(parents=True)
    place.write_bytes(b"released")
    served_as(monkeypatch, "voc-fcn8s", "http://127.0.0.1:1/x", f"sha1:{hashlib.sha1(b'released').hexdigest()}")
    weights.bring("voc-fcn8s", tmp_path)
    assert weights.expected(load_record(place))["mean_iu"] == 0.6551
    place.write_bytes(b"released?")
    with pytest.raises(DataError, match="broken or another file"):
        weights.bring("voc-fcn8s", tmp_path)


def test_a_dead_host_names_every_other_way(monkeypatch, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/w"
    served_as(monkeypatch, "voc-fcn16s", url)
    with pytest.raises(DataError) as caught:
        weights.bring("voc-fcn16s", tmp_path)
    said = str(caught.value)
    assert all(words in said for words in (url, "--from FILE", "FCN_MIRROR", "browser", "drive.google.com",
                                           "1bctu58B6YH9bu6lBBSBB2rUeGlGhYLoP", "a2d4035f669f09483b39c9a14a0d6670"))
    assert not (tmp_path / FCN).exists()


@pytest.mark.parametrize(("kind", "words"), [("text", "want a .caffemodel"), ("other", "Cannot copy param"),
                                             ("empty", "nothing for the layers conv1_1, conv1_2")])
def test_a_file_that_is_no_weights_of_this_net_is_not_taken(kind, words, slim, tmp_path):
    source = tmp_path / "x.caffemodel"
    if kind == "text":
        source.write_bytes(b"x" * 100)
    else:
        body("voc-fcn-alexnet" if kind == "other" else "voc-fcn16s", tmp_path, fill=None if kind == "other" else 0)
    with pytest.raises(DataError, match=words):
        weights.bring("voc-fcn16s", tmp_path / "root", source)
    assert not (tmp_path / "root" / FCN).exists()


def test_what_a_score_is_judged_by():
    record = Record("voc-fcn8s", "d", "w", ("a",), (0, 0, 0), origin=" ".join((
        "http://dl.caffe.berkeleyvision.org/fcn8s-heavy-pascal.caffemodel", "sha1:x")))
    assert weights.judge(record, "seg11valid", 736, 0.65513).startswith("as released: mean IU 0.6551, expected 0.6551")
    assert weights.judge(record, "seg11valid", 736, 0.6561).startswith("warning: NOT as released: mean IU 0.6561")
    assert weights.judge(record, "train", 736, 0.6) == "" == weights.judge(record, "seg11valid", 101, 0.6)
    assert weights.judge(replace(record, origin=""), "seg11valid", 736, 0.6) == ""
    assert weights.expected(replace(record, iteration=4)) is None


# -- the command ------------------------------------------------------------------------------------


def test_a_model_zoos_readme_is_taken(tmp_path, capsys):
    with serving(files={"m": b"abc"}) as server:
        (tmp_path / "readme.md").write_text(
            f"---\nname: A net\ncaffemodel: a.caffemodel\ncaffemodel_url: {server.url('m')}\nlicense: free\n"
            f"sha1: {hashlib.sha1(b'abc').hexdigest()}\ncaffe_commit: 1\n---\n\ncaffemodel: no\n")
        assert main(["weights", str(tmp_path / "readme.md")]) == 0
    assert (tmp_path / "a.caffemodel").read_bytes() == b"abc" and "licence: free" in capsys.readouterr().out
    (tmp_path / "readme.md").write_text("---\ncaffemodel: a\n---\n")
    with pytest.raises(DataError, match="does not say caffemodel_url, sha1"):
        main(["weights", str(tmp_path / "readme.md")])


def test_without_a_name_all_are_listed(capsys):
    assert main(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(WEIGHTS) and "sha1:9363e1f6" in lines[0] and "recorded at first use" in lines[-1]


def test_make_weights_name():
    done = subprocess.run(["make", "-n", "weights-voc-fcn8s", "FROM=a.pth", "FORCE=1"], cwd=ROOT, text=True,
                          capture_output=True)
    assert "-m nets weights voc-fcn8s --from a.pth --force" in done.stdout, done.stderr


def test_another_nets_file_leaves_no_checksum_that_the_right_one_fails(slim, monkeypatch, tmp_path):
    body("siftflow-fcn8s", tmp_path)
    other = (tmp_path / "x.caffemodel").rename(tmp_path / "other.caffemodel")
    with pytest.raises(DataError, match="has nothing for the layers .*: remove it, and repeat the command"):
        weights.bring("nyud-fcn32s-color-hha", tmp_path, other)
    kept = tmp_path / "data/downloads" / WEIGHTS["nyud-fcn32s-color-hha"].download.name
    assert kept.exists() and not kept.with_name(f"{kept.name}.sha256").exists()
    kept.unlink()
    body("nyud-fcn32s-color-hha", tmp_path)
    assert weights.bring("nyud-fcn32s-color-hha", tmp_path, tmp_path / "x.caffemodel").exists()


def test_weights_that_can_be_fetched_are_told(monkeypatch, tmp_path):
    (tmp_path / "models/nyud-fcn32s-hha").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no weights .*fetch the released ones \(`make weights-nyud-fcn32s-hha`\)"):
        choose("nyud-fcn32s-hha")

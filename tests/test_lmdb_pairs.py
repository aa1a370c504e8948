"""LMDB pairs: written, interrupted, resumed, verified, read back, and fed to nets in the place of Python layers."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import lmdb
import miniatures
import numpy as np
import pytest
from PIL import Image

import caffe
import startup
from data.__main__ import main
from data.lmdb_pairs import writing
from data.lmdb_pairs.checking import verify
from data.lmdb_pairs.datums import ENCODINGS, IMAGE, LABEL, pack, unpack
from data.lmdb_pairs.source import of_prototxt
from data.lmdb_pairs.store import Store, records
from data.whole import DataError
from nets import NetError
from nets.__main__ import main as nets_main
from nets.lmdb_feed import pair_folder, with_lmdb
from nets.zoo import ZOO, emit, slimmed

ROOT = Path(__file__).resolve().parent.parent
RNG = np.random.RandomState(3)


def silent(things, **_):
    return things


class NoBar:
    def __init__(self, **_):
        self.seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        pass

    def update(self, n):
        self.seen += n


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    miniatures.voc(root)
    miniatures.sbdd(root)
    return root


def command(*args):
    assert main(["lmdb", *map(str, args)]) == 0


def write_voc(project, out, *more):
    command("write", "voc", "--split", "seg11valid", "--root", project, "--out", out, *more)
    return out


def contents(folder):
    with records(folder) as (count, rows):
        found = [(key.decode(), bytes(value)) for key, value in rows]
    assert count == len(found)
    return found


@pytest.mark.parametrize("encode", ENCODINGS)
def test_pixels_and_classes_come_back(project, tmp_path, encode):
    out = write_voc(project, tmp_path / "db", "--encode", encode, "--label-encode", "raw" if encode == "raw" else "png")
    ids = (project / "data/pascal/VOC2011/ImageSets/Segmentation/seg11valid.txt").read_text().split()
    images, labels = contents(out / "data"), contents(out / "label")
    assert [key for key, _ in images] == [key for key, _ in labels] == [f"{i:08d}_{n}" for i, n in enumerate(ids)]
    for name, (_, image), (_, label) in zip(ids, images, labels):
        folder = project / "data/pascal/VOC2011"
        photo = folder / f"JPEGImages/{name}.jpg"
        assert np.array_equal(unpack(image, IMAGE), np.asarray(Image.open(photo))[..., ::-1].transpose(2, 0, 1))
        assert np.array_equal(unpack(label, LABEL)[0], np.asarray(Image.open(folder / f"SegmentationClass/{name}.png")))
        assert (photo.read_bytes() in image) == (encode == "jpeg-as-is")


def test_files_come_back(project, tmp_path):
    out = write_voc(project, tmp_path / "db")
    for _ in range(2):
        command("read", out, "--out", tmp_path / "files")
    for place, top in (("JPEGImages", "data"), ("SegmentationClass", "label")):
        files = sorted((tmp_path / "files" / top).iterdir())
        assert len(files) == 2
        for file in files:
            old = project / "data/pascal/VOC2011" / place / file.name[9:]
            if top == "data":
                assert file.read_bytes() == old.read_bytes()
            else:
                one, two = Image.open(file), Image.open(old)
                assert one.mode == "P" and np.array_equal(np.asarray(one), np.asarray(two))
                assert one.getpalette() == two.getpalette()


def test_what_cannot_stand_as_it_is_becomes_png():
    rgb = RNG.randint(0, 256, (6, 7, 3)).astype(np.uint8)
    bgr = rgb[..., ::-1].transpose(2, 0, 1)
    for image, stays in ((Image.fromarray(rgb), True), (Image.fromarray(rgb[..., 0]), False),
                         (Image.fromarray(rgb).quantize(8), False), (Image.fromarray(rgb[:, ::-1]), False)):
        stream = io.BytesIO()
        image.save(stream, "PNG")
        wanted = bgr if stays or image.mode == "RGB" else \
            np.asarray(image.convert("RGB"))[..., ::-1].transpose(2, 0, 1).copy()
        value = pack(wanted, "jpeg-as-is", stream.getvalue())
        assert (stream.getvalue() in value) == stays
        assert np.array_equal(unpack(value, IMAGE), wanted)
    floats = RNG.normal(size=(1, 4, 5)).astype(np.float32)
    assert np.array_equal(unpack(pack(floats, "png"), "floats"), floats)


def test_folders_of_images_and_labels(project, tmp_path, capsys):
    voc = project / "data/pascal/VOC2011"
    out = tmp_path / "db"
    command("write", "--images", voc / "JPEGImages", "--labels", voc / "SegmentationClass", "--out", out)
    assert "6 pairs, keys agree, all decode, each equal to its files" in capsys.readouterr().out
    command("write", "--images", voc / "JPEGImages", "--labels", voc / "SegmentationClass", "--out", out)
    assert "6 of 6 items were there already" in capsys.readouterr().out
    (tmp_path / "one").mkdir()
    with pytest.raises(DataError, match="6 files of .* have no partner of the same name"):
        command("write", "--images", tmp_path / "one", "--labels", voc / "SegmentationClass", "--out", tmp_path / "x")
    with pytest.raises(ValueError, match="label"):  # swapped
        command("write", "--images", voc / "SegmentationClass", "--labels", voc / "JPEGImages", "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    listed = (out / "train.txt").read_text()
    for path in (voc / "JPEGImages").iterdir():
        shutil.copy(path, tmp_path / "one")
    gone = sorted((tmp_path / "one").iterdir())[0]
    (tmp_path / "two").mkdir()
    for path in (voc / "SegmentationClass").iterdir():
        if path.stem != gone.stem:
            shutil.copy(path, tmp_path / "two")
    gone.unlink()
    with pytest.raises(DataError, match="was written with another list of images"):
        command("write", "--images", tmp_path / "one", "--labels", tmp_path / "two", "--out", out)
    assert (out / "train.txt").read_text() == listed


class Stop(Exception):
    pass


def test_an_interrupted_writing_goes_on(project, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writing, "AT_ONCE", 4)
    put, calls = Store.put, []

    def stopping(self, rows):
        calls.append(self.folder.name)
        if len(calls) == 4:  # images of the second transaction are in, their labels are not
            raise Stop
        put(self, rows)

    arguments = ("write", "voc", "--root", project, "--out", tmp_path / "db", "--order", "draws", "--draws", 11)
    monkeypatch.setattr(Store, "put", stopping)
    with pytest.raises(Stop):
        command(*arguments)
    for words in (("verify", tmp_path / "db"), ("read", tmp_path / "db", "--out", tmp_path / "files")):
        with pytest.raises(DataError, match="not written to its end"):
            command(*words)
    monkeypatch.setattr(Store, "put", put)
    command(*arguments)
    assert "4 of 11 items were there already" in capsys.readouterr().out
    command(*arguments[:5], tmp_path / "whole", *arguments[6:])
    for top in ("data", "label"):
        assert contents(tmp_path / "db" / top) == contents(tmp_path / "whole" / top)
    with pytest.raises(DataError, match="was written with another count"):
        command(*arguments[:-1], 12)


def test_the_map_grows(tmp_path):
    with Store(tmp_path / "db", 1 << 15) as store:
        store.put([(b"%d" % i, bytes(5000)) for i in range(100)])
        assert store.count == 100


def test_a_full_disk_is_one_line_and_what_is_whole_stays(project, tmp_path):
    script = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from data.lmdb_pairs import writing
writing.AT_ONCE = 4
import startup
from data.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({{}}, {{}}))
sys.exit(startup.run(lambda: main(["lmdb", "write", "voc", "--root", {str(project)!r}, "--out",
                                   {str(tmp_path / 'db')!r}, "--order", "draws", "--draws", "40", "--encode", "raw"])))
"""
    limit = 90_000
    done = subprocess.run([sys.executable, "-c", script.replace("{}", str(limit))], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "cannot be written" in line and "free some space and repeat" in line, done.stderr
    command("write", "voc", "--root", project, "--out", tmp_path / "db", "--order", "draws", "--draws", 40, "--encode",
            "raw")
    assert verify(tmp_path / "db", silent).pairs == 40


def test_a_small_disk_is_refused_before_anything_is_written(project, tmp_path, monkeypatch):
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"wants about [\d.]+ MB more, its disk has 0\.0 MB free"):
        write_voc(project, tmp_path / "db")
    assert not (tmp_path / "db/pairs.json").exists()


def test_the_estimate_is_near(project, tmp_path):
    what = writing.plan(of_prototxt(prototxt(project, tmp_path)), 60, "jpeg-as-is", "png")
    writing.write(what, tmp_path / "db", NoBar)
    size = sum((tmp_path / "db" / top / "data.mdb").stat().st_size for top in ("data", "label"))
    assert 0.5 * size < writing.estimate(what) < 2 * size


def _drop(folder, number):
    with lmdb.open(str(folder)) as env, env.begin(write=True) as txn:
        txn.delete(sorted(key for key, _ in txn.cursor())[number])


def _change(folder, value):
    with lmdb.open(str(folder)) as env, env.begin(write=True) as txn:
        txn.put(next(iter(txn.cursor()))[0], value)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-4096])


SMALL = pack(np.zeros((1, 3, 3), np.uint8), "png")
FAULTS = [
    (lambda db: _drop(db / "label", 0), r"key '00000000_.*' is missing in label"),
    (lambda db: _drop(db / "data", 1), r"key '00000001_.*' is missing in data"),
    (lambda db: _change(db / "data", b"\xff\xff"), "record '00000000_.*: it holds no Datum"),
    (lambda db: _change(db / "data", caffe.proto.caffe_pb2.Datum(encoded=True, data=b"x").SerializeToString()),
     "cannot be decoded"),
    (lambda db: _change(db / "label", SMALL), "tops differ in size: data .*, label 3 x 3"),
    (lambda db: _change(db / "label", bytes(contents(db / "label")[1][1])), "differ in size|is not what its file says"),
    (lambda db: [_drop(db / top, 1) for top in ("data", "label")], "has 1 records, its record says 2"),
    (lambda db: [_drop(db / top, 0) for top in ("data", "label")], "record 0 is '00000001"),
    (lambda db: (db / "label/data.mdb").unlink(), "is no LMDB: there is no data.mdb"),
    (lambda db: (db / "label/data.mdb").write_bytes(b"x" * 9000), "cannot be opened|is damaged"),
    (lambda db: _cut(db / "data/data.mdb"), "is cut off"),
    (lambda db: (db / "pairs.json").write_text("{}"), "is no record of an LMDB pair"),
    (lambda db: (db / "pairs.json").unlink(), "has no pairs.json"),
]


@pytest.mark.parametrize(("harm", "words"), FAULTS)
def test_faults_are_found(project, tmp_path, harm, words):
    out = write_voc(project, tmp_path / "db")
    harm(out)
    with pytest.raises(DataError, match=words):
        command("verify", out)


def test_a_pair_whose_files_are_gone_is_still_checked(project, tmp_path, capsys):
    out = write_voc(project, tmp_path / "db")
    record = json.loads((out / "pairs.json").read_text())
    record["source"]["params"]["voc_dir"] = "gone"
    (out / "pairs.json").write_text(json.dumps(record))
    command("verify", out)
    assert "2 pairs, keys agree, all decode, not compared with its files" in capsys.readouterr().out


def test_an_lmdb_open_in_this_process_is_named(project, tmp_path):
    out = write_voc(project, tmp_path / "db")
    with lmdb.open(str(out / "data")), pytest.raises(DataError, match="is open in this very process"):
        command("verify", out)


@pytest.mark.parametrize(("arguments", "words"), [
    (("voc", "--split", "nothing"), "has no split 'nothing'"),
    (("nothing",), "data set 'nothing' is not known"),
    ((), "want one of: NAME with --split, --prototxt FILE, --images DIR"),
    (("voc", "--images", "x", "--labels", "y"), "want one of"),
    (("--images", "x"), "want one of"),
    (("voc", "--order", "draws"), "say how many with --draws"),
    (("voc", "--draws", "0"), "want 1 or more"),
    (("voc", "--root", "elsewhere"), "the list of ids"),
])
def test_wrong_arguments_are_one_line(project, tmp_path, capfd, arguments, words):
    more = [] if "--root" in arguments else ["--root", str(project)]
    argv = ["lmdb", "write", *arguments, *more, "--out", str(tmp_path / "db")]
    assert startup.run(partial(main, argv)) == 1
    errors = capfd.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and words in errors[0], errors


def test_every_set_makes_the_round_trip(tmp_path, capsys):
    miniatures.context(tmp_path), miniatures.nyud(tmp_path), miniatures.siftflow(tmp_path)
    for name, split, count, more in (("pascalcontext", "val", 2, ()), ("pascalcontext33", "train", 4, ()),
                                     ("nyud", "test", 2, ("--tops", "color,depth,hha,label")),
                                     ("siftflow", "trainval", 4, ())):
        out = tmp_path / "db" / name
        command("write", name, "--split", split, "--root", tmp_path, "--out", out, *more)
        assert f"{count} pairs, keys agree, all decode, each equal to its files" in capsys.readouterr().out
        command("read", out, "--out", tmp_path / "back" / name)
    assert {path.name for path in (tmp_path / "db/siftflow").iterdir() if path.is_dir()} == {"data", "sem", "geo"}
    nyud = tmp_path / "data/nyud/data"
    for top, folder in (("color", "images"), ("hha", "hha")):
        for file in sorted((tmp_path / "back/nyud" / top).iterdir()):
            assert np.array_equal(np.asarray(Image.open(file)),
                                  np.asarray(Image.open(nyud / folder / f"img_{file.stem[9:]}.png")))
    for file in sorted((tmp_path / "back/nyud/depth").iterdir()):
        depth = np.asarray(Image.open(nyud / "depth" / f"img_{file.stem[9:]}.png")).astype(np.float32)
        assert np.abs(np.load(file)[0] - (np.log(depth) - 7.844)).max() < 1e-6


# -- nets -----------------------------------------------------------------------------------------


def slim(name, project, phase="train"):
    dirs = {"sbdd_dir": str(project / "data/sbdd/dataset"), "voc_dir": str(project / "data/pascal/VOC2011")}
    return slimmed(ZOO[name]).build(phase, dirs).to_proto()


def prototxt(project, folder, name="voc-fcn32s", net=None, file="python.prototxt"):
    path = folder / file
    path.write_text(str(net if net is not None else slim(name, project)))
    return path


def losses(path, weights, passes, rate):
    """Train from the same weights with the same dropout; gives the losses and the file of the weights begun with."""
    path.with_suffix(".solver").write_text(
        f'train_net: "{path}" base_lr: {rate} lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "{path}" '
        f'solver_mode: CPU snapshot_after_train: false')
    caffe.set_random_seed(9)
    solver = caffe.SGDSolver(str(path.with_suffix(".solver")))
    if weights is None:
        weights, rng = str(path) + ".caffemodel", np.random.RandomState(2)
        for blobs in solver.net.params.values():
            values = blobs[0].data  # score and upscore start with zeros
            values[...] = rng.normal(0, np.sqrt(2 / np.prod(values.shape[1:])), values.shape)
        solver.net.save(weights)
    else:
        solver.net.copy_from(weights)
    caffe.set_random_seed(4)
    found = []
    for _ in range(passes):
        solver.step(1)
        found.append(float(solver.net.blobs["loss"].data))
    return np.array(found), weights


@pytest.mark.parametrize(("name", "mirror", "rate"), [("voc-fcn32s", False, 1e-9), ("shapes-fcn16s", True, 1e-3)])
def test_losses_are_those_of_the_python_layer(project, tmp_path, name, mirror, rate):
    passes = 6
    net = slim(name, project)
    path = prototxt(project, tmp_path, net=net) if not mirror else _shapes(project, tmp_path, net)
    net = caffe.proto.caffe_pb2.NetParameter()
    from google.protobuf import text_format
    text_format.Parse(path.read_text(), net)
    folder = pair_folder(name, net, str(tmp_path / "lmdb"))
    assert folder.endswith("shapes-train" if mirror else "sbdd-train")
    command("write", "--prototxt", path, "--draws", passes, "--out", folder)
    fed = with_lmdb(name, net, str(tmp_path / "lmdb"))
    assert [(layer.type, layer.top[0]) for layer in fed.layer[:3]][:2] == [("Data", "data"), ("Data", "label")]
    assert len(fed.layer) == len(net.layer) + 1
    wanted, weights = losses(path, None, passes, rate)
    found, _ = losses(prototxt(project, tmp_path, net=fed, file="lmdb.prototxt"), weights, passes, rate)
    assert len(set(np.round(wanted, 6))) == passes
    assert np.abs(found / wanted - 1).max() < 1e-6


def _shapes(project, folder, net):
    """Let a net of the embedded set read the miniature, whose labels go up to 20."""
    text = str(net)
    assert text.count("classes\\': 9") == 1 and "num_output: 9" in text
    text = text.replace("classes\\': 9", "classes\\': 21").replace("num_output: 9", "num_output: 21")
    return prototxt(project, folder, net=text)


def test_both_kinds_of_layer_give_the_same_blobs(tmp_path):
    miniatures.nyud(tmp_path), miniatures.siftflow(tmp_path)
    for name in ("nyud-fcn32s-color-hha", "nyud-fcn32s-color-d", "siftflow-fcn32s"):
        net = emit(name, "trainval", nyud_dir=f"{tmp_path}/data/nyud", siftflow_dir=f"{tmp_path}/data/sift-flow")
        del net.layer[1:]
        path = prototxt(None, tmp_path, net=net)
        command("write", "--prototxt", path, "--draws", 5, "--out", pair_folder(name, net, str(tmp_path / name)))
        one = caffe.Net(str(path), caffe.TRAIN)
        two = caffe.Net(str(prototxt(None, tmp_path, net=with_lmdb(name, net, str(tmp_path / name)))), caffe.TRAIN)
        for _ in range(5):
            one.forward(), two.forward()
            assert list(one.blobs) == list(two.blobs)
            for top, blob in one.blobs.items():
                assert blob.data.shape == two.blobs[top].data.shape
                assert np.abs(blob.data - two.blobs[top].data).max() < 2e-5, (name, top)  # a bit of the last place


def test_images_moved_over_the_mean_are_stored_as_floats(project, tmp_path):
    net = emit("voc-fcn32s", "train", sbdd_dir=str(project / "data/sbdd/dataset"))
    del net.layer[1:]
    net.layer[0].python_param.param_str = net.layer[0].python_param.param_str[:-1] + ", 'jitter': 4, 'crop': (20, 30)}"
    path = prototxt(None, tmp_path, net=net)
    command("write", "--prototxt", path, "--draws", 3, "--out", tmp_path / "db/sbdd-train")
    one = caffe.Net(str(path), caffe.TRAIN)
    two = caffe.Net(str(prototxt(None, tmp_path, net=with_lmdb("voc-fcn32s", net, str(tmp_path / "db")))), caffe.TRAIN)
    for _ in range(3):
        one.forward(), two.forward()
        assert one.blobs["data"].data.shape == (1, 3, 20, 30)
        for top in ("data", "label"):
            assert np.array_equal(one.blobs[top].data, two.blobs[top].data)


def test_lmdb_prototxts_on_the_command_line(tmp_path):
    names = ["voc-fcn8s", "nyud-fcn32s-color-hha", "siftflow-fcn8s"]
    assert nets_main([*names, "--data", "lmdb", "--out", str(tmp_path)]) == 0
    train = (tmp_path / "voc-fcn8s/train.prototxt").read_text()
    assert train.count('type: "Data"') == 2 and "Python" not in train
    assert 'source: "data/lmdb/sbdd-train/data"' in train and "mean_value: 104.0069" in train
    late = (tmp_path / "nyud-fcn32s-color-hha/test.prototxt").read_text()
    assert [f'source: "data/lmdb/nyud-test/{top}"' in late for top in ("color", "hha", "label")] == [True] * 3
    assert "mean_value: 132.431" in late
    heads = (tmp_path / "siftflow-fcn8s/trainval.prototxt").read_text()
    assert heads.count('type: "Data"') == 3 and 'top: "geo"' in heads
    deploy = (tmp_path / "voc-fcn8s/deploy.prototxt").read_text()
    assert deploy == (ROOT / "models/voc-fcn8s/deploy.prototxt").read_text()


def test_depth_goes_into_the_net_as_it_is(tmp_path):
    net = with_lmdb("nyud-fcn32s-color-d", emit("nyud-fcn32s-color-d", "test"), "db")
    depth = next(layer for layer in net.layer if layer.name == "depth")
    assert depth.data_param.source == "db/nyud-test/depth" and not depth.transform_param.mean_value


def test_classifiers_have_no_lmdb_form():
    with pytest.raises(NetError, match="no pairs of images and labels"):
        with_lmdb("shapes-vgg16", emit("shapes-vgg16", "train"))

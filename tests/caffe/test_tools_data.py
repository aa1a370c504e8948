"""convert_imageset, compute_image_mean and extract_features: what they write, read by genuine Caffe."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe._caffe.data.database_writer import DatabaseWriter
from caffe.proto import caffe_pb2
from caffe.tools import compute_image_mean, convert_imageset, extract_features
from tests.bvlc import run_bvlc
from tests.caffe.two_caffes import both

RNG = np.random.RandomState(4)
PIXELS = [RNG.randint(0, 256, (20, 30, 3)).astype(np.uint8) for _ in range(5)]
NAMES = ["a/0.png", "1.png", "a name 2.png", "3.png", "4.png"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    Path("images/a").mkdir(parents=True)
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        Image.fromarray(pixels).save(f"images/{name}")
    Path("list.txt").write_text("".join(f"{name} {3 * i}\n" for i, name in enumerate(NAMES)))
    return tmp_path


def convert(*argv, target="db"):
    return convert_imageset.main([*argv, "images/", "list.txt", target])


def records(path):
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as txn:
        return [(key.decode(), caffe_pb2.Datum.FromString(value)) for key, value in txn.cursor()]


def error(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, lines
    return lines[0]


# -- convert_imageset --------------------------------------------------------------------------------


def test_records_are_caffes_datums(folder):
    assert convert() == 0
    found = records("db")
    assert [key for key, _ in found] == [f"{i:08d}_{name}" for i, name in enumerate(NAMES)]
    for i, (_, datum) in enumerate(found):
        want = caffe_pb2.Datum(channels=3, height=20, width=30, label=3 * i, encoded=False,
                               data=PIXELS[i][:, :, ::-1].transpose(2, 0, 1).tobytes())
        assert datum.SerializeToString() == want.SerializeToString()
    assert sorted(path.name for path in folder.iterdir()) == ["db", "images", "list.txt"]


DATA = """
layer {{ name: "d" type: "Data" top: "d" top: "l" data_param {{ source: "{0}" batch_size: 5 backend: LMDB }} }}
layer {{ name: "i" type: "ImageData" top: "i" top: "m" image_data_param {{ source: "list.txt" root_folder: "images/"
  batch_size: 5 is_color: {1} new_height: {2} new_width: {3} }} }}"""
FORMS = {"plain": ([], "true", 0, 0), "grey": (["-gray"], "false", 0, 0),
         "small": (["--resize_height=9", "--resize_width=11"], "true", 9, 11),
         "half": (["-resize_height", "10", "-resize_width", "15", "-gray"], "false", 10, 15),
         "file": (["-encoded"], "true", 0, 0), "png": (["-encode_type", "png", "-resize_height", "33",
                                                       "-resize_width", "31"], "true", 33, 31)}


def test_genuine_caffe_reads_from_the_database_what_it_reads_from_the_images(folder):
    jobs = []
    for name, (options, *read) in FORMS.items():
        assert convert(*options, target=name) == 0
        jobs.append((DATA.format(name, *read), caffe.TEST, 1))
    both(jobs, folder)  # both Caffes read the same; and, here, the same from either source
    for i, (prototxt, phase, _) in enumerate(jobs):
        Path("net.prototxt").write_text(prototxt)
        net = caffe.Net("net.prototxt", phase)
        net.forward()
        np.testing.assert_array_equal(net.blobs["d"].data, net.blobs["i"].data, err_msg=list(FORMS)[i])
        assert net.blobs["l"].data.tolist() == net.blobs["m"].data.tolist() == [0, 3, 6, 9, 12]


def test_encoded_keeps_the_file_where_it_can(folder):
    Image.fromarray(PIXELS[0]).save("images/photo.jpeg")
    Path("list.txt").write_text("photo.jpeg 1\n1.png 2\n")
    assert convert("-encode_type", "jpg") == 0
    (_, first), (_, second) = records("db")
    assert first.encoded and first.data == Path("images/photo.jpeg").read_bytes() and first.channels == 0
    with Image.open(io.BytesIO(second.data)) as image:
        assert image.format == "JPEG" and image.size == (30, 20)
    assert convert("-encoded", "-gray", target="file") == 0  # Caffe: a file of its type stays as it is, in colour
    assert records("file")[1][1].data == Path("images/1.png").read_bytes()
    assert convert("-encode_type", "bmp", "-gray", target="grey") == 0
    with Image.open(io.BytesIO(records("grey")[1][1].data)) as image:
        assert image.format == "BMP" and image.mode == "L"


def test_shuffle_is_the_random_draw_of_the_seed(folder):
    caffe.set_random_seed(6)
    assert convert("--shuffle") == 0
    lines = list(range(5))
    caffe.set_random_seed(6)
    caffe._caffe.common.rng().shuffle(lines)
    assert [key[9:] for key, _ in records("db")] == [NAMES[i] for i in lines] and lines != sorted(lines)


def test_an_image_that_cannot_be_read_is_named_and_left_out(folder, capsys):
    Path("images/1.png").write_bytes(b"no image")
    os.remove("images/3.png")
    assert convert() == 0  # Caffe: goes on
    log = capsys.readouterr().err
    assert "images/1.png" in log and "images/3.png" in log and "2 of 5 images could not be read" in log
    assert [key[:8] for key, _ in records("db")] == ["00000000", "00000002", "00000004"]


@pytest.mark.parametrize("argv, words", [
    (["images/", "list.txt"], "got 2 arguments"), (["images/", "none.txt", "db"], "none.txt"),
    (["images/", "empty.txt", "db"], "File is empty"), (["images/", "list.txt", "taken"], "mkdir taken failed"),
    (["images/", "list.txt", "no/where/db"], "mkdir no/where/db failed"),
    (["images", "list.txt", "db"], "with a slash at its end"),
    (["-backend", "leveldb", "images/", "list.txt", "db"], "pip install plyvel"),
    (["-backend", "x", "images/", "list.txt", "db"], "backend 'x'"),
    (["-encode_type", "xyz", "images/", "list.txt", "db"], "this image type cannot be written"),
    (["-check_size", "images/", "sizes.txt", "db"], "Incorrect data field size"),
    (["-resize", "images/", "list.txt", "db"], "unknown command line flag 'resize'")])
def test_convert_says_what_is_wrong_and_leaves_nothing(folder, capsys, monkeypatch, argv, words):
    monkeypatch.setitem(sys.modules, "plyvel", None)
    Path("empty.txt").write_text("")
    Path("taken").mkdir()
    Image.fromarray(PIXELS[0][:5]).save("images/flat.png")
    Path("sizes.txt").write_text("1.png 0\nflat.png 0\n")
    before = sorted(folder.rglob("*"))
    assert convert_imageset.main(argv) == 1
    assert words in error(capsys)
    assert sorted(folder.rglob("*")) == before


def test_a_label_that_is_no_number_is_named(folder, capsys):
    Path("odd.txt").write_text("1.png 7\n1.png seven\n3.png\n")
    convert_imageset.main(["images/", "odd.txt", "db"])
    log = capsys.readouterr().err
    assert "odd.txt, line 2: '1.png seven'" in log and "label is read as 0" in log and "There are 2 such" in log
    assert [datum.label for _, datum in records("db")] == [7, 0, 3]  # Caffe: atoi


def test_a_writer_that_is_stopped_leaves_no_database(folder):
    with pytest.raises(KeyboardInterrupt), DatabaseWriter("db") as database:
        for i in range(2500):
            database.put(b"%08d" % i, b"x" * 100)
        raise KeyboardInterrupt
    assert not [path for path in folder.iterdir() if path.name.startswith("db")]


def test_a_database_grows_beyond_its_map(folder, monkeypatch):
    monkeypatch.setattr("caffe._caffe.data.database_writer._MAP_SIZE", 1 << 16)
    with DatabaseWriter("db") as database:
        for i in range(1500):
            database.put(b"%08d" % i, bytes([i % 256]) * 1000)
    with lmdb.open("db", readonly=True, lock=False) as env, env.begin() as txn:
        assert txn.stat()["entries"] == 1500 and txn.get(b"00001499") == bytes([1499 % 256]) * 1000


# -- compute_image_mean ------------------------------------------------------------------------------


def test_mean_is_that_of_the_images_and_genuine_caffe_takes_it(folder, capsys):
    assert convert() == 0 and compute_image_mean.main(["db", "mean.binaryproto"]) == 0
    log = capsys.readouterr().err
    mean = np.mean(PIXELS, 0)[:, :, ::-1].transpose(2, 0, 1)
    blob = caffe_pb2.BlobProto.FromString(Path("mean.binaryproto").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 20, 30) and not blob.HasField("shape")
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob)[0], mean, rtol=1e-6)
    for channel in range(3):
        assert f"mean_value channel [{channel}]: {mean[channel].mean():g}"[:34] in log
    assert "Processed 5 files." in log and "Number of channels: 3" in log
    both([(DATA.format("db", "true", 0, 0).replace('top: "l"', 'top: "l" transform_param { mean_file: '
                                                   '"mean.binaryproto" }'), caffe.TEST, 1)], folder)


def test_mean_of_encoded_images_and_without_a_file(folder, capsys):
    convert("-encoded")
    convert(target="raw")
    capsys.readouterr()
    assert compute_image_mean.main(["db"]) == 0
    found = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines() if "mean_value" in line]
    assert compute_image_mean.main(["-backend=lmdb", "raw", "mean.binaryproto"]) == 0
    assert found == [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines() if "mean_value" in line]


@pytest.mark.parametrize("argv, words", [
    ([], "got 0 arguments"), (["none"], "LMDB 'none' does not exist"),
    (["-backend", "x", "db"], "want lmdb or leveldb"), (["-backend", "leveldb", "db"], "pip install plyvel"),
    (["sizes"], "record '00000001_flat.png' of LMDB 'sizes'"), (["broken"], "record '1' of LMDB 'broken'"),
    (["db", "no/where/mean"], "Could not write file no/where/mean")])
def test_mean_says_what_is_wrong(folder, capsys, monkeypatch, argv, words):
    monkeypatch.setitem(sys.modules, "plyvel", None)
    convert()
    Image.fromarray(PIXELS[0][:5]).save("images/flat.png")
    Path("list.txt").write_text("1.png 0\nflat.png 0\n")
    convert(target="sizes")
    with DatabaseWriter("broken") as database:
        database.put(b"1", b"no datum")
    capsys.readouterr()
    assert compute_image_mean.main(argv) == 1
    assert words in error(capsys)


# -- LevelDB -----------------------------------------------------------------------------------------


def test_leveldb_is_written_and_read_as_lmdb_is(folder):
    pytest.importorskip("plyvel", reason="LevelDB needs the package plyvel")
    assert convert("-backend", "leveldb", target="level") == convert(target="db") == 0
    assert compute_image_mean.main(["-backend", "leveldb", "level", "level.mean"]) == 0
    assert compute_image_mean.main(["db", "db.mean"]) == 0
    assert Path("level.mean").read_bytes() == Path("db.mean").read_bytes()
    shutil.copytree("level", "theirs")  # a LevelDB belongs to one process at a time
    texts = [DATA.format(name, "true", 0, 0).replace("backend: LMDB", "").replace("size: 5", "size: 3")
             for name in ("level", "theirs")]  # LevelDB is what a net means that names no backend
    Path("ours.prototxt").write_text(texts[0])
    Path("theirs.prototxt").write_text(texts[1])
    theirs = run_bvlc(f"""
        import os
        os.chdir({str(folder)!r})
        net = caffe.Net("theirs.prototxt", caffe.TEST)
        for i in range(4):
            net.forward()
            out["d%d" % i], out["l%d" % i] = net.blobs["d"].data.copy(), net.blobs["l"].data.copy()
        """)
    for net in [caffe.Net("ours.prototxt", caffe.TEST) for _ in range(2)]:  # two nets share a database
        for i in range(4):
            net.forward()
            for blob in "dl":
                np.testing.assert_array_equal(net.blobs[blob].data, theirs[f"{blob}{i}"])


@pytest.mark.parametrize("harm, words", [
    (lambda folder: None, "no LevelDB in it"), (lambda folder: Path(folder, "CURRENT").write_text("x"), "LevelDB")])
def test_a_damaged_leveldb_is_named(folder, capsys, harm, words):
    pytest.importorskip("plyvel", reason="LevelDB needs the package plyvel")
    Path("level").mkdir()
    harm("level")
    assert compute_image_mean.main(["-backend", "leveldb", "level"]) == 1
    assert words in error(capsys)


# -- extract_features --------------------------------------------------------------------------------

FEATURES = """layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 2
  backend: LMDB } transform_param { scale: 0.01 } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { kernel_size: 7 stride: 7 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 4
  weight_filler { type: "xavier" } } }
layer { name: "quiet" type: "Silence" bottom: "label" }
"""


@pytest.fixture
def features(folder):
    convert()
    Path("net.prototxt").write_text(FEATURES)
    caffe.Net("net.prototxt", caffe.TEST).save("net.caffemodel")
    return folder


def test_features_are_the_blobs_item_by_item(features):
    assert extract_features.main(["net.caffemodel", "net.prototxt", "pool,ip", "f/pool,f/ip", "3", "lmdb"]) == 1
    Path("f").mkdir()
    assert extract_features.main(["net.caffemodel", "net.prototxt", "pool,ip", "f/pool,f/ip", "3", "lmdb",
                                  "CPU"]) == 0
    theirs = run_bvlc(f"""
        import os
        os.chdir({str(features)!r})
        net = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST)
        for name in ("pool", "ip"):
            out[name] = np.zeros((0,) + net.blobs[name].data.shape[1:], np.float32)
        for _ in range(3):
            net.forward()
            for name in out:
                out[name] = np.concatenate([out[name], net.blobs[name].data])
        """)
    for name, shape in (("pool", (3, 3, 5)), ("ip", (4, 1, 1))):
        found = records(f"f/{name}")
        assert [key for key, _ in found] == [f"{i:010d}" for i in range(6)]
        for (_, datum), want in zip(found, theirs[name], strict=True):
            assert (datum.channels, datum.height, datum.width) == shape and not datum.data
            np.testing.assert_allclose(np.array(datum.float_data), want.ravel(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("words, message", [
    (["net.caffemodel", "net.prototxt", "ip"], "got 3 arguments"),
    (["net.caffemodel", "net.prototxt", "ip", "a,b", "1", "lmdb"], "must be equal; got 1 and 2"),
    (["net.caffemodel", "net.prototxt", "ip,pool", "out,out", "1", "lmdb"], "one occurs twice"),
    (["net.caffemodel", "net.prototxt", "none", "out", "1", "lmdb"], "Unknown feature blob name none"),
    (["net.caffemodel", "net.prototxt", "ip", "out", "many", "lmdb"], "num_mini_batches 'many'"),
    (["net.caffemodel", "net.prototxt", "ip", "db", "1", "lmdb"], "mkdir db failed"),
    (["net.caffemodel", "net.prototxt", "ip", "out", "1", "leveldb"], "pip install plyvel"),
    (["net.caffemodel", "net.prototxt", "ip", "out", "1", "lmdb", "TPU"], "want CPU or GPU"),
    (["none.caffemodel", "net.prototxt", "ip", "out", "1", "lmdb"], "none.caffemodel")])
def test_features_say_what_is_wrong(features, capsys, monkeypatch, words, message):
    monkeypatch.setitem(sys.modules, "plyvel", None)
    capsys.readouterr()
    assert extract_features.main(words) == 1
    assert message in error(capsys)
    assert not Path("out").exists()

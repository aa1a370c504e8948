"""Layer type Data: LMDB records on their way into blobs, against genuine Caffe and literal numbers."""

from __future__ import annotations

import gc
import io
import threading
from pathlib import Path

import lmdb
import numpy as np
import pytest
from bvlc import run_bvlc
from PIL import Image

import caffe
from caffe.proto import caffe_pb2

RNG = np.random.RandomState(5)
PIXELS = RNG.randint(0, 256, (7, 3, 8, 9)).astype(np.uint8)
SMOOTH = np.clip(np.add.outer(np.arange(16) * 9, np.arange(24) * 5)[..., None] + [0, 30, 60], 0, 255).astype(np.uint8)


def write(folder, datums):
    with lmdb.open(str(folder), map_size=1 << 22) as env, env.begin(write=True) as txn:
        for i, datum in enumerate(datums):
            txn.put(b"%08d_x" % i, datum if isinstance(datum, bytes) else datum.SerializeToString())
    return str(folder)


def raw(array, label=0):
    return caffe.io.array_to_datum(array, label)


def encoded(image, kind="PNG", label=0, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return caffe_pb2.Datum(encoded=True, data=stream.getvalue(), label=label)


def text(source, batch_size=1, transform="", data="", more=""):
    return (f'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} data_param '
            f'{{ source: "{source}" batch_size: {batch_size} backend: LMDB {data} }} }}\n{more}')


def net(tmp_path, *args, phase=caffe.TEST, seed=7, **kwargs):
    path = tmp_path / "net.prototxt"
    path.write_text(text(*args, **kwargs))
    caffe.set_random_seed(seed)
    return caffe.Net(str(path), phase)


def run(n, passes):
    found = []
    for _ in range(passes):
        n.forward()
        found.append((n.blobs["data"].data.copy(), n.blobs["label"].data.copy()))
    return found


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    return write(tmp_path_factory.mktemp("db") / "seven", [raw(a, i) for i, a in enumerate(PIXELS)])


def test_batches_run_on_over_the_end(seven, tmp_path):
    n = net(tmp_path, seven, 3)
    assert n.blobs["data"].shape == (3, 3, 8, 9) and n.blobs["label"].shape == (3,)
    for i, (data, label) in enumerate(run(n, 5)):
        want = np.arange(3 * i, 3 * i + 3) % 7
        assert label.tolist() == want.tolist() and np.array_equal(data, PIXELS[want])


def test_one_top_gives_no_label(seven, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(text(seven, 2).replace('top: "label"', ""))
    n = caffe.Net(str(path), caffe.TEST)
    n.forward()
    assert list(n.blobs) == ["data"] and np.array_equal(n.blobs["data"].data, PIXELS[:2])


def test_mean_scale_and_middle_crop_are_literal(seven, tmp_path):
    n = net(tmp_path, seven, 1, "crop_size: 5 scale: 0.5 mean_value: 10 mean_value: 20 mean_value: 30.5")
    (data, _), = run(n, 1)
    want = (PIXELS[0, :, 1:6, 2:7].astype(np.float32) - np.float32([10, 20, 30.5])[:, None, None]) * np.float32(0.5)
    assert np.array_equal(data[0], want)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_solvers_share_the_records(seven, tmp_path, count, phase):
    caffe.set_solver_count(count)
    try:
        for rank in range(count):
            caffe.set_solver_rank(rank)
            labels = np.concatenate([label for _, label in run(net(tmp_path, seven, 2, phase=phase), 4)])
            want = np.arange(rank, 99, count) % 7 if phase == caffe.TRAIN else np.arange(99) % 7
            assert labels.tolist() == want[:8].tolist()
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)


def _mean_file(folder):
    mean = caffe_pb2.BlobProto(num=1, channels=3, height=8, width=9)
    mean.data.extend(PIXELS.mean(0).astype(np.float32).ravel())
    path = folder / "mean.binaryproto"
    path.write_bytes(mean.SerializeToString())
    return path


SETTINGS = ["", "mirror: true", "crop_size: 5", "crop_size: 5 mirror: true scale: 0.017 mean_value: 104.00699",
            "crop_size: 6 mirror: true mean_file: \"MEAN\"", "scale: 0.25 mean_file: \"MEAN\"",
            "mean_value: 104.00699 mean_value: 116.66877 mean_value: 122.67892 mirror: true"]


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_draws_and_values_are_genuine_caffes(seven, tmp_path, phase):
    drawn = 'layer { name: "u" type: "DummyData" top: "u" dummy_data_param { shape { dim: 4 } ' \
            'data_filler { type: "uniform" } } }'
    floats = write(tmp_path / "floats", [raw(a.astype(np.float32) / 7, -i) for i, a in enumerate(PIXELS)])
    texts = [text(source, 3, s.replace("MEAN", str(_mean_file(tmp_path))), more=drawn)
             for source in (seven, floats) for s in SETTINGS]
    theirs = run_bvlc("""
        for i, prototxt in enumerate(inp["texts"]):
            open("net.prototxt", "w").write(str(prototxt))
            caffe.set_random_seed(11)
            net = caffe.Net("net.prototxt", int(inp["phase"]))
            for j in range(4):
                net.forward()
                for name in net.blobs:
                    out["%d %d %s" % (i, j, name)] = net.blobs[name].data.copy()
        """, texts=np.array(texts), phase=np.array(phase))
    for i, prototxt in enumerate(texts):
        (tmp_path / "net.prototxt").write_text(prototxt)
        caffe.set_random_seed(11)
        n = caffe.Net(str(tmp_path / "net.prototxt"), phase)
        for j in range(4):
            n.forward()
            for name in ("data", "label", "u"):
                want = theirs[f"{i} {j} {name}"]
                assert np.array_equal(n.blobs[name].data, want), (prototxt, j, name)


def _pictures():
    """Images whose decoding leaves nothing to choose (JPEG without subsampled colours)."""
    rgb = Image.fromarray(SMOOTH)
    noisy = Image.fromarray(RNG.randint(0, 256, SMOOTH.shape).astype(np.uint8))
    palette = rgb.quantize(16)
    photo = Image.fromarray((SMOOTH // 2 + RNG.randint(30, 60, SMOOTH.shape)).astype(np.uint8))
    return [encoded(rgb), encoded(noisy), encoded(noisy.convert("L")), encoded(noisy.convert("1")), encoded(palette),
            encoded(palette, transparency=3), encoded(noisy.convert("RGBA")), encoded(noisy.convert("LA")),
            encoded(photo, "JPEG", subsampling=0), encoded(photo.convert("L"), "JPEG"), encoded(rgb, "BMP"),
            encoded(photo.convert("CMYK"), "JPEG", subsampling=0)]


@pytest.mark.parametrize("force", ["", "force_color: true", "force_gray: true"])
def test_encoded_images_are_decoded_as_by_genuine_caffe(tmp_path, force):
    datums = _pictures()
    source = write(tmp_path / "pictures", datums)
    prototxt = text(source, 1, force)
    theirs = run_bvlc("""
        open("net.prototxt", "w").write(str(inp["text"]))
        net = caffe.Net("net.prototxt", caffe.TEST)
        for i in range(int(inp["n"])):
            net.forward()
            out[str(i)] = net.blobs["data"].data.copy()
        """, text=np.array(prototxt), n=np.array(len(datums)))
    for i, (data, _) in enumerate(run(net(tmp_path, source, 1, force), len(datums))):
        assert data.shape == theirs[str(i)].shape and np.array_equal(data, theirs[str(i)]), i


def test_images_are_bgr_and_each_has_its_own_size(tmp_path):
    images = [SMOOTH, SMOOTH[:5], SMOOTH[:, :7]]
    source = write(tmp_path / "db", [encoded(Image.fromarray(a)) for a in images])
    for i, (data, _) in enumerate(run(net(tmp_path, source), 7)):
        assert np.array_equal(data[0], images[i % 3][..., ::-1].transpose(2, 0, 1))


def test_exif_does_not_turn_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    source = write(tmp_path / "db", [encoded(Image.fromarray(SMOOTH), "JPEG", exif=exif)])
    for force in ("", "force_color: true"):
        assert run(net(tmp_path, source, 1, force), 1)[0][0].shape == (1, 3, 16, 24)


def test_io_gives_the_arrays_of_datums():
    assert np.array_equal(caffe.io.datum_to_array(encoded(Image.fromarray(SMOOTH))),
                          SMOOTH[..., ::-1].transpose(2, 0, 1))
    assert np.array_equal(caffe.io.datum_to_array(raw(PIXELS[0])), PIXELS[0])
    assert np.allclose(caffe.io.datum_to_array(raw(PIXELS[0] / 7)), PIXELS[0] / 7, rtol=1e-7)


def test_two_layers_read_one_database(seven, tmp_path):
    one, two = net(tmp_path, seven, 2), net(tmp_path, seven, 3)
    assert run(one, 2)[1][1].tolist() == [2, 3] and run(two, 2)[1][1].tolist() == [3, 4, 5]
    assert run(one, 1)[0][1].tolist() == [4, 5]


def test_the_thread_ends_with_its_net(seven, tmp_path):
    before = set(threading.enumerate())
    n = net(tmp_path, seven, 2, data="prefetch: 2")
    run(n, 3)
    thread, = (t for t in threading.enumerate() if t not in before)
    del n
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(("datums", "transform", "batch", "words"), [
    ([raw(PIXELS[0])], "crop_size: 9", 1, "crop_size 9"),
    ([raw(PIXELS[0])], "mean_value: 1 mean_value: 2", 1, "as many as channels: 3; got 2"),
    ([raw(PIXELS[0]), raw(PIXELS[0, :, :4])], "", 2, "need batch_size 1 or a crop_size"),
    ([raw(PIXELS[0])], 'mean_value: 1 mean_file: "x"', 1, "Cannot specify mean_file and mean_value"),
    ([raw(PIXELS[0])], 'mean_file: "gone"', 1, "Could not open mean_file 'gone'"),
    ([raw(PIXELS[0, :, :4])], 'mean_file: "MEAN"', 1, "is of 3 x 8 x 9"),
    ([encoded(Image.fromarray(SMOOTH))], "force_color: true force_gray: true", 1, "cannot set both"),
    ([raw(PIXELS[0]), b"\xff\xff\xff"], "", 1, "record '00000001_x' of LMDB"),
    ([caffe_pb2.Datum(encoded=True, data=b"no image")], "", 1, "record '00000000_x' of LMDB"),
    ([encoded(Image.fromarray(np.full((4, 4), 300, np.uint16)))], "", 1, "must be unsigned byte"),
    ([], "", 1, "is empty"),
])
def test_bad_records_and_settings_are_named(tmp_path, datums, transform, batch, words):
    source = write(tmp_path / "db", datums)
    transform = transform.replace("MEAN", str(_mean_file(tmp_path)))
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"layer 'd' \(Data\): ") as found:
            run(net(tmp_path, source, batch, transform), 2)
        assert words in str(found.value)


def test_what_is_not_encoded_is_not_forced(tmp_path):
    source = write(tmp_path / "db", [raw(PIXELS[0])])
    (data, _), = run(net(tmp_path, source, 1, "force_color: true force_gray: true"), 1)
    assert np.array_equal(data[0], PIXELS[0])  # Caffe: the check stands where images are decoded


@pytest.mark.parametrize("datum", [
    caffe_pb2.Datum(channels=3, height=2, width=2, data=b"123"),
    caffe_pb2.Datum(channels=1, height=2, width=1, data=b"123"),
    caffe_pb2.Datum(channels=1, height=2, width=2, float_data=[1, 2, 3])])
def test_d44_a_datum_of_another_count_is_refused(tmp_path, datum):
    with pytest.raises(caffe.LayerError, match="record '00000000_x' of LMDB .*holds 3 values; write the record again"):
        net(tmp_path, write(tmp_path / "db", [datum]), 1)


def test_a_failure_is_raised_again(tmp_path):
    n = net(tmp_path, write(tmp_path / "db", [raw(PIXELS[0]), b"\xff\xff"]))
    n.forward()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="does not hold a Datum"):
            n.forward()


@pytest.mark.parametrize(("change", "words"), [
    (("backend: LMDB", ""), "LEVELDB"),
    (("batch_size: 1", ""), "data_param.batch_size must be positive"),
    (("backend: LMDB", "backend: LMDB prefetch: 0"), "data_param.prefetch must be positive"),
    (("SEVEN", "gone"), "'gone' does not exist"),
    (("SEVEN", "net.prototxt"), "'net.prototxt' is a file"),
    (("SEVEN", "."), "has no data.mdb"),
    (("SEVEN", "broken"), "is not an LMDB file"),
    (("SEVEN", "short"), "is cut off"),
    (("SEVEN", "empty"), "data.mdb is empty"),
    (('source: "SEVEN"', ""), "data_param.source is missing"),
])
def test_wrong_places_are_named(seven, tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    for name, content in (("broken", b"\0" * 9000), ("empty", b""),
                          ("short", Path(seven, "data.mdb").read_bytes()[:-4096])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.mdb").write_bytes(content)
    (tmp_path / "net.prototxt").write_text(text("SEVEN").replace(*change).replace("SEVEN", seven))
    with pytest.raises(RuntimeError, match=r"layer 'd' \(Data\): ") as found:
        caffe.Net("net.prototxt", caffe.TEST)
    assert words in str(found.value)


def test_a_database_that_the_script_holds_open_is_named(tmp_path):
    source = write(tmp_path / "db", [raw(PIXELS[0])])
    with lmdb.open(source), pytest.raises(RuntimeError, match="already open in this process.*close it there"):
        net(tmp_path, source)

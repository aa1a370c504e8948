"""The data layers for segmentation: order, preprocessing, read-ahead, and every fault of a file."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import read_ahead_layer
from bvlc import ROOT, run_bvlc
from data_nets import (
    MEAN,
    PY2_FIRST_OF_8498,
    expected_data,
    expected_label,
    layer_text,
    make_voc,
    passes,
    save_palette,
    voc_net,
    write_split,
)
from draw_order import coin_tosses, in_epochs, randint_py2, with_replacement
from image_files import read_image
from param_str import DataLayerError, DataLayerWarning
from PIL import Image

from tests.forked import in_child

PY2_FIRST = {8498: PY2_FIRST_OF_8498, 795: [491, 423, 290, 465, 131, 655],
             2486: [1535, 1325, 909, 1456, 411, 2049], 4998: [3087, 2665, 1828, 2927, 828, 4120]}


def py2_order(n: int, count: int) -> list[int]:
    rng = random.Random(1337)
    return [randint_py2(rng, n) for _ in range(count)]


# --- order

@pytest.mark.parametrize("n", sorted(PY2_FIRST))
def test_first_draws_are_those_of_python_2_golden(n):
    assert list(itertools.islice(with_replacement(n, 1337), 6)) == PY2_FIRST[n]


def test_epochs_are_permutations_that_differ():
    drawn = list(itertools.islice(in_epochs(7, 3), 21))
    epochs = [drawn[i:i + 7] for i in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_coin_tosses_are_seeded_and_fair():
    tosses = list(itertools.islice(coin_tosses(True, 5), 2000))
    assert tosses[:50] == list(itertools.islice(coin_tosses(True, 5), 50))
    assert 900 < sum(tosses) < 1100
    assert not any(itertools.islice(coin_tosses(False, 5), 50))


def test_training_passes_follow_the_released_order_and_preprocessing(tmp_path):
    ids = make_voc(tmp_path, 11)
    found = passes(voc_net(tmp_path), 20)
    for index, (data, label) in zip(py2_order(11, 20), found):
        np.testing.assert_array_equal(data, expected_data(tmp_path, ids[index]))  # bit for bit
        np.testing.assert_array_equal(label, expected_label(tmp_path, ids[index]))
        assert data.shape[0] == label.shape[0] == 1 and label.shape[1] == 1


def test_split_without_train_in_its_name_runs_in_file_order_and_wraps(tmp_path):
    ids = make_voc(tmp_path, 4, split="seg11valid")
    found = passes(voc_net(tmp_path, split="seg11valid"), 9)
    for i, (data, label) in enumerate(found):
        np.testing.assert_array_equal(data, expected_data(tmp_path, ids[i % 4]))
        np.testing.assert_array_equal(label, expected_label(tmp_path, ids[i % 4]))


def test_randomize_off_gives_file_order_in_training(tmp_path):
    ids = make_voc(tmp_path, 3)
    found = passes(voc_net(tmp_path, randomize=False), 4)
    for i, (data, _) in enumerate(found):
        np.testing.assert_array_equal(data, expected_data(tmp_path, ids[i % 3]))


def test_the_global_random_generator_is_left_alone(tmp_path):
    make_voc(tmp_path, 3)
    random.seed(4)
    want = random.random()
    random.seed(4)
    passes(voc_net(tmp_path, mirror=True), 3)
    assert random.random() == want


def test_reshape_without_forward_does_not_advance(tmp_path):
    ids = make_voc(tmp_path, 11)
    net = voc_net(tmp_path)
    for index in py2_order(11, 5):
        for _ in range(3):
            net.reshape()
        assert net.blobs["data"].data.shape == expected_data(tmp_path, ids[index]).shape
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, expected_data(tmp_path, ids[index]))


def test_mirror_flips_some_and_keeps_the_order(tmp_path):
    ids = make_voc(tmp_path, 11)
    tosses = list(itertools.islice(coin_tosses(True, 1337), 16))
    assert any(tosses) and not all(tosses)
    for index, flip, (data, label) in zip(py2_order(11, 16), tosses,
                                          passes(voc_net(tmp_path, mirror=True), 16)):
        step = -1 if flip else 1
        np.testing.assert_array_equal(data, expected_data(tmp_path, ids[index])[..., ::step])
        np.testing.assert_array_equal(label, expected_label(tmp_path, ids[index])[..., ::step])


@pytest.mark.parametrize("split", ["train", "val"])
def test_start_goes_on_where_an_earlier_run_was(tmp_path, split):
    make_voc(tmp_path, 11, split=split)
    whole = passes(voc_net(tmp_path, mirror=True, split=split), 13)
    rest = passes(voc_net(tmp_path, mirror=True, split=split, start=6), 7)
    for (data, label), (want_data, want_label) in zip(rest, whole[6:]):
        np.testing.assert_array_equal(data, want_data)
        np.testing.assert_array_equal(label, want_label)


def test_scale_multiplies_after_the_mean(tmp_path):
    ids = make_voc(tmp_path, 1)
    (data, _), = passes(voc_net(tmp_path, scale=0.25), 1)
    np.testing.assert_allclose(data, 0.25 * expected_data(tmp_path, ids[0]), rtol=1e-6)


# --- reading ahead

def test_read_ahead_equals_reading_when_due(tmp_path, monkeypatch):
    make_voc(tmp_path, 11)
    ahead = passes(voc_net(tmp_path, mirror=True), 15)
    monkeypatch.setattr(read_ahead_layer._ReadAhead, "ask", lambda self, key: None)
    for (data, label), (want_data, want_label) in zip(
            ahead, passes(voc_net(tmp_path, mirror=True), 15)):
        np.testing.assert_array_equal(data, want_data)
        np.testing.assert_array_equal(label, want_label)


def test_each_item_is_read_once_and_in_a_thread(tmp_path, monkeypatch):
    import threading

    import voc_layers
    read, load = [], voc_layers.VOCSegDataLayer.load

    def counted(self, key):
        read.append((key, threading.current_thread() is threading.main_thread()))
        return load(self, key)

    monkeypatch.setattr(voc_layers.VOCSegDataLayer, "load", counted)
    make_voc(tmp_path, 11)
    net = voc_net(tmp_path)
    passes(net, 5)
    net.reshape()  # waits for the sixth
    assert [draw.idx for (draw,), _ in read] == py2_order(11, 6)
    assert [main for _, main in read] == [True] + [False] * 5


def test_two_layers_do_not_disturb_each_other(tmp_path):
    ids = make_voc(tmp_path, 11)
    write_split(tmp_path, "val", ids)
    one, two = voc_net(tmp_path), voc_net(tmp_path, split="val")
    for i, index in enumerate(py2_order(11, 11)):
        (data, _), = passes(one, 1)
        (other, _), = passes(two, 1)
        np.testing.assert_array_equal(data, expected_data(tmp_path, ids[index]))
        np.testing.assert_array_equal(other, expected_data(tmp_path, ids[i]))


def test_fault_of_the_thread_is_raised_when_the_item_is_due_and_can_be_mended(tmp_path):
    ids = make_voc(tmp_path, 3, split="val")
    image = tmp_path / "JPEGImages" / f"{ids[1]}.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[:60])
    net = voc_net(tmp_path, split="val")
    passes(net, 1)  # starts to read the broken one
    for _ in range(2):
        with pytest.raises(DataLayerError, match=f"VOCSegDataLayer: image '.*{ids[1]}.jpg' cannot"):
            net.forward()
    image.write_bytes(whole)
    (data, _), = passes(net, 1)
    np.testing.assert_array_equal(data, expected_data(tmp_path, ids[1]))


def test_a_forked_child_reads_on_where_its_parent_stood(tmp_path):
    make_voc(tmp_path, 5)
    net = voc_net(tmp_path)
    passes(net, 2)
    child = in_child(lambda: passes(net, 4))
    for got, want in zip(child, passes(net, 4), strict=True):
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)"])
def test_interpreter_ends_while_an_item_is_being_read(end):
    program = textwrap.dedent("""
        import sys, time, types
        sys.modules["caffe"] = types.SimpleNamespace(Layer=object)
        sys.path.insert(0, sys.argv[1])
        from read_ahead_layer import Item, ReadAheadLayer
        import numpy as np

        class Slow(ReadAheadLayer):
            param_str = "{}"
            top_names = ()
            def open(self, params): self.n = 0
            def next_key(self): self.n += 1; return self.n
            def load(self, key): time.sleep(0.3 * (key > 1)); return Item(())

        layer = Slow()
        layer.setup([], []); layer.reshape([], []); layer.forward([], [])
    """) + end
    done = subprocess.run([sys.executable, "-c", program, str(ROOT / "layers")],
                          capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (3 if end else 0, "")


# --- images

def save_as(root, name, image, **options):
    image.save(root / "JPEGImages" / f"{name}.jpg", **options)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_images_of_every_mode_are_read_as_bgr(tmp_path, mode):
    ids = make_voc(tmp_path, 1, split="val")
    rgb = np.array(Image.open(tmp_path / "JPEGImages" / f"{ids[0]}.jpg"))
    grey = rgb[..., 0]
    if mode in ("L", "LA", "1", "I;16"):
        grey = np.where(grey > 127, 255, 0).astype(np.uint8) if mode == "1" else grey
        want = np.stack([grey] * 3)
        image = Image.fromarray(grey.astype(np.uint16) * 256 + 99) if mode == "I;16" else (
            Image.fromarray(grey).convert(mode))
    elif mode == "P":
        image = Image.fromarray(rgb).quantize(256)
        image.info["transparency"] = bytes([0] * 8)
        want = np.array(image.copy().convert("RGBA"))[..., 2::-1].transpose(2, 0, 1)
    elif mode == "RGBA":
        image = Image.fromarray(np.dstack([rgb, grey]))
        want = rgb[..., ::-1].transpose(2, 0, 1)
    else:
        image = Image.fromarray(rgb).convert("CMYK")  # K = 0: nothing is lost
        want = rgb[..., ::-1].transpose(2, 0, 1)
    save_as(tmp_path, ids[0], image, format="TIFF" if mode == "CMYK" else "PNG")
    (data, _), = passes(voc_net(tmp_path, split="val", mean=(0, 0, 0)), 1)
    np.testing.assert_array_equal(data[0], want)


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    flat.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    image, _ = read_image(str(tmp_path / "a.jpg"))
    np.testing.assert_allclose(np.array(image)[8, 8], (200, 100, 50), atol=4)  # JPEG's loss


def test_image_without_an_rgb_reading_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataLayerError, match="a.tif' has mode F; it wants 8-bit grey"):
        read_image(str(tmp_path / "a.tif"))


def test_exif_orientation_is_not_obeyed_but_warned_of_once(tmp_path):
    ids = make_voc(tmp_path, 1, split="val")
    image = Image.open(tmp_path / "JPEGImages" / f"{ids[0]}.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    save_as(tmp_path, ids[0], image, format="PNG", exif=exif)
    with pytest.warns(DataLayerWarning, match=f"{ids[0]}.jpg' has EXIF orientation 6") as caught:
        found = passes(voc_net(tmp_path, split="val"), 3)
    assert len(caught) == 1
    for data, _ in found:
        np.testing.assert_array_equal(data, expected_data(tmp_path, ids[0]))


@pytest.mark.parametrize("size", [(1, 1), (20, 3000)])
def test_extreme_sizes_are_valid(tmp_path, size):
    name, = make_voc(tmp_path, 1, size=size)
    save_palette(tmp_path / "SegmentationClass" / f"{name}.png", np.full(size, 3))
    (data, label), = passes(voc_net(tmp_path), 1)
    assert data.shape == (1, 3, *size) and label.shape == (1, 1, *size)


# --- genuine Caffe

def test_layers_run_on_genuine_caffe_oracle(tmp_path):
    ids = make_voc(tmp_path, 11)
    settings = dict(voc_dir=str(tmp_path), split="train", mean=MEAN, seed=1337, mirror=True, start=2)
    (tmp_path / "net.prototxt").write_text(layer_text("VOCSegDataLayer", repr(settings)))
    found = run_bvlc(f"""
        sys.path[:0] = [{str(ROOT / "layers")!r}]
        net = caffe.Net({str(tmp_path / "net.prototxt")!r}, caffe.TRAIN)
        for i in range(10):
            net.reshape()
            net.forward()
            for name in ("data", "label"):
                out[name + str(i)] = net.blobs[name].data.copy()
        broken = {str(tmp_path / "JPEGImages" / f"{ids[5]}.jpg")!r}
        open(broken, "wb").close()
        try:
            for _ in range(60):
                net.forward()
        except ValueError as error:
            out["error"] = str(error)
        """)
    assert f"{ids[5]}.jpg' cannot be read (0 bytes" in str(found["error"])
    tosses = list(itertools.islice(coin_tosses(True, 1337), 12))[2:]
    make_voc(tmp_path, 11)
    for i, (index, flip) in enumerate(zip(py2_order(11, 12)[2:], tosses)):
        step = -1 if flip else 1
        np.testing.assert_array_equal(found[f"data{i}"],
                                      expected_data(tmp_path, ids[index])[..., ::step])
        np.testing.assert_array_equal(found[f"label{i}"],
                                      expected_label(tmp_path, ids[index])[..., ::step])

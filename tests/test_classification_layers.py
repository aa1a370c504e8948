"""ClassificationDataLayer: batches in order, mirrored, scaled, cached; faults of lists and images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from bvlc import ROOT, run_bvlc
from data_nets import layer_text, net_of, passes
from draw_order import coin_tosses, in_epochs
from param_str import DataLayerError, DataLayerWarning
from PIL import Image


def make_images(root, n=7, size=(5, 6)):
    """Make n images whose pixels are known, with label 3 i mod 10; gives (n, 3, H, W) BGR."""
    (root / "images").mkdir()
    pixels = np.random.RandomState(2).randint(0, 256, (n, *size, 3)).astype(np.uint8)
    lines = []
    for i in range(n):
        Image.fromarray(pixels[i]).save(root / "images" / f"a {i}.png")  # a space in the name
        lines.append(f"images/a {i}.png {3 * i % 10}\n")
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text("".join(lines))
    return pixels[..., ::-1].transpose(0, 3, 1, 2)


def classification_net(root, split="train", **params):
    settings = dict(root=str(root), list=str(root / f"{split}.txt"), batch=3, mean=(10, 20, 30.5), seed=8)
    settings.update(params)
    return net_of(root, layer_text("ClassificationDataLayer", repr(settings), "classification_layers"))


def expected(bgr, indices, flips, scale=1.0):
    data = np.stack([bgr[i][..., ::-1 if flip else 1] for i, flip in zip(indices, flips)])
    mean = np.array((10, 20, 30.5), np.float32).reshape(3, 1, 1)
    return (data - mean) * np.float32(scale), np.array([3 * i % 10 for i in indices], np.float32)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("cache", [True, False])
def test_batches_run_over_the_end_of_the_list(tmp_path, split, cache):
    bgr = make_images(tmp_path)
    order = in_epochs(7, 8) if split == "train" else itertools.cycle(range(7))
    for data, label in passes(classification_net(tmp_path, split, cache=cache), 8):
        want_data, want_label = expected(bgr, list(itertools.islice(order, 3)), [False] * 3)
        np.testing.assert_array_equal(data, want_data)
        np.testing.assert_array_equal(label, want_label)
        assert label.shape == (3,)


def test_mirror_and_scale(tmp_path):
    bgr = make_images(tmp_path)
    order, tosses = in_epochs(7, 8), coin_tosses(True, 8)
    for data, label in passes(classification_net(tmp_path, mirror=True, scale=1 / 60, cache=True), 8):
        want_data, want_label = expected(bgr, list(itertools.islice(order, 3)),
                                         list(itertools.islice(tosses, 3)), 1 / 60)
        np.testing.assert_allclose(data, want_data, rtol=1e-6, atol=0)
        np.testing.assert_array_equal(label, want_label)


def test_mirrored_images_exist_and_leave_the_order(tmp_path):
    make_images(tmp_path)
    plain = passes(classification_net(tmp_path), 8)
    mirrored = passes(classification_net(tmp_path, mirror=True), 8)
    np.testing.assert_array_equal([label for _, label in plain], [label for _, label in mirrored])
    same = [(a[i] == b[i]).all() for (a, _), (b, _) in zip(plain, mirrored) for i in range(3)]
    assert 0 < sum(same) < len(same)


def test_start_counts_passes(tmp_path):
    make_images(tmp_path)
    whole = passes(classification_net(tmp_path, mirror=True), 9)
    rest = passes(classification_net(tmp_path, mirror=True, start=5), 4)
    for (data, label), (want_data, want_label) in zip(rest, whole[5:]):
        np.testing.assert_array_equal(data, want_data)
        np.testing.assert_array_equal(label, want_label)


def test_batch_may_be_larger_than_the_list(tmp_path):
    bgr = make_images(tmp_path, 2)
    (data, label), = passes(classification_net(tmp_path, "val", batch=5), 1)
    np.testing.assert_array_equal(data, expected(bgr, [0, 1, 0, 1, 0], [False] * 5)[0])
    np.testing.assert_array_equal(label, [0, 3, 0, 3, 0])


def test_cache_reads_each_file_once(tmp_path):
    make_images(tmp_path)
    net = classification_net(tmp_path, cache=True)
    passes(net, 4)  # all seven are read
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    passes(net, 4)


def test_sizes_in_a_batch_must_be_equal(tmp_path):
    make_images(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "images/a 1.png")
    with pytest.raises(DataLayerError, match="a 1.png' has 4 x 4 pixels, '.*a 0.png' 6 x 5; the images"):
        classification_net(tmp_path, "val")


@pytest.mark.parametrize("line", ["images/a 0.png", "images/a 0.png cat", "images/a 0.png -1", "3"])
def test_lines_of_the_list_are_checked(tmp_path, line):
    make_images(tmp_path)
    (tmp_path / "val.txt").write_text(f"images/a 1.png 4\n{line}\n")
    with pytest.raises(DataLayerError, match=f"val.txt' has the line '{line}'; it wants `name label`"):
        classification_net(tmp_path, "val")


@pytest.mark.parametrize("content, message", [
    (None, "is missing; there are .*; check root"), ("", "is empty; it wants one")])
def test_list_must_be_there(tmp_path, content, message):
    make_images(tmp_path)
    (tmp_path / "val.txt").unlink()
    if content is not None:
        (tmp_path / "val.txt").write_text(content)
    with pytest.raises(DataLayerError, match=f"the list of images '.*val.txt' {message}"):
        classification_net(tmp_path, "val")


def test_broken_image_is_named_when_its_batch_is_due(tmp_path):
    make_images(tmp_path)
    (tmp_path / "images/a 4.png").write_bytes(b"")
    net = classification_net(tmp_path, "val")
    passes(net, 1)
    with pytest.raises(DataLayerError, match="ClassificationDataLayer: image '.*a 4.png' cannot be read"):
        net.forward()


def test_exif_is_warned_of(tmp_path):
    make_images(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", (6, 5)).save(tmp_path / "images/a 2.png", exif=exif)
    with pytest.warns(DataLayerWarning, match="a 2.png' has EXIF orientation 3"):
        classification_net(tmp_path, "val")


def test_keys_are_checked(tmp_path):
    make_images(tmp_path)
    with pytest.raises(DataLayerError, match=r"unknown key 'batch_size'; it takes root \(required\), list"):
        classification_net(tmp_path, batch_size=3)
    with pytest.raises(DataLayerError, match="batch 0; it wants a whole number from 1 up"):
        classification_net(tmp_path, batch=0)


def test_layer_runs_on_genuine_caffe_oracle(tmp_path):
    bgr = make_images(tmp_path)
    classification_net(tmp_path, mirror=True)  # leaves net.prototxt
    found = run_bvlc(f"""
        sys.path[:0] = [{str(ROOT / "layers")!r}]
        net = caffe.Net({str(tmp_path / "net.prototxt")!r}, caffe.TRAIN)
        for i in range(6):
            net.forward()
            out["data" + str(i)] = net.blobs["data"].data.copy()
            out["label" + str(i)] = net.blobs["label"].data.copy()
        """)
    order, tosses = in_epochs(7, 8), coin_tosses(True, 8)
    for i in range(6):
        want_data, want_label = expected(bgr, list(itertools.islice(order, 3)),
                                         list(itertools.islice(tosses, 3)))
        np.testing.assert_array_equal(found[f"data{i}"], want_data)
        np.testing.assert_array_equal(found[f"label{i}"], want_label)

"""Options of the data layers: each off by default, each with draws of its own, alike for all tops of an item."""

from __future__ import annotations

import itertools
import random
import sys
import types

import augment
import draw_order
import miniatures
import numpy as np
import pytest
import voc_layers
from data_nets import MEAN, layer_text, make_voc, net_of, passes, save_palette, voc_net
from draw_order import randint_py2
from param_str import DataLayerError
from test_layers_sets import nyud_net, siftflow_net, tops

import caffe

OPTIONS = dict(mirror=True, jitter=4, crop=(5, 6), loss_sampling=0.5, batch=3)
RAMP = np.arange(12).reshape(1, 3, 4)


def py2_order(n, count, seed=1337):
    rng = random.Random(seed)
    return [randint_py2(rng, n) for _ in range(count)]


def assert_same(found, want):
    for one, other in zip(found, want, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


# --- each by itself, literal

@pytest.mark.parametrize("shift, want", [
    ((0, 1), [[9, 0, 1, 2], [9, 4, 5, 6], [9, 8, 9, 10]]), ((1, 0), [[9] * 4, [0, 1, 2, 3], [4, 5, 6, 7]]),
    ((-2, -3), [[11, 9, 9, 9], [9] * 4, [9] * 4]), ((7, 0), [[9] * 4] * 3), ((0, -4), [[9] * 4] * 3),
    ((0, 0), RAMP[0])])
def test_moved(shift, want):
    np.testing.assert_array_equal(augment.moved(RAMP, shift, 9)[0], want)


@pytest.mark.parametrize("size, window, want", [
    ((2, 2), (0, 0), [[0, 1], [4, 5]]),
    ((2, 2), (0.99, 0.99), [[6, 7], [10, 11]]), ((1, 4), (0.5, 0.3), [[4, 5, 6, 7]]),
    ((9, 1), (0.2, 0.8), [[3], [7], [11]]), ((9, 9), (0.9, 0.9), RAMP[0])])
def test_cropped(size, window, want):
    np.testing.assert_array_equal(augment.cropped(RAMP, size, window)[0], want)


def test_batched_pads_at_the_lower_right():
    found = augment.batched([np.ones((1, 2, 1)), np.full((1, 1, 3), 2.0)], 255)
    assert found.tolist() == [[[[1, 255, 255], [1, 255, 255]]], [[[2, 2, 2], [255, 255, 255]]]]


@pytest.mark.parametrize("which, want", [("foreground", [5, 0, 0, 5]), ("background", [0, 5, 5, 5]),
                                         ("both", [0, 0, 0, 5])])
def test_masked_hides_by_the_label_and_leaves_void(which, want):
    found = augment.masked(np.full((3, 1, 4), 5, np.float32), np.array([[[0, 1, 20, 255]]], np.uint8), which)
    assert found.dtype == np.float32 and found.tolist() == [[want]] * 3


def test_sampled_keeps_a_share_of_the_labels():
    label = np.full((1, 100, 100), 3, np.uint8)
    found = augment.sampled(label, 0.25, 7)
    assert set(np.unique(found)) == {3, 255} and 0.23 < (found == 3).mean() < 0.27
    np.testing.assert_array_equal(found, augment.sampled(label, 0.25, 7))
    assert (found != augment.sampled(label, 0.25, 8)).any()


def test_draws_of_options_are_seeded_even_and_their_own():
    moves = list(itertools.islice(draw_order.shifts(2, 5), 5000))
    assert moves[:20] == list(itertools.islice(draw_order.shifts(2, 5), 20))
    for axis in (0, 1):
        counts = np.bincount([move[axis] + 2 for move in moves])
        assert len(counts) == 5 and counts.min() > 880 and counts.max() < 1120
    assert list(itertools.islice(draw_order.shifts(0, 5), 2)) == [(0, 0)] * 2
    assert list(itertools.islice(draw_order.windows(False, 5), 1)) == [(0.0, 0.0)]
    assert len(set(itertools.islice(draw_order.noises(True, 5), 50))) == 50


# --- in the layer

def test_options_leave_the_order_of_images_alone(tmp_path):
    make_voc(tmp_path, 11)
    net = voc_net(tmp_path, **dict(OPTIONS, batch=1))
    seen = []
    for _ in range(20):
        seen.append(net.layers[0].idx)
        net.forward()
    assert seen == py2_order(11, 20)


@pytest.mark.parametrize("option", [*OPTIONS, "all"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_start_skips_exactly_what_an_earlier_run_drew(tmp_path, split, option):
    make_voc(tmp_path, 11, split=split)
    given = OPTIONS if option == "all" else {option: OPTIONS[option]}
    whole = passes(voc_net(tmp_path, split=split, **given), 9)
    assert_same(passes(voc_net(tmp_path, split=split, start=5, **given), 4), whole[5:])


def test_jitter_moves_image_and_label_alike(tmp_path):
    make_voc(tmp_path, 1)
    whole, = passes(voc_net(tmp_path), 1)
    moves = list(itertools.islice(draw_order.shifts(3, 1337), 8))
    assert len(set(moves)) > 4
    for (data, label), move in zip(passes(voc_net(tmp_path, jitter=3), 8), moves):
        np.testing.assert_array_equal(data[0], augment.moved(whole[0][0], move, 0))
        np.testing.assert_array_equal(label[0], augment.moved(whole[1][0], move, 255))


def test_crop_cuts_image_and_label_alike_in_training_only(tmp_path):
    make_voc(tmp_path, 1)
    (data, label), = passes(voc_net(tmp_path), 1)
    places = set()
    for cut, cut_label in passes(voc_net(tmp_path, crop=(4, 50)), 24):
        assert cut.shape == (1, 3, 4, 9) and cut_label.shape == (1, 1, 4, 9)
        top, = (y for y in range(3) if (data[..., y:y + 4, :] == cut).all())
        np.testing.assert_array_equal(cut_label, label[..., top:top + 4, :])
        places.add(top)
    assert places == {0, 1, 2}
    make_voc(tmp_path, 1, split="val")
    assert passes(voc_net(tmp_path, crop=(4, 5), split="val"), 1)[0][0].shape == data.shape


def test_batch_holds_the_next_images_padded(tmp_path):
    make_voc(tmp_path, 11)
    single = passes(voc_net(tmp_path), 12)
    for i, (data, label) in enumerate(passes(voc_net(tmp_path, batch=4), 3)):
        group = single[4 * i:4 * i + 4]
        assert data.shape == (4, 3, *(max(one.shape[axis] for one, _ in group) for axis in (2, 3)))
        for k, (one, one_label) in enumerate(group):
            h, w = one.shape[2:]
            np.testing.assert_array_equal(data[k, :, :h, :w], one[0])
            np.testing.assert_array_equal(label[k, :, :h, :w], one_label[0])
            assert not data[k, :, h:].any() and not data[k, :, :, w:].any()
            assert (label[k, :, h:] == 255).all() and (label[k, :, :, w:] == 255).all()


def test_loss_of_a_padded_batch_is_that_of_its_images(tmp_path):
    make_voc(tmp_path, 11)
    loss = ('layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" '
            "loss_param {{ ignore_label: 255 normalization: {0} }} }}")
    score = ('layer { name: "score" type: "Convolution" bottom: "data" top: "score" convolution_param '
             '{ num_output: 21 kernel_size: 1 weight_filler { type: "gaussian" std: 0.01 } } }')
    losses = {}
    for batch in (1, 3):
        settings = dict(voc_dir=str(tmp_path), split="train", mean=MEAN, seed=1337, batch=batch)
        caffe.set_random_seed(2)
        net = net_of(tmp_path, layer_text("VOCSegDataLayer", repr(settings)) + score + loss.format("NONE"))
        losses[batch] = [float(net.forward()["loss"]) for _ in range(3 // batch)]
    np.testing.assert_allclose(losses[3][0], sum(losses[1]), rtol=1e-5)


@pytest.mark.parametrize("which", augment.MASKS)
def test_mask_shows_the_mean_where_it_hides(tmp_path, which):
    make_voc(tmp_path, 1)
    (data, label), = passes(voc_net(tmp_path), 1)
    (found, found_label), = passes(voc_net(tmp_path, mask=which), 1)
    hidden = {"foreground": (label != 0) & (label != 255), "background": label == 0, "both": label != 255}[which]
    np.testing.assert_array_equal(found, np.where(hidden, 0, data))
    np.testing.assert_array_equal(found_label, label)


def test_loss_sampling_ignores_labels_and_leaves_images(tmp_path):
    name, = make_voc(tmp_path, 1, size=(40, 50))
    save_palette(tmp_path / f"SegmentationClass/{name}.png", np.full((40, 50), 7))
    plain, = passes(voc_net(tmp_path), 1)
    one, two = passes(voc_net(tmp_path, loss_sampling=0.5), 2)
    np.testing.assert_array_equal(one[0], plain[0])
    assert 0.45 < (one[1] == 7).mean() < 0.55 and set(np.unique(one[1])) == {7, 255}
    assert (one[1] != two[1]).any()


def test_two_heads_are_drawn_for_alike(tmp_path):
    folder = miniatures.siftflow(tmp_path)
    for path in (folder / "GeoLabels" / miniatures.SCENES).iterdir():  # the same in both, where it is 1 ... 3
        semantic = folder / "SemanticLabels" / miniatures.SCENES / path.name
        values = np.random.RandomState(1).randint(1, 4, miniatures.SIFTFLOW_SIZE)
        for one in (path, semantic):
            miniatures.save_mat(one, S=values.astype(np.int16))
    net = siftflow_net(tmp_path, split="trainval", mirror=True, jitter=9, crop=(21, 22), loss_sampling=0.6, batch=2)
    for _ in range(4):
        found = tops(net)
        np.testing.assert_array_equal(found["sem"], found["geo"])
        assert found["data"].shape == (2, 3, 21, 22) and (found["sem"] == 255).any()


def test_all_inputs_are_drawn_for_alike(tmp_path):
    folder = miniatures.nyud(tmp_path)
    rng = np.random.RandomState(3)
    for path in (folder / "data/hha").iterdir():  # HHA, the red channel's copy, tells where a pixel came from
        grey = rng.randint(1, 255, miniatures.NYUD_SIZE).astype(np.uint8)
        miniatures.save_png(path, np.stack([grey] * 3, -1))
        miniatures.save_png(folder / "data/images" / path.name, np.stack([grey] * 3, -1))
        miniatures.save_png(folder / "data/depth" / path.name, grey.astype(np.uint16))
    net = nyud_net(tmp_path, ("color", "depth", "hha"), split="trainval", mirror=True, jitter=9, crop=(21, 22))
    for _ in range(6):
        found = tops(net)
        inside = found["color"][0, 0] != 0
        grey = np.rint(found["color"][0, 0] + 116.190)
        np.testing.assert_array_equal(np.rint(found["hha"][0, 0] + 132.431)[inside], grey[inside])
        np.testing.assert_array_equal(np.rint(np.exp(found["depth"][0, 0] + 7.844))[inside], grey[inside])


def test_cache_reads_each_file_once(tmp_path, monkeypatch):
    make_voc(tmp_path, 3)
    read, count = voc_layers.VOCSegDataLayer.read, []

    def counted(self, top, name, size=None):
        count.append((top, name))
        return read(self, top, name, size)

    monkeypatch.setattr(voc_layers.VOCSegDataLayer, "read", counted)
    found = passes(voc_net(tmp_path, mirror=True, jitter=2, cache=True), 12)
    assert len(count) == len(set(count)) == 6
    assert_same(found, passes(voc_net(tmp_path, mirror=True, jitter=2), 12))


def keys_of_ranks(root, count, passes, phase=caffe.TRAIN, **options):
    """Indices of the images of each pass, a list a rank."""
    seen = []
    try:
        caffe.set_solver_count(count)
        for rank in range(count):
            caffe.set_solver_rank(rank)
            path = root / "net.prototxt"
            voc_net(root, **options)  # writes it
            layer = caffe.Net(str(path), phase).layers[0]
            keys = [layer._key, *(layer.next_key() for _ in range(passes - 1))]
            seen.append([[draw.idx for draw in key] for key in keys])
    finally:
        caffe.set_solver_rank(0)
        caffe.set_solver_count(1)
    return seen


def test_images_are_dealt_out_to_the_processes_in_turn(tmp_path):
    make_voc(tmp_path, 11)
    one, two, three = keys_of_ranks(tmp_path, 3, 5)
    assert [idx for keys in zip(one, two, three) for (idx,) in keys] == py2_order(11, 15)
    one, two = keys_of_ranks(tmp_path, 2, 4, batch=2, start=3)  # three passes of two processes are over
    assert [idx for keys in zip(one, two) for key in keys for idx in key] == py2_order(11, 28)[12:]
    for keys in keys_of_ranks(tmp_path, 2, 4, phase=caffe.TEST):  # each by itself
        assert keys == [[idx] for idx in py2_order(11, 4)]


def test_a_shard_is_every_so_manieth_id(tmp_path):
    make_voc(tmp_path, 5)
    names = voc_net(tmp_path).layers[0].indices
    assert voc_net(tmp_path, shard=(1, 2)).layers[0].indices == names[1::2]
    with pytest.raises(DataLayerError, match="has 5 ids and is to be shared out to 6 processes"):
        voc_net(tmp_path, shard=(0, 6))


def test_a_caffe_without_ranks_counts_as_the_first(tmp_path, monkeypatch):
    import read_ahead_layer
    make_voc(tmp_path, 11)
    monkeypatch.setattr(read_ahead_layer, "caffe", types.SimpleNamespace(Layer=caffe.Layer, TRAIN=caffe.TRAIN))
    assert voc_net(tmp_path).layers[0].idx == py2_order(11, 1)[0]
    assert "caffe" in sys.modules


@pytest.mark.parametrize("option, value, want", [
    ("jitter", -1, "a whole number of pixels"), ("jitter", 1.5, "a whole number"),
    ("loss_sampling", 0, "a number above 0"),
    ("loss_sampling", 1.5, "a number above 0, at most 1"),
    ("mask", "fg", "one of None, 'foreground', 'background', 'both'"),
    ("batch", 0, "a whole number from 1 up"), ("crop", (0, 5), r"\(height, width\)"), ("crop", 5, r"\(height, width\)"),
    ("shard", (2, 2), r"\(number, of how many\)"), ("cache", 1, "True or False")])
def test_values_of_options_are_checked(tmp_path, option, value, want):
    make_voc(tmp_path, 1)
    with pytest.raises(DataLayerError, match=f"layer .data. .VOCSegDataLayer.: .* has {option} .*it wants {want}"):
        voc_net(tmp_path, **{option: value})


def test_sets_without_background_take_no_mask(tmp_path):
    miniatures.siftflow(tmp_path)
    with pytest.raises(DataLayerError, match="unknown key 'mask'"):
        siftflow_net(tmp_path, mask="foreground")

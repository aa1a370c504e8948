"""Blobs that stand with channels last while nobody looks: same numbers, and views stay live once taken."""

from __future__ import annotations

import numpy as np
import pytest

import caffe

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 1 dim: 3 dim: 13 dim: 10 } shape { dim: 1 dim: 1 dim: 13 dim: 10 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "c2" type: "Convolution" bottom: "p1" top: "c2"
  convolution_param { num_output: 12 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "d2" type: "Dropout" bottom: "c2" top: "c2" }
layer { name: "cat" type: "Concat" bottom: "c2" bottom: "p1" top: "cat" }
layer { name: "score" type: "Convolution" bottom: "cat" top: "score"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "up" type: "Deconvolution" bottom: "score" top: "up"
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 weight_filler { type: "msra" } } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "crop" crop_param { axis: 2 offset: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "crop" bottom: "label" top: "loss" }
"""
INNER = ("c1", "p1", "c2", "cat", "score")


def build(tmp_path, look: bool):
    """Build the seeded net; `look` takes views of all blobs first, which keeps them in Caffe's order."""
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_random_seed(7)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    if look:
        for blob in net.blobs.values():
            assert blob.data is not None and blob.diff is not None
    return net


def run(net, seed):
    rng = np.random.default_rng(seed)
    net.blobs["data"].data[...] = rng.normal(size=net.blobs["data"].shape)
    net.blobs["label"].data[...] = rng.integers(0, 4, net.blobs["label"].shape)
    caffe.set_random_seed(seed)
    net.clear_param_diffs()
    net.forward()
    net.backward()


def stands_with_channels_last(blob) -> bool:
    return not blob.read_data().is_contiguous()


def test_inner_blobs_stand_with_channels_last_until_looked_at(tmp_path):
    net = build(tmp_path, look=False)
    run(net, 1)
    assert all(stands_with_channels_last(net.blobs[name]) for name in INNER)
    assert not any(stands_with_channels_last(net.blobs[name]) for name in ("data", "up", "crop"))
    before = net.blobs["c1"].read_data().clone()
    view = net.blobs["c1"].data
    assert view.flags.c_contiguous and view.flags.writeable
    np.testing.assert_array_equal(view, before.numpy())
    run(net, 2)
    assert not stands_with_channels_last(net.blobs["c1"])
    np.testing.assert_array_equal(view, net.blobs["c1"].data)
    assert np.abs(view - before.numpy()).max() > 0.1, "the view taken before shows the new values"


def test_numbers_do_not_depend_on_the_layout(tmp_path):
    hidden, seen = build(tmp_path, look=False), build(tmp_path, look=True)
    for seed in (3, 4):
        run(hidden, seed)
        run(seen, seed)
    assert stands_with_channels_last(hidden.blobs["c2"]) and not stands_with_channels_last(seen.blobs["c2"])
    for name in hidden.blobs:
        np.testing.assert_allclose(hidden.blobs[name].data, seen.blobs[name].data, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(hidden.blobs[name].diff, seen.blobs[name].diff, rtol=1e-5, atol=1e-5, err_msg=name)
    for name, blobs in hidden.params.items():
        for mine, other in zip(blobs, seen.params[name], strict=True):
            np.testing.assert_allclose(mine.diff, other.diff, rtol=1e-4, atol=1e-5, err_msg=name)


def test_edits_between_passes_count(tmp_path):
    net = build(tmp_path, look=False)
    run(net, 5)
    net.blobs["p1"].data[...] = 0
    net.blobs["c2"].diff[...] = 1
    net.clear_param_diffs()
    net.backward(start="c2", end="c2")
    assert not net.params["c2"][0].diff.any(), "the weight gradient reads the zeros written into p1"
    np.testing.assert_allclose(net.params["c2"][1].diff, net.blobs["c2"].diff.sum((0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("size", [(1, 3, 8, 8), (1, 3, 20, 7), (1, 3, 13, 10)])
def test_sizes_change_on_the_fly(tmp_path, size):
    hidden, seen = build(tmp_path, look=False), build(tmp_path, look=True)
    for net in (hidden, seen):
        run(net, 6)
        net.blobs["data"].reshape(*size)
        net.blobs["label"].reshape(1, 1, *size[2:])
        run(net, 6)
    np.testing.assert_allclose(hidden.blobs["crop"].data, seen.blobs["crop"].data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("other", [
    'type: "InnerProduct" bottom: "c1" inner_product_param { num_output: 3 weight_filler { type: "msra" } }',
    'type: "Scale" bottom: "c1" scale_param { axis: 0 num_axes: 2 filler { type: "uniform" } }',
    'type: "Pooling" bottom: "c1" pooling_param { pool: AVE kernel_size: 2 }',
    'type: "Flatten" bottom: "c1"'])
def test_a_split_may_feed_layers_that_want_caffes_order(tmp_path, other):
    text = NET.split('layer { name: "p1"')[0].replace('top: "data" top: "label"', 'top: "data"')
    text = text.replace(" shape { dim: 1 dim: 1 dim: 13 dim: 10 }", "") + f'''
layer {{ name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param {{ num_output: 8 kernel_size: 1 }} }}
layer {{ name: "other" {other} top: "other" }}'''
    (tmp_path / "net.prototxt").write_text("force_backward: true\n" + text)
    results = []
    for look in (False, True):
        caffe.set_random_seed(3)
        net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
        if look:
            assert all(blob.data is not None and blob.diff is not None for blob in net.blobs.values())
        for seed in (1, 2):
            net.blobs["data"].data[...] = np.random.default_rng(seed).normal(size=net.blobs["data"].shape)
            net.forward()
            net.blobs["other"].diff[...] = 1
            net.backward()
        results.append([net.blobs["other"].data, net.blobs["data"].diff, *(b.diff for b in net.params["c1"])])
    for hidden, seen in zip(*results, strict=True):
        np.testing.assert_allclose(hidden, seen, rtol=1e-4, atol=1e-5)


def test_tensors_are_the_memory_of_the_views_and_keep_caffes_order(tmp_path):
    net = build(tmp_path, look=False)
    run(net, 1)
    blob = net.blobs["c1"]
    assert stands_with_channels_last(blob)
    for seed, tensor, take in ((2, blob.tensor, lambda: blob.data), (3, blob.grad_tensor, lambda: blob.diff)):
        before = tensor.clone()
        assert tensor.is_contiguous() and np.array_equal(take(), before.numpy())
        run(net, seed)
        assert not np.array_equal(take(), before.numpy())
        tensor[0, 0, 0, 0] = 5
        assert take()[0, 0, 0, 0] == 5

"""Layers with weights or windows on numbers a reader can check by hand; kernels against each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe._caffe import common
from tests.caffe.gradient_checker import backward, forward, make_layer

NAN, INF = float("nan"), float("inf")
LOWEST = np.finfo(np.float32).min


def pool(text, plane, tops=1):
    top = "".join(f'top: "t{i}"' for i in range(tops))
    layer, bottom, top = make_layer(f'name: "p" type: "Pooling" {top} pooling_param {{ {text} }}',
                                    [np.array(plane, np.float32)[None, None]])
    return layer, bottom, top, forward(layer, bottom, top)


def test_nan_never_wins_a_maximum():
    *_, (y,) = pool("kernel_size: 2 stride: 2", [[NAN, 1, NAN, NAN], [2, NAN, NAN, NAN]])
    assert y.ravel().tolist() == [2, LOWEST]


def test_infinity_in_a_maximum():
    *_, (y, places) = pool("kernel_size: 2 stride: 2", [[-INF, -INF, INF, 1], [-INF, -INF, 2, 3]], tops=2)
    assert y.ravel().tolist() == [LOWEST, INF]
    assert places.ravel().tolist() == [-1, 2]


def test_first_of_equal_maxima_gets_the_gradient():
    layer, bottom, top, _ = pool("kernel_size: 2 stride: 2", [[5, 5], [5, 5]])
    diffs, _ = backward(layer, top, [True], bottom, [3])
    assert diffs[0].ravel().tolist() == [3, 0, 0, 0]


def test_maximum_of_many_channels_agrees_with_one_channel_at_a_time():
    x = np.random.RandomState(0).randint(0, 4, (2, 9, 7, 5)).astype(np.float32)  # many ties
    text = 'name: "p" type: "Pooling" top: "a" top: "b" pooling_param { kernel_size: 3 stride: 2 pad: 1 }'
    wide = forward(*make_layer(text, [x]))
    for c in range(9):
        narrow = forward(*make_layer(text, [x[:, c:c + 1]]))
        for whole, one in zip(wide, narrow, strict=True):
            np.testing.assert_array_equal(whole[:, c:c + 1], one)


def test_window_wholly_outside():
    plane = np.arange(16).reshape(4, 4)
    *_, (y,) = pool("kernel_size: 1 stride: 2", plane)
    assert y[0, 0].tolist() == [[0, 2, LOWEST], [8, 10, LOWEST], [LOWEST] * 3]
    *_, (y,) = pool("pool: AVE kernel_size: 1 stride: 2", plane)
    np.testing.assert_array_equal(y[0, 0], [[0, 2, NAN], [8, 10, NAN], [NAN] * 3])


def test_second_top_is_read_at_backward_time():
    layer, bottom, top, (_, places) = pool("kernel_size: 2 stride: 2", [[1, 2], [4, 3]], tops=2)
    assert places.ravel().tolist() == [2]
    top[1].data[...] = 1
    diffs, _ = backward(layer, top, [True], bottom, [5])
    assert diffs[0].ravel().tolist() == [0, 5, 0, 0]


def test_pooling_follows_a_new_shape():
    layer, bottom, top = make_layer('name: "p" type: "Pooling" pooling_param { global_pooling: true }',
                                    [np.zeros((1, 1, 2, 2))])
    bottom[0].reshape(1, 1, 3, 1)
    bottom[0].data[...] = np.array([1, 7, 3]).reshape(1, 1, 3, 1)
    assert forward(layer, bottom, top)[0].ravel().tolist() == [7]


@pytest.mark.parametrize(("channels", "outputs"), [(3, 8), (8, 8), (3, 16), (8, 3), (16, 16)])
def test_kernels_for_few_channels_agree_with_the_plain_one(channels, outputs):
    r = np.random.RandomState(1)
    x = r.normal(size=(2, channels, 130, 130)).astype(np.float32)
    layer, bottom, top = make_layer(f'name: "c" type: "Convolution" convolution_param {{ num_output: {outputs} '
                                    'kernel_size: 3 pad: 1 weight_filler { type: "xavier" } }', [x])
    layer.blobs[1].data[...] = r.normal(size=outputs)
    (y,) = forward(layer, bottom, top)
    dy = r.normal(size=y.shape).astype(np.float32)
    (dx,), (dw, db) = backward(layer, top, [True], bottom, [dy])
    args = [torch.tensor(v, dtype=torch.float64, requires_grad=True)
            for v in (x, layer.blobs[0].data, layer.blobs[1].data)]
    want = torch.conv2d(*args, padding=1)
    want.backward(torch.tensor(dy, dtype=torch.float64))
    for got, exact in zip((y, dx, dw, db), (want.detach(), *(a.grad for a in args)), strict=True):
        assert np.abs(got - exact.numpy()).max() <= 2e-5 * np.abs(exact.numpy()).max()


def upsampling(edit=None, x=None):
    layer, bottom, top = make_layer('name: "u" type: "Deconvolution" param { lr_mult: 0 } convolution_param '
                                    '{ num_output: 2 kernel_size: 4 stride: 2 bias_term: false }',
                                    [np.arange(1, 9).reshape(1, 2, 2, 2) if x is None else x])
    weight = layer.blobs[0].data
    for c in (0, 1):
        weight[c, c] = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])
    forward(layer, bottom, top)
    if edit:
        edit(weight)
    return layer, bottom, top, forward(layer, bottom, top)[0]


def test_upsampling_by_hand():
    *_, y = upsampling()
    assert y.shape == (1, 2, 6, 6)
    # row 2: 0.75 of row [1, 2] and 0.25 of row [3, 4] is [1.5, 2.5], then the same along the columns
    assert y[0, 0, 2].tolist() == pytest.approx([0.375, 1.125, 1.75, 2.25, 1.875, 0.625])


def test_upsampling_sees_an_edit_between_channels():
    def mix(weight):
        weight[0, 1, 0, 0] = 1

    *_, plain = upsampling()
    *_, mixed = upsampling(mix)
    change = (mixed - plain)[0]
    assert np.abs(change[0]).max() == 0
    np.testing.assert_allclose(change[1, :4:2, :4:2], [[1, 2], [3, 4]], atol=1e-6)


def test_upsampling_spreads_nan_over_channels_as_the_full_product_does():
    x = np.ones((1, 2, 2, 2), np.float32)
    x[0, 0, 0, 0] = NAN
    *_, y = upsampling(x=x)
    assert np.isnan(y[0, :, :4, :4]).all()
    assert np.isfinite(y[0, :, 4:]).all()


def test_softmax_loss_shows_probabilities_and_ignores_all():
    text = 'name: "l" type: "SoftmaxWithLoss" top: "loss" top: "prob" loss_param { ignore_label: 255 }'
    layer, bottom, top = make_layer(text, [np.zeros((1, 4, 2, 1)), np.full((1, 1, 2, 1), 255)])
    loss, prob = forward(layer, bottom, top)
    assert loss.shape == ()
    assert str(loss) == "0.0", "not -0, which log lines would show"
    assert (prob == 0.25).all()
    diffs, _ = backward(layer, top, [True, False], bottom)
    assert not diffs[0].any()


def test_softmax_loss_reads_labels_and_its_weight_at_backward_time():
    layer, bottom, top = make_layer('name: "l" type: "SoftmaxWithLoss"', [np.zeros((1, 2)), np.zeros(1)])
    assert forward(layer, bottom, top)[0] == pytest.approx(np.log(2))
    bottom[1].data[...] = 1.9  # cut to 1
    top[0].diff[...] = 4
    diffs, _ = backward(layer, top, [True, False], bottom)
    assert diffs[0].ravel().tolist() == [2, -2]


def test_softmax_loss_of_an_impossible_label_is_finite():
    layer, bottom, top = make_layer('name: "l" type: "SoftmaxWithLoss"', [np.array([[0, 1000]]), np.zeros(1)])
    assert forward(layer, bottom, top)[0] == pytest.approx(-np.log(np.finfo(np.float32).tiny))


def test_eltwise_maximum_ties():
    bottoms = [np.array([v], np.float32) for v in (1, 1, 1)]
    layer, bottom, top = make_layer('name: "e" type: "Eltwise" eltwise_param { operation: MAX }', bottoms)
    forward(layer, bottom, top)
    diffs, _ = backward(layer, top, [True] * 3, bottom, [5])
    assert [d[0] for d in diffs] == [0, 5, 0]


@pytest.mark.parametrize(("param", "want", "diffs"), [
    ("coeff: 2 coeff: 3", [32, 46], [[10, 14], [15, 21]]),
    ("operation: MAX", [10, 20], [[0, 7], [5, 0]]),
    ("operation: PROD", [10, 40], [[50, 14], [50, 280]]),  # the second sees the first as overwritten, as in Caffe
])
def test_d19_eltwise_in_place_reads_before_it_writes(param, want, diffs):
    layer, bottom, top = make_layer('name: "e" type: "Eltwise" bottom: "a" bottom: "b" top: "a" '
                                    f"eltwise_param {{ {param} }}", [np.array([1, 20]), np.array([10, 2])])
    assert forward(layer, bottom, top)[0].tolist() == want
    found, _ = backward(layer, top, [True, True], bottom, [[5, 7]])
    assert [diff.tolist() for diff in found] == diffs


def test_d47_batch_norm_of_one_axis_is_of_one_channel():
    layer, bottom, top = make_layer('name: "n" type: "BatchNorm" batch_norm_param { eps: 0 }', [np.array([1, 3, 5, 7])])
    np.testing.assert_allclose(forward(layer, bottom, top)[0], np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_d45_lrn_in_place_is_lrn(region):
    values, tops = np.random.RandomState(2).rand(2, 5, 4, 3), []
    for top in ("a", "b"):
        layer, bottom, above = make_layer(f'name: "n" type: "LRN" bottom: "a" top: "{top}" lrn_param {{ local_size: 3 '
                                          f"alpha: 2 norm_region: {region} }}", [values])
        tops.append(forward(layer, bottom, above)[0])
    np.testing.assert_array_equal(*tops)
    if region == "ACROSS_CHANNELS":  # 1 + 2 / 3 (x0^2 + x1^2), to the power of -0.75
        scale = 1 + 2 / 3 * (values[0, 0, 0, 0] ** 2 + values[0, 1, 0, 0] ** 2)
        np.testing.assert_allclose(tops[0][0, 0, 0, 0], values[0, 0, 0, 0] * scale ** -0.75, rtol=1e-5)


def test_dropout_in_test_phase_is_the_identity():
    layer, bottom, top = make_layer('name: "d" type: "Dropout"', [np.arange(4)], phase=common.TEST)
    assert forward(layer, bottom, top)[0].tolist() == [0, 1, 2, 3]
    diffs, _ = backward(layer, top, [True], bottom, [np.arange(4)])
    assert diffs[0].tolist() == [0, 1, 2, 3]


def test_parameters_that_want_no_gradient_keep_their_diff():
    layer, bottom, top = make_layer('name: "c" type: "Convolution" param { lr_mult: 0 } convolution_param '
                                    '{ num_output: 1 kernel_size: 1 }', [np.ones((1, 1, 2, 2))])
    layer.blobs[0].diff[...] = 9
    bottom[0].diff[...] = 7
    forward(layer, bottom, top)
    (dx,), (dw, db) = backward(layer, top, [False], bottom, [1])
    assert (dw.item(), db.item(), dx.ravel().tolist()) == (9, 4, [7] * 4)


def test_weights_that_are_there_are_kept():
    text = 'name: "c" type: "Convolution" convolution_param { num_output: 1 kernel_size: 1 }'
    layer, bottom, top = make_layer(text, [np.ones((1, 1, 2, 2))], params=[3, 1])
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    assert (forward(layer, bottom, top)[0] == 4).all()

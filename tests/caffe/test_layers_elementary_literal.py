"""Elementary layers on numbers a reader can check by hand: sharing, ties, special values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffe._caffe import common
from caffe._caffe.blob import Blob
from tests.caffe.gradient_checker import backward, forward, make_layer
from tests.caffe.layer_case import Case, build


def run(text, *bottoms):
    layer, bottom, top = make_layer(text, bottoms)
    return forward(layer, bottom, top)


# -- who shares what -------------------------------------------------------------------------------


def shares(a, b):
    return np.shares_memory(a, b)


@pytest.mark.parametrize(
    ("text", "data", "diff"),
    [
        ('type: "Split" top: "a" top: "b"', True, False),
        ('type: "Split"', True, False),
        ('type: "Reshape" reshape_param { shape { dim: -1 } }', True, True),
        ('type: "Concat"', True, True),
        ('type: "Slice"', True, True),
        ('type: "Flatten"', True, False),
        ('type: "Power"', False, False),
    ],
)
def test_sharing_after_forward(text, data, diff):
    layer, bottom, top = make_layer(text, [np.ones((2, 3))])
    forward(layer, bottom, top)
    for blob in top:
        assert shares(blob.data, bottom[0].data) == data
        assert shares(blob.diff, bottom[0].diff) == diff


def test_split_tops_have_diffs_of_their_own():
    _, _, top = make_layer('type: "Split" top: "a" top: "b"', [np.ones((2, 3))])
    assert not shares(top[0].diff, top[1].diff)


def test_flatten_backward_makes_the_diff_one():
    layer, bottom, top = make_layer('type: "Flatten"', [np.ones((2, 3, 2))])
    forward(layer, bottom, top)
    backward(layer, top, [True], bottom, [np.arange(12).reshape(2, 6)])
    assert bottom[0].diff.ravel().tolist() == list(range(12))
    assert shares(bottom[0].diff, top[0].diff)


@pytest.mark.parametrize(
    "text",
    [
        'type: "Split" top: "a" top: "b"',
        'type: "Flatten"',
        'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } }',
        'type: "Concat"',
        'type: "Slice"',
        'type: "Scale"',
        'type: "Power" power_param { scale: 2 }',
    ],
)
def test_bottom_grows_shrinks_and_grows(text):
    layer, bottom, top = make_layer(text, [np.ones((2, 3))])
    for rows in (5, 1, 4, 9):
        bottom[0].reshape(rows, 3)
        bottom[0].data[...] = rows
        result = forward(layer, bottom, top)
        assert result[0].shape == (rows, 3)
        assert np.unique(result[0]).tolist() == [2 * rows if "Power" in text else rows]
        diffs, _ = backward(layer, top, [True], bottom, [np.ones((rows, 3))] * len(top))
        assert np.unique(diffs[0]).tolist() == [2 if "Power" in text or len(top) == 2 else 1]


# -- shapes ----------------------------------------------------------------------------------------


def test_concat_and_slice_take_parts_without_values():
    joined = run('type: "Concat"', np.ones((2, 3)), np.ones((2, 0)))
    assert joined[0].tolist() == [[1, 1, 1]] * 2
    parts = run('type: "Slice" top: "a" top: "b" slice_param { slice_point: 3 }', np.ones((2, 3)))
    assert [part.shape for part in parts] == [(2, 3), (2, 0)]


def test_scale_of_every_value_uses_no_scratch():
    layer, bottom, top = make_layer('type: "Scale" scale_param { axis: 0 num_axes: -1 }', [[2, 3]])
    forward(layer, bottom, top)
    bottom[0].diff[...] = 7
    for _ in range(2):
        top[0].diff[...] = [5, 10]
        layer.backward(top, [False], bottom)
        assert layer.blobs[0].diff.tolist() == [10, 30]  # overwritten, as where there is no batch
    assert bottom[0].diff.tolist() == [7, 7]


def test_silence_zeroes_only_where_asked():
    layer, bottom, top = build(Case("silence", 'type: "Silence"', [(2,), (3,)], tops=0))
    for blob in bottom:
        blob.diff[...] = 7
    layer.forward(bottom, top)
    layer.backward(top, [True, False], bottom)
    assert [blob.diff.tolist() for blob in bottom] == [[0, 0], [7, 7, 7]]


def test_input_keeps_what_the_user_wrote_and_may_come_without_a_shape():
    layer, bottom, top = make_layer('type: "Input" top: "a" top: "b"', [])
    top[0].reshape(2, 2)
    top[0].data[...] = 5
    assert forward(layer, bottom, top)[0].tolist() == [[5, 5], [5, 5]]


# -- values ----------------------------------------------------------------------------------------


def test_relu_at_zero_counts_as_negative():
    layer, bottom, top = make_layer('type: "ReLU" relu_param { negative_slope: 0.5 }', [[-2, 0, 2]])
    assert forward(layer, bottom, top)[0].tolist() == [-1, 0, 2]
    diffs, _ = backward(layer, top, [True], bottom, [np.ones(3)])
    assert diffs[0].tolist() == [0.5, 0.5, 1]


def test_sigmoid_far_out_is_exactly_0_and_1_and_precise_before():
    assert run('type: "Sigmoid"', [-100, 0, 100])[0].tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(run('type: "Sigmoid"', [-18, -10])[0], [1.5229979e-08, 4.539787e-05], rtol=1e-6)


def test_power_constants_and_roots():
    x = np.float32([-1, 4])
    assert run('type: "Power" power_param { power: 0 }', x)[0].tolist() == [1, 1]
    assert run('type: "Power" power_param { scale: 0 shift: 3 power: 2 }', x)[0].tolist() == [9, 9]
    assert (
        run('type: "Power" power_param { scale: 0 shift: 0 power: -1 }', x)[0].tolist()
        == [math.inf] * 2
    )
    root = run('type: "Power" power_param { power: 0.5 }', x)[0]
    assert math.isnan(root[0])
    assert root[1] == 2


def test_euclidean_loss_of_nothing_is_nan_as_in_caffe():
    assert math.isnan(run('type: "EuclideanLoss"', np.zeros((0, 2)), np.zeros((0, 2)))[0])


# -- accuracy --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "label", "param", "want"),
    [
        ([[1, 2, 3]], [2], "", 1),
        ([[1, 2, 3]], [1], "", 0),
        ([[1, 2, 3]], [1], "top_k: 2", 1),
        ([[1, 1, 1]], [0], "", 0),  # ties count against
        ([[1, 1, 1]], [0], "top_k: 2", 0),
        ([[1, 1, 1]], [0], "top_k: 3", 1),
        ([[3, 0], [0, 3], [3, 0]], [0, 1, 1], "", 2 / 3),
        ([[3, 0], [0, 3], [3, 0]], [0, 1, 255], "ignore_label: 255", 1),
        ([[3, 0]], [255], "ignore_label: 255", 0),  # nothing to count
        ([[3, 0]], [-1], "ignore_label: -1", 0),
        ([[3, 0]], [0.9], "", 1),  # labels are truncated
        ([[math.nan, 3]], [0], "", 1),  # nothing is at least nan
        ([[math.nan, 3]], [1], "", 1),
    ],
)
def test_accuracy(scores, label, param, want):
    assert run(f'type: "Accuracy" accuracy_param {{ {param} }}', scores, label)[0] == np.float32(
        want
    )


def test_accuracy_of_each_class():
    scores = [[3, 0, 1], [0, 3, 1], [3, 0, 1], [3, 0, 1]]
    whole, each = run(
        'type: "Accuracy" top: "a" top: "c" accuracy_param { ignore_label: 9 }',
        scores,
        [0, 1, 1, 9],
    )
    assert whole == np.float32(2 / 3)
    assert each.tolist() == [1, 0.5, 0]


# -- data ------------------------------------------------------------------------------------------


def test_dummy_data_draws_anew_but_for_constants():
    common.set_random_seed(3)
    layer, bottom, top = make_layer(
        'type: "DummyData" top: "a" top: "b" dummy_data_param { shape { dim: 4 } '
        'data_filler { value: 2 } data_filler { type: "uniform" } }',
        [],
    )
    assert top[0].data.tolist() == [2] * 4
    assert top[1].data.tolist() == [0] * 4  # Caffe: not before the first forward
    top[0].data[...] = 5
    first, second = forward(layer, bottom, top), forward(layer, bottom, top)
    assert first[0].tolist() == second[0].tolist() == [5] * 4
    assert not (first[1] == second[1]).any()


def test_scale_keeps_given_parameters_and_orders_them():
    given = [Blob(2), Blob(2)]
    given[0].data[...], given[1].data[...] = [2, 3], [10, 20]
    layer, bottom, top = make_layer('type: "Scale" scale_param { bias_term: true }', [[[1, 1]]])
    assert [blob.data.tolist() for blob in layer.blobs] == [[1, 1], [0, 0]]
    fresh = type(layer)(layer.layer_param)
    fresh.blobs.extend(given)
    fresh.setup(bottom, top)
    fresh.reshape(bottom, top)
    fresh.forward(bottom, top)
    assert top[0].data.tolist() == [[12, 23]]
    assert fresh.blobs == given

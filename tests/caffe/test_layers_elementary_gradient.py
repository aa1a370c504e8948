"""Gradients of elementary layers against two-sided differences; what backward leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from tests.caffe.gradient_checker import backward, check_gradient, forward, make_layer

X = (2, 3, 2, 2)


def draw(*shapes):
    rng = np.random.default_rng(7)
    return [rng.uniform(-2, 2, shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ('type: "Sigmoid"', [X]),
        ('type: "TanH"', [X]),
        ('type: "Power" power_param { power: 2 scale: 0.5 shift: 1 }', [X]),
        ('type: "Power" power_param { power: 0.5 scale: 0.3 shift: 4 }', [X]),
        ('type: "Power" power_param { power: 3 scale: 0.5 shift: 4 }', [X]),
        ('type: "Power" power_param { scale: -2 shift: 1 }', [X]),
        ('type: "Power" power_param { scale: 0 shift: 1 }', [X]),
        ('type: "Concat"', [(2, 3, 2), (2, 1, 2)]),
        ('type: "Concat" concat_param { axis: 0 }', [(2, 3), (1, 3), (2, 3)]),
        ('type: "Slice" top: "a" top: "b" slice_param { axis: -1 slice_point: 1 }', [(2, 3, 4)]),
        ('type: "Split" top: "a" top: "b" top: "c"', [(2, 3)]),
        ('type: "Flatten"', [X]),
        ('type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } }', [X]),
        ('type: "Bias"', [X]),
        ('type: "Bias" bias_param { axis: 0 num_axes: -1 }', [(2, 3)]),
        ('type: "Bias" bias_param { num_axes: 0 }', [(2, 3)]),
        ('type: "Bias"', [X, (3, 2)]),
        ('type: "Scale"', [X]),
        ('type: "Scale" scale_param { bias_term: true axis: -3 num_axes: 2 }', [X]),
        ('type: "Scale" scale_param { bias_term: true num_axes: 0 }', [X]),
        ('type: "Scale" scale_param { axis: 2 num_axes: -1 }', [X]),
        ('type: "Scale" scale_param { bias_term: true }', [X, (3,)]),
        ('type: "Scale" scale_param { axis: 0 }', [X, X]),
        ('type: "EuclideanLoss"', [(4, 3), (4, 3)]),
    ],
)
def test_gradient(text, shapes):
    check_gradient(text, draw(*shapes))


@pytest.mark.parametrize("slope", [0, 0.25, -0.5])
def test_relu_gradient(slope):
    check_gradient(
        f'type: "ReLU" relu_param {{ negative_slope: {slope} }}', draw(X), kinks=(0, 0.02)
    )


@pytest.mark.parametrize(
    ("text", "shapes", "skipped"),
    [
        ('type: "Concat"', [(2, 3), (2, 2)], 1),
        ('type: "EuclideanLoss"', [(4, 3), (4, 3)], 0),
        ('type: "EuclideanLoss"', [(4, 3), (4, 3)], 1),
        ('type: "Scale"', [(2, 3), (3,)], 1),
        ('type: "Bias"', [(2, 3), (3,)], 0),
    ],
)
def test_bottom_not_propagated_to_keeps_its_diff(text, shapes, skipped):
    layer, bottom, top = make_layer(text, draw(*shapes))
    forward(layer, bottom, top)
    for blob in bottom:
        blob.diff[...] = 7
    diffs, _ = backward(
        layer, top, [i != skipped for i in range(2)], bottom, [np.ones(t.shape) for t in top]
    )
    assert (diffs[skipped] == 7).all()
    assert not (diffs[1 - skipped] == 7).any()


def test_frozen_parameters_keep_their_diff():
    layer, bottom, top = make_layer(
        'type: "Scale" scale_param { bias_term: true } param { lr_mult: 0 } param { lr_mult: 0 }',
        draw((2, 3)),
    )
    forward(layer, bottom, top)
    _, params = backward(layer, top, [True], bottom, [np.ones((2, 3))])
    assert [p.tolist() for p in params] == [[0, 0, 0], [0, 0, 0]]


def test_scale_of_one_item_is_overwritten_and_of_two_items_added():
    for items, want in ((1, 4.0), (2, 16.0)):
        layer, bottom, top = make_layer('type: "Scale"', [np.full((items, 3, 4), 1.0)])
        forward(layer, bottom, top)
        for _ in range(2):  # as iter_size: 2 does
            _, params = backward(layer, top, [True], bottom, [np.ones((items, 3, 4))])
        assert params[0].tolist() == [want] * 3


def test_gradient_loss_weight_multiplies():
    a, b = np.float32([[3, 0]]), np.float32([[1, 1]])
    layer, bottom, top = make_layer('type: "EuclideanLoss" loss_weight: 0.5', [a, b])
    assert float(forward(layer, bottom, top)[0]) == 2.5
    diffs, _ = backward(layer, top, [True, True], bottom)
    assert diffs[0].tolist() == [[1, -0.5]]
    assert diffs[1].tolist() == [[-1, 0.5]]


def test_the_gradient_of_sigmoid_cross_entropy_is_of_the_forward_pass(tmp_path):
    (tmp_path / "net.prototxt").write_text("""force_backward: true
        layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 2 } } }
        layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "t" top: "loss"
          loss_param { ignore_label: -1 normalization: VALID } }""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.blobs["x"].data[...] = [[0, np.log(3)], [-np.log(3), 0]]
    net.blobs["t"].data[...] = [[1, 0], [1, -1]]
    net.forward()
    net.blobs["x"].data[...] = 9
    net.blobs["t"].data[0, 0] = -1
    net.backward()
    # Caffe: s(x) and the three targets that counted are those of forward, the targets themselves those of now
    np.testing.assert_allclose(net.blobs["x"].diff, np.array([[0, 0.75], [-0.75, 0]]) / 3, rtol=1e-6)

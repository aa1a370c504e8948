"""What genuine Caffe cannot judge, against float64 formulas: Clip, BatchNorm in TRAIN, STOCHASTIC pooling."""

from __future__ import annotations

import numpy as np
import pytest

from tests.caffe.gradient_checker import backward, check_gradient, forward, make_layer


def draw(*shape):
    return np.random.default_rng(3).uniform(-2, 2, shape).astype(np.float32)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-0.5, 5), (3, 4)])
def test_clip(low, high, in_place):
    x, dy = draw(2, 3, 4), draw(2, 3, 4)[::-1]
    x.flat[:2] = low, high  # the gradient passes at both ends
    ends = 'bottom: "x" top: "x"' if in_place else ""
    layer, bottom, top = make_layer(f'type: "Clip" {ends} clip_param {{ min: {low} max: {high} }}', [x])
    (y,) = forward(layer, bottom, top)
    np.testing.assert_array_equal(y, np.clip(x, low, high))
    (dx,), _ = backward(layer, top, [True], bottom, [dy])
    # in place the clipped values are what backward sees, and they all lie inside: Caffe's way
    inside = np.ones_like(x) if in_place else (x >= low) & (x <= high)
    np.testing.assert_array_equal(dx, dy * inside)


def batch_norm(x, eps):
    x = x.astype(np.float64)
    axes = (0, *range(2, x.ndim))
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps), mean.ravel(), variance.ravel(), axes


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(("shape", "eps", "fraction"), [
    ((4, 3, 2, 5), 1e-5, 0.999), ((6, 2), 0.1, 0.5), ((1, 3, 1, 1), 1e-5, 0.9)])
def test_batch_norm_train(shape, eps, fraction, in_place):
    x, dy = draw(*shape), draw(*shape)[::-1, ::-1]
    ends = 'bottom: "x" top: "x"' if in_place else ""
    text = f'type: "BatchNorm" {ends} batch_norm_param {{ eps: {eps} moving_average_fraction: {fraction} }}'
    layer, bottom, top = make_layer(text, [x])
    want, mean, variance, axes = batch_norm(x, eps)
    (y,) = forward(layer, bottom, top)
    np.testing.assert_allclose(y, want, atol=2e-5 * np.abs(want).max() + 1e-12)
    size = x.size // shape[1]
    unbiased = variance * size / (size - 1) if size > 1 else variance
    for blob, kept in zip(layer.blobs, (mean, unbiased, 1), strict=True):  # what was kept before is 0
        np.testing.assert_allclose(blob.data, kept, rtol=1e-5, atol=1e-7)
    (dx,), params = backward(layer, top, [True], bottom, [dy])
    dy = dy.astype(np.float64)
    inner = dy - dy.mean(axes, keepdims=True) - want * (dy * want).mean(axes, keepdims=True)
    spread = np.sqrt(variance + eps).reshape(1, -1, *[1] * (x.ndim - 2))
    np.testing.assert_allclose(dx, inner / spread, atol=5e-5 * np.abs(inner / spread).max() + 1e-6)
    assert not any(diff.any() for diff in params)  # statistics take no gradient


def test_batch_norm_keeps_a_fading_sum():
    layer, bottom, top = make_layer('type: "BatchNorm" batch_norm_param { moving_average_fraction: 0.25 }',
                                    [draw(4, 2)])
    sums = np.zeros((2, 2))
    for scale in (1, 3, -2):
        bottom[0].data[...] = draw(4, 2) * scale
        forward(layer, bottom, top)
        _, mean, variance, _ = batch_norm(bottom[0].data, 1e-5)
        sums = sums * 0.25 + np.stack([mean, variance * 4 / 3])
    np.testing.assert_allclose([layer.blobs[0].data, layer.blobs[1].data], sums, rtol=1e-5)
    assert layer.blobs[2].data[0] == pytest.approx(1 + 0.25 + 0.0625)


def test_batch_norm_gradient():
    check_gradient('type: "BatchNorm" batch_norm_param { eps: 0.1 }', [draw(4, 2, 3)])


def test_batch_norm_statistics_do_not_learn():
    layer, _, _ = make_layer('type: "BatchNorm"', [draw(4, 2)])
    assert [spec.lr_mult for spec in layer.layer_param.param] == [0, 0, 0]
    with pytest.raises(RuntimeError, match="Cannot configure batch normalization statistics as layer parameters"):
        make_layer('type: "BatchNorm" param { lr_mult: 1 }', [draw(4, 2)])


# -- STOCHASTIC pooling ------------------------------------------------------------------------

STOCHASTIC = 'type: "Pooling" pooling_param {{ pool: STOCHASTIC kernel_h: 2 kernel_w: 3 stride_h: {} stride_w: 2 }}'


def windows(x, stride):
    """The windows that Caffe visits, cut off at the bottom's edge, with their places."""
    height, width = x.shape[2:]
    for i in range(-(-(height - 2) // stride) + 1):
        for j in range(-(-(width - 3) // 2) + 1):
            rows, columns = slice(i * stride, min(i * stride + 2, height)), slice(j * 2, min(j * 2 + 3, width))
            yield (i, j), rows, columns


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_stochastic_pooling_test(stride):
    x = np.abs(draw(2, 2, 5, 6))
    x[0, 0, :2, :3] = 0  # a window of nothing is 0, not 0 / 0
    layer, bottom, top = make_layer(STOCHASTIC.format(stride), [x], phase=1)
    (y,) = forward(layer, bottom, top)
    for (i, j), rows, columns in windows(x, stride):
        window = x[:, :, rows, columns].astype(np.float64)
        total = window.sum((2, 3))
        want = np.where(total > 0, (window ** 2).sum((2, 3)) / np.where(total > 0, total, 1), 0)
        np.testing.assert_allclose(y[:, :, i, j], want, rtol=2e-5)


def test_stochastic_pooling_train_picks_in_proportion():
    x = np.tile(np.array([[1, 0, 2], [3, 0, 4]], np.float32), (1, 2000, 1, 1)).reshape(1, 2000, 2, 3)
    layer, bottom, top = make_layer(STOCHASTIC.format(1), [x])
    (y,) = forward(layer, bottom, top)
    counts = [(y == value).sum() / 2000 for value in range(5)]
    np.testing.assert_allclose(counts, [0, 0.1, 0.2, 0.3, 0.4], atol=0.04)
    (dx,), _ = backward(layer, top, [True], bottom, [np.ones_like(y)])
    np.testing.assert_array_equal(dx.sum((2, 3)), np.ones((1, 2000)))
    np.testing.assert_array_equal((dx * x).sum((2, 3)), y[:, :, 0, 0])  # it goes where the value came from


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_stochastic_pooling_train_stays_inside(stride):
    x = np.arange(1, 61, dtype=np.float32).reshape(1, 2, 5, 6)  # every value once
    layer, bottom, top = make_layer(STOCHASTIC.format(stride), [x])
    (y,) = forward(layer, bottom, top)
    (dx,), _ = backward(layer, top, [True], bottom, [np.ones_like(y)])
    for (i, j), rows, columns in windows(x, stride):
        for c in range(2):
            assert y[0, c, i, j] in x[0, c, rows, columns]
    assert dx.sum() == y.size and (dx * x).sum() == pytest.approx(y.sum())

"""Gradients of layers with weights or windows against differences (Caffe's step 1e-2, threshold 1e-3)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.caffe.gradient_checker import check_gradient


def normal(*shape):
    return np.random.RandomState(7).normal(size=shape).astype(np.float32)


def spread(*shape):
    """Values at least 0.1 apart, so that a step of 1e-2 changes no maximum."""
    return (np.random.RandomState(7).permutation(int(np.prod(shape))).reshape(shape) * 0.1).astype(np.float32)


CONVOLUTIONS = [
    ("Convolution", "num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2", (2, 4, 5, 4)),
    ("Convolution", "num_output: 2 kernel_size: 2 dilation: 2 pad: 1 bias_term: false", (1, 3, 4, 5)),
    ("Convolution", "num_output: 2 kernel_size: 2 pad: 1", (1, 2, 2, 3, 2)),
    ("Convolution", "num_output: 3 kernel_size: 3", (2, 2, 6)),
    ("Convolution", "num_output: 3", (2, 4)),
    ("Convolution", "num_output: 3 axis: 2 kernel_size: 2", (2, 2, 2, 3, 3)),
    ("Deconvolution", "num_output: 2 kernel_size: 3 stride: 2 pad: 1", (2, 3, 2, 3)),
    ("Deconvolution", "num_output: 3 group: 3 kernel_size: 5 stride: 2 pad: 1", (1, 3, 2, 3)),
    ("Deconvolution", "num_output: 2 kernel_size: 2 dilation: 2", (1, 2, 3)),
]


@pytest.mark.parametrize(("kind", "text", "shape"), CONVOLUTIONS)
def test_gradient_convolution(kind, text, shape):
    check_gradient(f'name: "c" type: "{kind}" convolution_param {{ {text} }}', [normal(*shape)])


def test_gradient_convolution_of_two_bottoms_adds_up():
    check_gradient('name: "c" type: "Convolution" convolution_param { num_output: 2 kernel_size: 2 }',
                   [normal(1, 2, 3, 3), normal(1, 2, 3, 3) + 1])


@pytest.mark.parametrize(("kernel", "stride", "pad"), [
    (4, 2, 0), (4, 2, 1), (3, 2, 0), (3, 2, 1), (5, 3, 1), (7, 2, 2)])
def test_gradient_upsampling(kernel, stride, pad):
    weight = np.zeros((2, 2, kernel, kernel), np.float32)
    weight[[0, 1], [0, 1]] = normal(2, kernel, kernel)
    check_gradient(f'name: "u" type: "Deconvolution" param {{ lr_mult: 0 }} convolution_param {{ num_output: 2 '
                   f'kernel_size: {kernel} stride: {stride} pad: {pad} }}', [normal(1, 2, 2, 3)],
                   params=[weight, normal(2)])


@pytest.mark.parametrize("text", ["", "axis: 2 transpose: true", "bias_term: false"])
def test_gradient_inner_product(text):
    check_gradient(f'name: "i" type: "InnerProduct" inner_product_param {{ num_output: 3 {text} }}', [normal(2, 3, 4)])


@pytest.mark.parametrize("text", [
    "kernel_size: 2 stride: 2", "kernel_size: 3 stride: 2 pad: 1", "kernel_size: 3 stride: 3 pad: 2",
    "pool: AVE kernel_size: 3 stride: 2 pad: 1", "pool: AVE kernel_size: 3 stride: 3 pad: 2",
    "pool: AVE global_pooling: true", "global_pooling: true"])
def test_gradient_pooling(text):
    check_gradient(f'name: "p" type: "Pooling" pooling_param {{ {text} }}', [spread(2, 3, 5, 6)])


@pytest.mark.parametrize("text", [
    "", "local_size: 3 k: 2 alpha: 2", "norm_region: WITHIN_CHANNEL local_size: 3 alpha: 2"])
def test_gradient_lrn(text):
    check_gradient(f'name: "n" type: "LRN" lrn_param {{ {text} }}', [normal(2, 6, 3, 2)])


def test_gradient_softmax():
    check_gradient('name: "s" type: "Softmax"', [normal(2, 4, 3)])


@pytest.mark.parametrize("text", ["", "loss_param { ignore_label: 2 }", "loss_param { normalize: false }",
                                  "softmax_param { axis: 2 }"])
def test_gradient_softmax_with_loss(text):
    label = np.random.RandomState(7).randint(0, 4, (2, 1, 4))
    check_gradient(f'name: "l" type: "SoftmaxWithLoss" {text}', [normal(2, 4, 4), label])


def test_gradient_crop():
    check_gradient('name: "c" type: "Crop" crop_param { offset: 1 offset: 2 }',
                   [normal(2, 2, 4, 5), normal(1, 1, 3, 2)], propagate=[True, False])


@pytest.mark.parametrize("text", [
    "operation: PROD", "operation: PROD stable_prod_grad: false", "coeff: 2 coeff: -1 coeff: 1", "operation: MAX"])
def test_gradient_eltwise(text):
    values = spread(3, 2, 3, 4) - 3.55  # no zero among them
    check_gradient(f'name: "e" type: "Eltwise" eltwise_param {{ {text} }}', list(values))


def test_gradient_dropout():
    check_gradient('name: "d" type: "Dropout" dropout_param { dropout_ratio: 0.3 }', [normal(2, 3, 4)])

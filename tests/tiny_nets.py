"""Prototxts of a few layers, for the tests of surgery.

In:   names and sizes.
Out:  text; the values of a net's parameters.
Not here: any test.
"""

from __future__ import annotations

import numpy as np

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }\n'
MSRA = 'weight_filler { type: "msra" } bias_filler { type: "uniform" }'


def conv(name, bottom, num_output, kernel, more=""):
    return (f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
            f"convolution_param {{ num_output: {num_output} kernel_size: {kernel} {MSRA} {more} }} }}\n")


def full(name, bottom, num_output):
    return (f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
            f"inner_product_param {{ num_output: {num_output} {MSRA} }} }}\n")


def up(name, bottom, num_output, kernel, stride, more=""):
    return (f'layer {{ name: "{name}" type: "Deconvolution" bottom: "{bottom}" top: "{name}" '
            f"convolution_param {{ num_output: {num_output} kernel_size: {kernel} stride: {stride} "
            f"bias_term: false {more} }} }}\n")


def image(*shape):
    return INPUT % " ".join(f"dim: {side}" for side in shape)


def values(net):
    return {(name, i): blob.data.copy() for name, blobs in net.params.items()
            for i, blob in enumerate(blobs)}


def assert_unchanged(net, before):
    for key, blob in values(net).items():
        np.testing.assert_array_equal(blob, before[key])


CLASSIFIER = image(2, 3, 9, 8) + conv("conv1", "data", 4, 3, "pad: 1") + full("fc6", "conv1", 6) + \
    full("fc7", "fc6", 5) + full("fc8", "fc7", 3)
FCN = image(2, 3, 9, 8) + conv("conv1", "data", 4, 3, "pad: 1") + \
    conv("fc6", "conv1", 6, 1, "").replace("kernel_size: 1", "kernel_h: 9 kernel_w: 8") + \
    conv("fc7", "fc6", 5, 1)

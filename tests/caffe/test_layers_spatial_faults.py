"""What layers with weights or windows refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from caffe._caffe.errors import LayerError
from tests.caffe.gradient_checker import forward, make_layer

X = (1, 4, 5, 6)

FAULTS = [
    ("Convolution", "convolution_param { kernel_size: 3 }", [X], "num_output must be given"),
    ("Convolution", "convolution_param { num_output: 1 }", [X], "kernel_size must be specified once, or once per"),
    ("Convolution", "convolution_param { num_output: 1 kernel_size: 3 kernel_h: 3 kernel_w: 3 }", [X],
     "Either kernel_size or kernel_h/w should be specified; not both"),
    ("Convolution", "convolution_param { num_output: 1 kernel_h: 3 kernel_w: 3 }", [(1, 2, 3)],
     "kernel_h & kernel_w can only be used for 2D convolution"),
    ("Convolution", "convolution_param { num_output: 1 kernel_h: 3 }", [X], "Filter dimensions must be nonzero"),
    ("Convolution", "convolution_param { num_output: 1 kernel_size: 1 stride: 0 }", [X],
     "Stride dimensions must be nonzero"),
    ("Convolution", "convolution_param { num_output: 1 kernel_size: 1 pad: 1 pad: 1 pad: 1 }", [X],
     r"pad must be specified once, or once per spatial dimension \(pad specified 3 times; 2 spatial dims\)"),
    ("Convolution", "convolution_param { num_output: 3 kernel_size: 1 group: 2 }", [X],
     "Number of output should be multiples of group"),
    ("Convolution", "convolution_param { num_output: 3 kernel_size: 1 group: 3 }", [X], "multiple of group"),
    ("Convolution", "convolution_param { num_output: 3 kernel_size: 7 }", [X], "want a larger bottom or more pad"),
    ("Convolution", "convolution_param { num_output: 3 kernel_size: 1 axis: 4 }", [X],
     "axis 4 out of range for 4-D Blob"),
    ("Convolution", "convolution_param { num_output: 3 kernel_size: 1 }", [X, (1, 4, 5, 5)], "shape mismatch - bottom"),
    ("Deconvolution", "convolution_param { num_output: 3 kernel_size: 1 pad: 4 }", [X],
     "want a larger bottom or more pad"),
    ("InnerProduct", "inner_product_param { }", [X], "num_output must be given"),
    ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 3 pad: 1 }", [X], "only for average and max pooling"),
    ("Pooling", "pooling_param { }", [X], "Filter size is kernel_size OR kernel_h and kernel_w; not both"),
    ("Pooling", "pooling_param { kernel_size: 2 kernel_h: 2 kernel_w: 2 }", [X], "Filter size is kernel_size OR"),
    ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", [X], "must be less than kernel"),
    ("Pooling", "pooling_param { kernel_size: 2 pad_h: 1 }", [X], "pad is pad OR pad_h and pad_w are required"),
    ("Pooling", "pooling_param { kernel_size: 2 stride: 1 stride_h: 1 stride_w: 1 }", [X],
     "stride is stride OR stride_h"),
    ("Pooling", "pooling_param { kernel_size: 2 global_pooling: true }", [X], "Filter size cannot specified"),
    ("Pooling", "pooling_param { stride: 2 global_pooling: true }", [X], "only pad = 0 and stride = 1"),
    ("Pooling", "pooling_param { kernel_size: 2 }", [(1, 2, 3)], "Input must have 4 axes"),
    ("LRN", "lrn_param { local_size: 4 }", [X], "LRN only supports odd values for local_size"),
    ("Crop", "crop_param { offset: 1 offset: 2 offset: 3 }", [X, X], "number of offset values specified must be equal"),
    ("Crop", "crop_param { offset: 3 }", [X, (1, 1, 3, 3)],
     r"the crop for dimension 2 is out-of-bounds: offset 3 \+ size 3 exceeds 5; .*the pad of the first convolution"),
    ("Crop", "", [X, (1, 4)], "want equally many axes"),
    ("Eltwise", "eltwise_param { coeff: 1 }", [X, X], "Eltwise Layer takes one coefficient per bottom blob"),
    ("Eltwise", "eltwise_param { operation: PROD coeff: 1 coeff: 1 }", [X, X], "only takes coefficients for summation"),
    ("Eltwise", "", [X, (1, 4, 5, 5)], "bottoms must have one shape"),
    ("Eltwise", "", [X], "takes at least 2 bottom"),
    ("Dropout", "dropout_param { dropout_ratio: 1 }", [X], "dropout_ratio must be"),
    ("SoftmaxWithLoss", "", [X, (1, 1, 5, 5)], "Number of labels must match number of predictions"),
    ("SoftmaxWithLoss", "", [X, (2, 1, 5, 3)], "same first dimension"),
]


@pytest.mark.parametrize(("kind", "text", "shapes", "words"), FAULTS)
def test_refused(kind, text, shapes, words):
    with pytest.raises(LayerError, match=f"layer 'here' .*{words}"):
        make_layer(f'name: "here" type: "{kind}" {text}', [np.zeros(shape) for shape in shapes])


@pytest.mark.parametrize(("kind", "text"), [
    ("Convolution", "convolution_param { num_output: 2 kernel_size: 1 }"),
    ("InnerProduct", "inner_product_param { num_output: 2 }")])
def test_another_number_of_channels_is_refused(kind, text):
    layer, bottom, top = make_layer(f'name: "here" type: "{kind}" {text}', [np.zeros((1, 3, 2, 2))])
    bottom[0].reshape(1, 4, 2, 2)
    with pytest.raises(LayerError, match="layer 'here' .*Input size incompatible"):
        forward(layer, bottom, top)


@pytest.mark.parametrize(("label", "text", "words"), [
    (21, "loss_param { ignore_label: 255 }", "label 21 with 21 classes: want 0 to 20; ignore_label is 255; correct"),
    (255, "", "label 255 with 21 classes: want 0 to 20; no ignore_label is set; correct"),
    (-1, "", "label -1 with 21 classes")])
def test_label_out_of_range(label, text, words):
    scores, labels = np.zeros((1, 21, 2, 2)), np.zeros((1, 1, 2, 2))
    labels[0, 0, 1, 1] = label
    layer, bottom, top = make_layer(f'name: "loss" type: "SoftmaxWithLoss" {text}', [scores, labels])
    with pytest.raises(LayerError, match=f"layer 'loss' .*{words}"):
        forward(layer, bottom, top)


def test_pooling_refuses_a_second_top_of_averages():
    with pytest.raises(LayerError, match="takes at most 1 top"):
        make_layer('name: "p" type: "Pooling" top: "a" top: "b" pooling_param { pool: AVE kernel_size: 2 }',
                   [np.zeros(X)])

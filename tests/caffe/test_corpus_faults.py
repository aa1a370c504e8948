"""What the layers that FCN does not need refuse: each fault is a LayerError that names the layer."""

from __future__ import annotations

import numpy as np
import pytest

from caffe._caffe.errors import LayerError
from tests.caffe.gradient_checker import backward, forward, make_layer

X = (2, 3)
AT_SETUP = [
    ("AbsVal", 'bottom: "x" top: "x"', [X], "does not allow in-place"),
    ("ArgMax", "argmax_param { top_k: 4 }", [X], "top_k must be less than or equal"),
    ("ArgMax", "argmax_param { top_k: 0 }", [X], "top k must not be less than 1"),
    ("ArgMax", "argmax_param { axis: 2 }", [X], "axis 2 out of range"),
    ("BatchNorm", "param { } param { } param { } param { lr_mult: 1 }", [X], "statistics"),
    ("BatchReindex", "", [X, (2, 1)], "must have one axis"),
    ("Clip", "clip_param { min: 0 }", [X], "needs min and max"),
    ("ContrastiveLoss", "", [X, (2, 4), (2,)], "want two bottoms"),
    ("ContrastiveLoss", "", [(2, 3, 2, 1), (2, 3, 2, 1), (2,)], "want two bottoms"),
    ("Embed", "embed_param { num_output: 2 }", [X], "must be positive"),
    ("Exp", "exp_param { base: -2 }", [X], "base must be strictly positive"),
    ("Filter", 'top: "a" top: "b"', [X, (2,)], "Top.size.. should be equal"),
    ("Filter", "", [X, (2, 2)], "must be singletons"),
    ("Filter", "", [X, (3,)], "same 0th dimension"),
    ("HingeLoss", "", [X, (3,)], "same first dimension"),
    ("Im2col", "convolution_param { kernel_size: 5 }", [(1, 1, 3, 3)], "wants a larger bottom"),
    ("Im2col", "convolution_param { kernel_size: 0 }", [(1, 1, 3, 3)], "must be nonzero"),
    ("Log", "log_param { base: 0 }", [X], "base must be strictly positive"),
    ("Log", "log_param { base: 1 }", [X], "base 1 has no logarithm"),
    ("LSTM", "recurrent_param { num_output: 0 }", [(2, 1, 3), (2, 1)], "num_output must be positive"),
    ("LSTM", "recurrent_param { num_output: 2 }", [(2, 1, 3), (2, 2)], "exactly 2 axes"),
    ("LSTM", "recurrent_param { num_output: 2 expose_hidden: true }", [(2, 1, 3), (2, 1)], "takes at least 4"),
    ("LSTMUnit", "", [(1, 2, 3), (1, 2, 9), (1, 2)], "want c_prev"),
    ("MultinomialLogisticLoss", "", [X, (2, 2)], "one label per item"),
    ("PReLU", "", [(3,)], "must be >= 2"),
    ("Reduction", "reduction_param { axis: 3 }", [X], "axis 3 out of range"),
    ("RNN", "recurrent_param { num_output: 2 }", [(2,), (2, 1)], "at least 2 axes"),
    ("SigmoidCrossEntropyLoss", "", [X, (2, 4)], "must have the same count"),
    ("SPP", "spp_param { pyramid_height: 0 }", [(1, 1, 4, 4)], "pyramid_height"),
    ("SPP", "spp_param { pyramid_height: 2 }", [X], "4 axes"),
    ("Tile", "tile_param { }", [X], "Number of tiles must be positive"),
]


@pytest.mark.parametrize(("kind", "text", "shapes", "words"), AT_SETUP)
def test_refused(kind, text, shapes, words):
    bottoms = [np.zeros(shape, np.float32) for shape in shapes]
    with pytest.raises(LayerError, match=f"layer 'here' .*{words}"):
        make_layer(f'name: "here" type: "{kind}" {text}', bottoms)


@pytest.mark.parametrize(("kind", "text", "shapes", "place", "words"), [
    ("Embed", "embed_param { num_output: 2 input_dim: 3 }", [(4,)], 0, "with input_dim 3: want 0 to 2"),
    ("BatchReindex", "", [(3, 2), (4,)], 1, "with 3 items: want 0 to 2"),
    ("HingeLoss", "", [(4, 3), (4,)], 1, "with 3 classes: want 0 to 2"),
    ("MultinomialLogisticLoss", "", [(4, 3), (4,)], 1, "with 3 classes: want 0 to 2"),
])
@pytest.mark.parametrize("number", [-1, 3])
def test_numbers_out_of_range(kind, text, shapes, place, words, number):
    bottoms = [np.full(shape, 0.5, np.float32) for shape in shapes]
    layer, bottom, top = make_layer(f'name: "here" type: "{kind}" {text}', bottoms)
    bottom[place].data.flat[2] = number
    with pytest.raises(LayerError, match=f"layer 'here' .* {number} {words}"):
        forward(layer, bottom, top)


@pytest.mark.parametrize(("kind", "text", "shapes"), [
    ("Threshold", "", [X]), ("ArgMax", "", [X]), ("Embed", "embed_param { num_output: 2 input_dim: 3 }", [(4,)]),
    ("Filter", "", [X, (2,)]), ("BatchReindex", "", [X, (2,)]),
    ("LSTMUnit", "", [(1, 2, 3), (1, 2, 12), (1, 2)]),
    ("LSTM", "recurrent_param { num_output: 2 }", [(2, 1, 3), (2, 1)]),
    ("HingeLoss", "", [X, (2,)]), ("SigmoidCrossEntropyLoss", "", [X, X]), ("MultinomialLogisticLoss", "", [X, (2,)])])
def test_gradients_that_are_none(kind, text, shapes):
    layer, bottom, top = make_layer(f'name: "here" type: "{kind}" {text}', [np.zeros(shape) for shape in shapes])
    forward(layer, bottom, top)
    with pytest.raises(LayerError, match="layer 'here'"):
        backward(layer, top, [True] * len(bottom), bottom)


def test_filter_with_nothing_marked():
    layer, bottom, top = make_layer('type: "Filter"', [np.ones(X), np.zeros(2)])
    assert top[0].shape == X  # at construction nothing is known of the selector
    assert forward(layer, bottom, top)[0].shape == (0, 3)
    (dx, _), _ = backward(layer, top, [True, False], bottom)
    assert not dx.any()

"""What elementary layers refuse, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from caffe._caffe.errors import CaffeError, LayerError
from tests.caffe.gradient_checker import backward, forward, make_layer

ROW = (2, 3)


def refuse(text, shapes, words):
    with pytest.raises(CaffeError) as caught:
        make_layer(f'name: "lay" {text}', [np.zeros(shape) for shape in shapes])
    assert words in str(caught.value)
    assert "lay" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shapes", "words"),
    [
        (
            'type: "Split" bottom: "x" top: "x"',
            [ROW],
            "Split Layer does not allow in-place computation.",
        ),
        ('type: "Split" bottom: "x" top: "x" top: "y"', [ROW], "does not allow in-place"),
        (
            'type: "Flatten" bottom: "x" top: "x"',
            [ROW],
            "Flatten Layer does not allow in-place computation.",
        ),
        (
            'type: "Reshape" bottom: "x" top: "x"',
            [ROW],
            "Reshape Layer does not allow in-place computation.",
        ),
        ('type: "Concat" bottom: "x" bottom: "y" top: "x"', [ROW, ROW], "does not allow in-place"),
        ('type: "Slice" bottom: "x" top: "x" top: "y"', [(2, 4)], "does not allow in-place"),
        (
            'type: "Convolution" bottom: "x" top: "x" convolution_param { num_output: 3 kernel_size: 3 pad: 1 }',
            [(1, 3, 4, 4)],
            "Convolution Layer does not allow in-place computation; give its top a name of its own (got 'x')",
        ),
        ('type: "Pooling" bottom: "x" top: "x" pooling_param { kernel_size: 2 }', [(1, 3, 4, 4)], "in-place"),
        ('type: "InnerProduct" bottom: "x" top: "x" inner_product_param { num_output: 3 }', [ROW], "in-place"),
        ('type: "Crop" bottom: "x" bottom: "y" top: "x"', [(1, 3, 4, 4), (1, 3, 2, 2)], "in-place"),
        ('type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "x"', [ROW, (2,)], "in-place"),
    ],
)
def test_in_place_misuse(text, shapes, words):
    refuse(text, shapes, words)


@pytest.mark.parametrize(
    ("text", "shapes", "words"),
    [
        (
            'type: "Concat" concat_param { axis: 1 concat_dim: 1 }',
            [ROW],
            "Either axis or concat_dim should be specified",
        ),
        ('type: "Concat" concat_param { concat_dim: 2 }', [ROW], "concat_dim out of range"),
        (
            'type: "Concat" concat_param { axis: 2 }',
            [ROW],
            "axis 2 out of range for 2-D Blob with shape (2, 3)",
        ),
        ('type: "Concat"', [ROW, (2, 3, 1)], "All inputs must have the same #axes"),
        (
            'type: "Concat"',
            [ROW, (3, 3)],
            "All inputs must have the same shape, except at concat_axis",
        ),
        (
            'type: "Slice" slice_param { axis: 1 slice_dim: 1 }',
            [ROW],
            "Either axis or slice_dim should be specified",
        ),
        ('type: "Slice" slice_param { slice_dim: 5 }', [ROW], "slice_dim out of range"),
        (
            'type: "Slice" top: "a" top: "b"',
            [ROW],
            "Number of top blobs (2) should evenly divide input slice axis (3)",
        ),
        (
            'type: "Slice" top: "a" top: "b" slice_param { slice_point: 1 slice_point: 2 }',
            [ROW],
            "want 1",
        ),
        (
            'type: "Slice" top: "a" top: "b" top: "c" '
            "slice_param { slice_point: 2 slice_point: 1 }",
            [ROW],
            "must grow",
        ),
        ('type: "Slice" top: "a" top: "b" slice_param { slice_point: 4 }', [ROW], "must grow"),
        ('type: "Slice" top: "a" top: "b" slice_param { slice_point: 0 }', [ROW], "must grow"),
        ('type: "Flatten" flatten_param { axis: 3 }', [ROW], "axis 3 out of range"),
        (
            'type: "Flatten" flatten_param { axis: 3 end_axis: 1 }',
            [(1, 2, 3, 4)],
            "comes after end_axis",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }',
            [ROW],
            "new shape contains multiple -1 dims",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: -2 } }',
            [ROW],
            "want lengths >= 0, or one -1",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: 4 dim: -1 } }',
            [ROW],
            "bottom count (6) must be divisible by",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } }',
            [(0, 2)],
            "must be divisible by",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: 7 } }',
            [ROW],
            "output count must match input count",
        ),
        (
            'type: "Reshape" reshape_param { shape { dim: 2 dim: 3 dim: 0 } }',
            [ROW],
            "no corresponding bottom axis to copy",
        ),
        (
            'type: "Reshape" reshape_param { axis: 3 }',
            [ROW],
            "axis 3 out of range for 2-D input blob",
        ),
        ('type: "Reshape" reshape_param { axis: -4 }', [ROW], "out of range for 2-D input blob"),
        (
            'type: "Reshape" reshape_param { num_axes: -2 }',
            [ROW],
            "num_axes must be >= 0, or -1 for all",
        ),
        (
            'type: "Reshape" reshape_param { axis: 1 num_axes: 2 }',
            [ROW],
            "end_axis = axis + num_axes is out of range",
        ),
        ('type: "Scale" scale_param { axis: 2 }', [ROW], "axis 2 out of range"),
        (
            'type: "Scale" scale_param { num_axes: -2 }',
            [ROW],
            "num_axes must be non-negative, or -1",
        ),
        (
            'type: "Scale" scale_param { num_axes: 2 }',
            [ROW],
            "scale blob's shape extends past bottom[0]'s shape",
        ),
        ('type: "Scale"', [ROW, (2,)], "dimension mismatch"),
        ('type: "Scale"', [ROW, (3, 1)], "dimension mismatch"),
        ('type: "Scale"', [ROW, ROW, ROW], "takes at most 2 bottom"),
        (
            'type: "Bias" bias_param { num_axes: 2 }',
            [ROW],
            "bias blob's shape extends past bottom[0]'s shape",
        ),
        ('type: "Bias" bias_param { num_axes: -3 }', [ROW], "num_axes must be non-negative, or -1"),
        ('type: "Bias"', [ROW, (4,)], "dimension mismatch"),
        (
            'type: "EuclideanLoss"',
            [ROW, (3, 2)],
            "The data and label should have the same first dimension",
        ),
        ('type: "EuclideanLoss"', [ROW, (2, 4)], "Inputs must have the same dimension"),
        ('type: "Accuracy"', [ROW, (3,)], "Number of labels must match number of predictions"),
        (
            'type: "Accuracy" accuracy_param { top_k: 4 }',
            [ROW, (2,)],
            "top_k must be less than or equal",
        ),
        ('type: "Accuracy" accuracy_param { axis: 4 }', [ROW, (2,)], "axis 4 out of range"),
        (
            'type: "Input" top: "a" top: "b" top: "c" '
            "input_param { shape { dim: 1 } shape { dim: 1 } }",
            [],
            "Must specify 'shape' once, once per top blob, or not at all: 3 tops vs. 2 shapes.",
        ),
        (
            'type: "DummyData" top: "a" top: "b"',
            [],
            "Must specify 'shape' once, or once per top blob (2); specified 0.",
        ),
        (
            'type: "DummyData" dummy_data_param { shape { } num: 1 }',
            [],
            "Both shape and legacy fields were specified",
        ),
        ('type: "DummyData" dummy_data_param { num: 1 }', [], "Must specify 'channels' once"),
        (
            'type: "DummyData" '
            "dummy_data_param { shape { dim: 1 } data_filler { } data_filler { } }",
            [],
            "Number of data fillers must be 0, 1 or equal to the number of tops: 1; "
            "you specified 2 data fillers.",
        ),
        (
            'type: "DummyData" dummy_data_param { shape { dim: 1 } data_filler { type: "no" } }',
            [],
            "Unknown filler name",
        ),
    ],
)
def test_refused(text, shapes, words):
    refuse(text, shapes, words)


@pytest.mark.parametrize(
    ("label", "words"), [(3, "got 1 ... 3"), (-1, "got -1 ... 1"), (np.nan, "labels must be in")]
)
def test_accuracy_refuses_labels_out_of_range(label, words):
    layer, bottom, top = make_layer('name: "lay" type: "Accuracy"', [np.zeros(ROW), [1, label]])
    with pytest.raises(LayerError, match=r"lay.*set accuracy_param.ignore_label") as caught:
        forward(layer, bottom, top)
    assert words in str(caught.value)


def test_accuracy_has_no_gradient():
    layer, bottom, top = make_layer('type: "Accuracy"', [np.zeros(ROW), [1, 0]])
    backward(layer, top, [False, False], bottom)
    with pytest.raises(LayerError, match="Not Implemented Yet"):
        backward(layer, top, [True, False], bottom)


def test_learned_scale_refuses_another_width_later():
    layer, bottom, top = make_layer('type: "Scale"', [np.zeros(ROW)])
    bottom[0].reshape(2, 4)
    with pytest.raises(LayerError, match="dimension mismatch"):
        forward(layer, bottom, top)

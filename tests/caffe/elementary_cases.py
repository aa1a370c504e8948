"""The cases in which elementary layers are held against genuine Caffe.

In:   Case of layer_case.py.
Out:  CASES.
Not here: running them (layer_case.py), genuine Caffe's answers (tests/reference/record_layers.py).
"""

from __future__ import annotations

from tests.caffe.layer_case import Case

_X = [(2, 3, 2, 4)]
_ROW = [(1, 3, 4)]
_ONE = [(1, 1, 1)]
_DUMMY = "shape { dim: 2 dim: 3 } shape { dim: 4 }"

CASES = [
    Case("relu", 'type: "ReLU"', _X),
    Case("relu_in_place", 'type: "ReLU"', _X, in_place=True),
    Case("relu_leaky", 'type: "ReLU" relu_param { negative_slope: 0.1 }', _X),
    Case(
        "relu_leaky_in_place", 'type: "ReLU" relu_param { negative_slope: 0.1 }', _X, in_place=True
    ),
    Case("relu_negative", 'type: "ReLU" relu_param { negative_slope: -2 }', _X),
    Case(
        "relu_negative_in_place",
        'type: "ReLU" relu_param { negative_slope: -2 }',
        _X,
        in_place=True,
    ),
    Case("sigmoid", 'type: "Sigmoid"', _X),
    Case("sigmoid_in_place", 'type: "Sigmoid"', _X, in_place=True),
    Case("tanh", 'type: "TanH"', _X),
    Case("tanh_in_place", 'type: "TanH"', _X, in_place=True),
    *(
        Case(
            f"power{power:g}_{scale:g}_{shift:g}{'_in_place' * in_place}",
            f'type: "Power" power_param {{ power: {power} scale: {scale} shift: {shift} }}',
            _X,
            in_place=in_place,
        )
        for power, scale, shift, in_place in (
            (1, 1, 0, False),
            (1, -2, 0.5, False),
            (2, 0.5, 0, False),
            (2, 0.5, 1, False),
            (3, 2, 0, False),
            (0.5, 0.3, 4, False),
            (-1, 0.3, 4, False),
            (0, 2, 1, False),
            (2, 0, 3, False),
            (0, 0, 0, False),
            (1, 3, 1, True),
            (2, 3, 1, True),
            (1, 0, 2, True),
            (0.5, 0.3, 4, True),
        )
    ),
    Case("concat", 'type: "Concat"', [(2, 3, 2), (2, 1, 2), (2, 2, 2)]),
    Case("concat_last", 'type: "Concat" concat_param { axis: -1 }', [(2, 3, 2), (2, 3, 1)]),
    Case("concat_dim", 'type: "Concat" concat_param { concat_dim: 0 }', [(2, 3), (1, 3)]),
    Case("concat_one", 'type: "Concat"', [(2, 3)]),
    Case("slice", 'type: "Slice"', [(2, 4, 3)], tops=2),
    Case(
        "slice_point",
        'type: "Slice" slice_param { axis: -1 slice_point: 1 slice_point: 4 }',
        [(2, 3, 6)],
        tops=3,
    ),
    Case("slice_dim", 'type: "Slice" slice_param { slice_dim: 0 }', [(3, 2)], tops=3),
    Case("slice_one", 'type: "Slice"', [(2, 3)]),
    Case("split1", 'type: "Split"', [(2, 3)]),
    Case("split2", 'type: "Split"', [(2, 3)], tops=2),
    Case("split4", 'type: "Split"', [(2, 3)], tops=4),
    Case("silence", 'type: "Silence"', [(2, 3), (4,)], tops=0),
    Case("flatten", 'type: "Flatten"', _X),
    Case("flatten_window", 'type: "Flatten" flatten_param { axis: -3 end_axis: 2 }', _X),
    Case("flatten_none", 'type: "Flatten" flatten_param { axis: 2 end_axis: 1 }', _X),
    Case("reshape_infer", 'type: "Reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 } }', _X),
    Case(
        "reshape_window",
        'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 } axis: 1 num_axes: 3 }',
        _X,
    ),
    Case(
        "reshape_negative", 'type: "Reshape" reshape_param { shape { dim: 1 dim: 4 } axis: -2 }', _X
    ),
    Case(
        "reshape_insert",
        'type: "Reshape" reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }',
        _X,
    ),
    Case(
        "reshape_drop",
        'type: "Reshape" reshape_param { shape { } axis: 1 num_axes: 1 }',
        [(2, 1, 3)],
    ),
    *(
        Case(
            f"{kind.lower()}_{label}{'_in_place' * in_place}",
            f'type: "{kind}" {kind.lower()}_param {{ {text}{extra if kind == "Scale" else ""} }}',
            shapes,
            in_place=in_place,
        )
        for kind in ("Scale", "Bias")
        for extra in (" bias_term: true",)
        for in_place in (False, True)
        for label, text, shapes in (
            ("channels", "", _X),
            ("window", "axis: -3 num_axes: 2", _X),
            ("all", "axis: 0 num_axes: -1", _X),
            ("tail", "axis: 2 num_axes: -1", _X),
            ("head", "axis: 0 num_axes: 1", _X),
            ("scalar", "num_axes: 0", _X),
            ("scalar_row", "axis: 0 num_axes: 0", _ROW),
            ("row", "", _ROW),
            ("one", "", _ONE),
            ("vector", "", [(3, 4)]),
            ("two", "", [(2, 3, 4), (3,)]),
            ("two_row", "axis: 0", [(2, 3, 4), (2, 3)]),
            ("two_scalar", "axis: 1", [(2, 3, 4), ()]),
            ("two_equal", "axis: 0", [(2, 3), (2, 3)]),
        )
    ),
    Case("scale_plain", 'type: "Scale"', _X),
    Case("euclidean", 'type: "EuclideanLoss"', [(4, 3, 2), (4, 3, 2)]),
    Case("euclidean_shapes", 'type: "EuclideanLoss"', [(4, 6), (4, 3, 2)]),
    Case("accuracy", 'type: "Accuracy"', [(30, 4), (30,)], labels=4, backward=False),
    Case(
        "accuracy_top2",
        'type: "Accuracy" accuracy_param { top_k: 2 ignore_label: 255 }',
        [(30, 5), (30, 1)],
        labels=5,
        backward=False,
    ),
    Case(
        "accuracy_map",
        'type: "Accuracy" accuracy_param { ignore_label: 255 }',
        [(2, 4, 5, 3), (2, 1, 5, 3)],
        tops=2,
        labels=4,
        backward=False,
    ),
    Case(
        "accuracy_axis",
        'type: "Accuracy" accuracy_param { axis: -1 top_k: 3 }',
        [(6, 2, 7), (6, 2)],
        tops=2,
        labels=7,
        backward=False,
    ),
    Case(
        "dummy_none", f'type: "DummyData" dummy_data_param {{ {_DUMMY} }}', tops=2, backward=False
    ),
    Case(
        "dummy_one",
        'type: "DummyData" dummy_data_param { shape { dim: 2 dim: 3 } '
        'data_filler { type: "gaussian" std: 2 } }',
        tops=2,
        backward=False,
    ),
    Case(
        "dummy_mixed",
        f'type: "DummyData" dummy_data_param {{ {_DUMMY} data_filler {{ value: 3 }} '
        'data_filler { type: "uniform" min: -1 } }',
        tops=2,
        backward=False,
    ),
    Case(
        "dummy_legacy",
        'type: "DummyData" dummy_data_param { num: 2 num: 1 channels: 3 height: 2 width: 1 '
        'data_filler { type: "xavier" } }',
        tops=2,
        backward=False,
    ),
    Case(
        "input_many",
        'type: "Input" input_param { shape { dim: 2 } shape { dim: 3 dim: 1 } }',
        tops=2,
        backward=False,
    ),
    Case("input_one", 'type: "Input" input_param { shape { dim: 2 } }', tops=2, backward=False),
]

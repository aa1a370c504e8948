"""The cases in which elementary layers are held against genuine Caffe, and our side of each.

In:   nothing; the inputs of a case are drawn from its name.
Out:  CASES; inputs(case); run(case) -> {array's name: values} as the oracle names them.
Not here: genuine Caffe's side (tests/reference/record_elementary.py), the comparison.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
from google.protobuf import text_format

from caffe._caffe import common
from caffe._caffe.blob import Blob
from caffe._caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2

SEED = 1701


@dataclass(frozen=True)
class Case:
    """One layer: its text without bottoms and tops, the bottoms' shapes, and how to run it."""

    name: str
    text: str
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    tops: int = 1
    in_place: bool = False
    labels: int = 0  # > 0: the last bottom holds this many classes, and 255
    backward: bool = True

    @property
    def layer_text(self) -> str:
        """The LayerParameter, with bottoms b0 ... and tops t0 ...; in place t0 is b0."""
        tops = ["b0"] if self.in_place else [f"t{i}" for i in range(self.tops)]
        ends = [f'bottom: "b{i}"' for i in range(len(self.shapes))] + [f'top: "{t}"' for t in tops]
        return f'name: "l" {" ".join(ends)} {self.text}'


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


def inputs(case: Case) -> dict[str, np.ndarray]:
    """Draw the bottoms; parameters and gradients are drawn by `values` as they get shapes."""
    drawn = {f"b{i}": values(f"{case.name}/b{i}", shape) for i, shape in enumerate(case.shapes)}
    if case.labels:
        drawn["b0"] = np.round(drawn["b0"] * 2) / 2  # halves, so that scores tie
        last = f"b{len(case.shapes) - 1}"
        drawn[last] = np.floor((drawn[last] + 2) / 4 * case.labels).clip(0, case.labels - 1)
        if "ignore_label" in case.text:
            drawn[last].flat[::4] = 255
    return {key: value.astype(np.float32) for key, value in drawn.items()}


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw the array of this name, within ±2; genuine Caffe's side draws the same."""
    return np.random.RandomState(zlib.crc32(name.encode())).uniform(-2, 2, shape).astype(np.float32)


def build(case: Case) -> tuple:
    """Return the layer, set up as a net does, its bottoms and its tops."""
    common.set_random_seed(SEED)
    param = text_format.Parse(case.layer_text, caffe_pb2.LayerParameter(phase=caffe_pb2.TRAIN))
    layer = create_layer(param)
    bottom = [Blob(*shape) for shape in case.shapes]
    top = [bottom[0]] if case.in_place else [Blob() for _ in range(case.tops)]
    layer.check_blobs(bottom, top)
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.set_loss_weights(top)
    layer.param_propagate_down = [True] * len(layer.blobs)
    return layer, bottom, top


def run(case: Case) -> dict[str, np.ndarray]:
    """Run a case forward twice and backward once; the arrays carry the oracle's names."""
    layer, bottom, top = build(case)
    out = {}
    for i, blob in enumerate(layer.blobs):
        out[f"filled{i}"] = blob.data.copy()
        blob.data[...], blob.diff[...] = values(f"{case.name}/p{i}", blob.shape), 3
    for _ in range(2):
        for i, blob in enumerate(bottom):
            blob.data[...] = inputs(case)[f"b{i}"]
        with common.arithmetic():
            layer.reshape(bottom, top)
            layer.forward(bottom, top)
    out.update({f"top{i}": blob.data.copy() for i, blob in enumerate(top)})
    if case.backward:
        for blob in bottom:
            blob.diff[...] = 7
        for i, blob in enumerate(top):
            blob.diff[...] = values(f"{case.name}/d{i}", blob.shape)
        with common.arithmetic():
            layer.backward(top, [layer.allow_force_backward(i) for i in range(len(bottom))], bottom)
        out.update({f"bottom_diff{i}": blob.diff.copy() for i, blob in enumerate(bottom)})
        out.update({f"param_diff{i}": blob.diff.copy() for i, blob in enumerate(layer.blobs)})
    return out

"""One layer in one setting, held against genuine Caffe: what goes in, and our side of the answer.

In:   nothing; the inputs of a case are drawn from its name.
Out:  Case; inputs(case); run(case) -> {array's name: values} as the oracle names them; relative, how far apart.
Not here: the cases (elementary_cases.py, spatial_cases.py, ...), genuine Caffe's side
      (tests/reference/record_layers.py), the comparison (test_layer_cases.py).
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
    labels: int = 0  # > 0: the last bottom holds this many classes, and 255 where the text ignores it
    backward: bool = True
    kinds: tuple[str, ...] = ()  # of the bottoms: values (±2), positive (.1 to 2.1), flags (0, 1), index:K, ties
    learn: tuple[int, ...] | None = None  # bottoms that take a gradient; None: all that force_backward gives one
    positive_params: bool = False

    @property
    def layer_text(self) -> str:
        """The LayerParameter, with bottoms b0 ... and tops t0 ...; in place t0 is b0."""
        tops = ["b0"] if self.in_place else [f"t{i}" for i in range(self.tops)]
        ends = [f'bottom: "b{i}"' for i in range(len(self.shapes))] + [f'top: "{t}"' for t in tops]
        weights = " loss_weight: 1" * self.tops if self.learn is not None and "Loss" not in self.text else ""
        return f'name: "l" {" ".join(ends)} {self.text}{weights}'


def inputs(case: Case) -> dict[str, np.ndarray]:
    """Draw the bottoms; parameters and gradients are drawn by `values` as they get shapes."""
    kinds = [*case.kinds, *["values"] * (len(case.shapes) - len(case.kinds))]
    drawn = {f"b{i}": _of_kind(values(f"{case.name}/b{i}", shape), kind)
             for i, (shape, kind) in enumerate(zip(case.shapes, kinds, strict=True))}
    if case.labels:
        drawn["b0"] = np.round(drawn["b0"] * 2) / 2  # halves, so that scores tie
        last = f"b{len(case.shapes) - 1}"
        drawn[last] = _of_kind(drawn[last], f"index:{case.labels}")
        if "ignore_label" in case.text:
            drawn[last].flat[::4] = 255
    return {key: value.astype(np.float32) for key, value in drawn.items()}


def _of_kind(drawn: np.ndarray, kind: str) -> np.ndarray:
    """Turn values within ±2 into those of a kind."""
    if kind.startswith("index:"):
        count = int(kind.split(":")[1])
        return np.floor((drawn + 2) / 4 * count).clip(0, count - 1)
    return {"values": drawn, "positive": drawn + 2.1, "flags": drawn > -1, "unit": (drawn + 2) / 4,
            "ties": np.round(drawn)}[kind]


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw the array of this name, within ±2; genuine Caffe's side draws the same."""
    return np.random.RandomState(zlib.crc32(name.encode())).uniform(-2, 2, shape).astype(np.float32)


def build(case: Case) -> tuple:
    """Return the layer, set up as a net does, its bottoms and its tops."""
    common.set_random_seed(SEED)
    param = text_format.Parse(case.layer_text, caffe_pb2.LayerParameter())
    if not param.HasField("phase"):
        param.phase = caffe_pb2.TRAIN
    layer = create_layer(param)
    bottom = [Blob(*shape) for shape in case.shapes]
    top = [bottom[0]] if case.in_place else [Blob() for _ in range(case.tops)]
    layer.check_blobs(bottom, top)
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    layer.set_loss_weights(top)
    layer.param_propagate_down = [True] * len(layer.blobs)
    return layer, bottom, top


def run(case: Case, stale: float | None = 7) -> dict[str, np.ndarray]:
    """Run a case forward twice and backward once; the arrays carry the oracle's names.

    Before backward the bottoms' diffs are `stale`, as in the oracle's run; None leaves what forward put there.
    """
    layer, bottom, top = build(case)
    out = {}
    for i, blob in enumerate(layer.blobs):
        out[f"filled{i}"] = blob.data.copy()
        given = values(f"{case.name}/p{i}", blob.shape)
        blob.data[...], blob.diff[...] = np.abs(given) if case.positive_params else given, 3
    for _ in range(2):
        for i, blob in enumerate(bottom):
            blob.data[...] = inputs(case)[f"b{i}"]
        with common.arithmetic():
            layer.reshape(bottom, top)
            layer.forward(bottom, top)
    out.update({f"top{i}": blob.data.copy() for i, blob in enumerate(top)})
    if case.backward:
        for blob in bottom if stale is not None else []:
            blob.diff[...] = stale
        for i, blob in enumerate(top):
            blob.diff[...] = values(f"{case.name}/d{i}", blob.shape)
        wanted = [layer.allow_force_backward(i) if case.learn is None else i in case.learn
                  for i in range(len(bottom))]
        with common.arithmetic():
            layer.backward(top, wanted, bottom)
        out.update({f"bottom_diff{i}": blob.diff.copy() for i, blob in enumerate(bottom)})
        out.update({f"param_diff{i}": blob.diff.copy() for i, blob in enumerate(layer.blobs)})
    return out


def relative(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest difference, relative to the largest finite value wanted; NaN and infinities must agree."""
    assert got.shape == want.shape, f"shape {got.shape}, want {want.shape}"
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    gap = np.abs(np.where(same, 0, got) - np.where(same, 0, want)).max(initial=0)
    return float(gap / max(np.abs(want[np.isfinite(want)]).max(initial=0), 1e-30))

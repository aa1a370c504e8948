"""Build one layer without a net, and check its gradients by finite differences.

In:   the text of a LayerParameter and the bottoms as arrays (or Blobs, to share one between layers).
Out:  make_layer -> (layer, bottoms, tops); forward, backward; check_gradient, which raises AssertionError.
Not here: which layers are checked. Source: BVLC test_gradient_check_util.hpp (step 1e-2, threshold 1e-3).
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from google.protobuf import text_format

from caffe._caffe import common
from caffe._caffe.blob import Blob
from caffe._caffe.layer_factory import create_layer
from caffe.proto import caffe_pb2

STEP = 1e-2
THRESHOLD = 1e-3


def make_layer(text, bottoms, phase=common.TRAIN, params=None):
    """Set a layer up as a net does.

    Args:
        text: a LayerParameter; a `top` of the same name as the bottom at its place runs in place; without
            any `top` the layer gets the least number it takes.
        bottoms: arrays (copied into new blobs) or Blobs (used as they are).
        phase: used where the text gives none.
        params: arrays to put into the layer's parameter blobs, or None.

    Returns:
        The layer, its bottom blobs, its top blobs.
    """
    param = text_format.Parse(text, caffe_pb2.LayerParameter())
    if not param.HasField("phase"):
        param.phase = phase
    layer = create_layer(param)
    bottom = [_blob(value) for value in bottoms]
    names = list(param.top)
    equal = len(bottom) if layer.equal_num_bottom_top else 1
    count = len(names) or layer.exact_num_top or max(equal, layer.min_num_top or 1)
    shared = dict(zip(param.bottom, bottom, strict=False))
    top = [shared.get(names[i]) or Blob() if i < len(names) else Blob() for i in range(count)]
    with torch.no_grad():
        layer.check_blobs(bottom, top)
        layer.setup(bottom, top)
        layer.reshape(bottom, top)
        layer.set_loss_weights(top)
    rates = [spec.lr_mult for spec in param.param] + [1.0] * len(layer.blobs)
    layer.param_propagate_down = [rate != 0 for rate in rates[: len(layer.blobs)]]
    for blob, value in zip(layer.blobs, params or [], strict=False):
        blob.data[...] = value
    return layer, bottom, top


def forward(layer, bottom, top):
    """Reshape and run forward, as a net does; returns copies of the tops' data."""
    with common.arithmetic():
        layer.reshape(bottom, top)
        layer.forward(bottom, top)
    return [blob.data.copy() for blob in top]


def backward(layer, top, propagate, bottom, top_diffs=None):
    """Run backward from these top diffs (None: as they are); returns copies of bottom and parameter diffs."""
    for blob, value in zip(top, top_diffs or [], strict=False):
        blob.diff[...] = value
    with common.arithmetic():
        layer.backward(top, propagate, bottom)
    return [blob.diff.copy() for blob in bottom], [blob.diff.copy() for blob in layer.blobs]


def check_gradient(text, bottoms, *, propagate=None, kinks=None, seed=1701, phase=common.TRAIN, params=None,
                   step=STEP, threshold=THRESHOLD):
    """Compare backward with two-sided differences of a random weighted sum of the tops.

    Also checks that bottom diffs are overwritten and parameter diffs are added to.

    Args:
        text: a LayerParameter; it must not run in place.
        bottoms: arrays, float32.
        propagate: a bool per bottom; None asks the layer's allow_force_backward.
        kinks: (place, range): values v with | |v| - place | < range are left out, as a difference over a
            kink says nothing; None leaves none out.
        seed: of the weights of the sum, and of the parameters where `params` is None.
        phase: used where the text gives none.
        params: arrays for the parameter blobs; None draws them from a unit Gaussian.
        step: of the differences.
        threshold: on |difference| / max(1, |either|).

    Raises:
        AssertionError: naming the array, the place and both numbers.
    """
    rng = np.random.default_rng(seed)
    layer, bottom, top = make_layer(text, bottoms, phase, params)
    if params is None:
        for blob in layer.blobs:
            blob.data[...] = rng.normal(size=blob.shape)
    if propagate is None:
        propagate = [layer.allow_force_backward(i) for i in range(len(bottom))]

    def run():
        common.set_random_seed(seed)  # the same dropout mask each time
        return forward(layer, bottom, top)

    is_loss = any(layer.loss_weights)
    weights = [np.full(t.shape, 2.0) if is_loss else rng.uniform(-1, 1, t.shape) for t in run()]

    def objective():
        return sum(float(np.sum(w * t.astype(np.float64))) for w, t in zip(weights, run(), strict=True))

    run()
    for blob in bottom:
        blob.diff[...] = 7.0  # must be overwritten
    for blob in layer.blobs:
        blob.diff[...] = 3.0  # must be added to
    bottom_diffs, param_diffs = backward(layer, top, propagate, bottom, weights)
    checked = [(f"bottom[{i}]", bottom[i], bottom_diffs[i]) for i in range(len(bottom)) if propagate[i]]
    checked += [(f"blobs[{i}]", blob, diff - 3.0)
                for i, (blob, diff) in enumerate(zip(layer.blobs, param_diffs, strict=True))
                if layer.param_propagate_down[i]]
    if not checked:
        warnings.warn(f"check_gradient: nothing to check in {layer.name!r}", stacklevel=2)
    for label, blob, computed in checked:
        _compare(label, blob, computed, objective, kinks, step, threshold)


def _compare(label, blob, computed, objective, kinks, step, threshold):
    values, gradient = blob.data.reshape(-1), computed.reshape(-1)
    for i in range(values.size):
        value = values[i]
        if kinks is not None and abs(abs(value) - kinks[0]) < kinks[1]:
            continue
        values[i] = value + step
        above, up = objective(), values[i]
        values[i] = value - step
        below, down = objective(), values[i]
        values[i] = value
        estimated = (above - below) / (float(up) - float(down))
        scale = max(1.0, abs(estimated), abs(gradient[i]))
        assert abs(estimated - gradient[i]) <= threshold * scale, (
            f"{label} at {np.unravel_index(i, blob.shape)} (value {value:g}): backward {gradient[i]:.6g}, "
            f"difference {estimated:.6g}")


def _blob(value):
    if isinstance(value, Blob):
        return value
    array = np.asarray(value, dtype=np.float32)
    blob = Blob(*array.shape)
    blob.data[...] = array
    return blob

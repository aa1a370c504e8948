"""Floating-point operations of a layer's forward pass, from its shapes alone.

In:   a layer with the blobs below and above it, shaped.
Out:  a number; a multiplication with an addition counts as two.
Not here: time (benchmark). Convolutions count as Caffe computes them, with every product with zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from .._caffe.blob import Blob
from .._caffe.layer import Layer

Blobs = Sequence[Blob]
# these move or rename values and compute none
_MOVERS = {"BatchReindex", "Concat", "Crop", "Data", "DummyData", "Embed", "Filter", "Flatten", "HDF5Data",
           "HDF5Output", "Im2col", "ImageData", "Input", "MemoryData", "Parameter", "Python", "Reshape", "Silence",
           "Slice", "Split", "Tile", "WindowData"}


def flops(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    """Return the operations of one forward pass; a Python layer counts as none, as what it does is unknown."""
    if layer.type in _MOVERS:
        return 0
    if layer.type in _COUNTS:
        return _COUNTS[layer.type](layer, bottom, top)
    # elementwise layers, softmax and losses: one operation per value of the larger side
    return max(sum(blob.count for blob in bottom), sum(blob.count for blob in top))


def _convolution(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    """Each output position takes every weight once."""
    return _products(layer, top) + _biases(layer, top)


def _deconvolution(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    """Each input position takes every weight once."""
    return _products(layer, bottom) + _biases(layer, top)


def _products(layer: Layer, blobs: Blobs) -> int:
    axis = layer.channel_axis  # type: ignore[attr-defined]  # of BaseConvolutionLayer
    return sum(2 * layer.blobs[0].count * prod(blob.shape[:axis]) * prod(blob.shape[axis + 1:]) for blob in blobs)


def _biases(layer: Layer, top: Blobs) -> int:
    return sum(blob.count for blob in top) if len(layer.blobs) > 1 else 0


def _inner_product(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    rows = top[0].count // max(1, layer.layer_param.inner_product_param.num_output)
    return 2 * layer.blobs[0].count * rows + _biases(layer, top)


def _recurrent(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    """Each weight once per time step and stream."""
    return sum(2 * blob.count for blob in layer.blobs if len(blob.shape) == 2) * prod(bottom[0].shape[:2])


def _pooling(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    param = layer.layer_param.pooling_param
    if param.global_pooling:
        return bottom[0].count
    height = param.kernel_h if param.HasField("kernel_h") else param.kernel_size
    width = param.kernel_w if param.HasField("kernel_w") else param.kernel_size
    return top[0].count * height * width


def _lrn(layer: Layer, bottom: Blobs, top: Blobs) -> int:
    param = layer.layer_param.lrn_param
    window = param.local_size ** (2 if param.norm_region == param.WITHIN_CHANNEL else 1)
    return top[0].count * (2 * window + 2)  # squares and sums, a power, a product


_COUNTS: dict[str, Callable[[Layer, Blobs, Blobs], int]] = {
    "Convolution": _convolution, "Deconvolution": _deconvolution, "InnerProduct": _inner_product,
    "LSTM": _recurrent, "RNN": _recurrent, "Pooling": _pooling, "LRN": _lrn,
}

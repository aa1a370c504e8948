"""Weights of a size that real ones have: values neither vanish nor grow through the depth.

In:   a net's name, or a net in TEST with an input in it.
Out:  a caffemodel, or the net filled: weights by the size of what they sum, BatchNorm's statistics from a pass, a
      little off.
Not here: fillers, which would take most of the time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import caffe
from bench.architectures import draft

# of a Scale, on average: around 0, each BatchNorm under a ReLU would let a rounding grow by a fifth
SHIFT = 0.5
SUMMED = 999.982  # blobs[2] of a BatchNorm that has seen many batches: the statistics are stored times this


def write(name: str, batch: int, path: Path) -> caffe.Net:
    """Write weights of a net, those of heads that only training has among them; returns the net filled."""
    written = draft(name, batch=batch, train=True, fillers=False)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "net.prototxt"
        text.write_text(written.text())
        net = caffe.Net(str(text), caffe.TEST)
    for blob, values in written.arrays().items():
        net.blobs[blob].data[...] = values
    fill(net)
    net.save(str(path))
    return net


def fill(net: caffe.Net, seed: int = 1) -> None:
    """Fill all weights, and BatchNorm's statistics by a pass with what the inputs hold."""
    rng = np.random.default_rng(seed)
    for index, (name, layer) in enumerate(zip(net._layer_names, net.layers)):
        if layer.type == "BatchNorm":
            observe(layer.blobs, net.blobs[net.bottom_names[name][0]].data, rng)
        elif len(layer.blobs) and name in net.params:
            draw(layer, rng)
        net._forward(index, index)


def draw(layer, rng: np.random.Generator) -> None:
    """Fill one layer's weights."""
    blobs = [blob.data for blob in layer.blobs]
    if layer.type == "Scale":
        blobs[0][...] = rng.uniform(0.5, 1.5, blobs[0].shape)
    elif layer.type == "PReLU":
        blobs[0][...] = rng.uniform(0.1, 0.4, blobs[0].shape)
    elif layer.type in ("LSTM", "Embed"):
        for values in blobs:
            values[...] = rng.uniform(-0.08, 0.08, values.shape)
        return
    else:
        rng.standard_normal(out=blobs[0], dtype=np.float32)
        blobs[0][...] *= np.float32(np.sqrt((2 if layer.type == "Convolution" else 1) / blobs[0][0].size))
    for bias in blobs[1:]:
        bias[...] = rng.normal(SHIFT if layer.type == "Scale" else 0, 0.1, bias.shape)


def observe(blobs, values: np.ndarray, rng: np.random.Generator) -> None:
    """Store statistics of these values as training leaves them: a little off, and times their count."""
    axes = (0, *range(2, values.ndim))
    mean, var = values.mean(axes, np.float64), values.var(axes, np.float64)
    var = var + 1e-3 * var.mean()  # a channel that is the same everywhere stays of a sane size
    mean += 0.1 * np.sqrt(var) * rng.standard_normal(mean.shape)
    blobs[0].data[...] = SUMMED * mean
    blobs[1].data[...] = SUMMED * var * rng.uniform(0.8, 1.25, var.shape)
    blobs[2].data[...] = SUMMED

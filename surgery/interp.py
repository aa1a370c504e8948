"""Bilinear kernels for upsampling layers: upsample_filt, interp.

In:   a kernel size; a net of public pycaffe and the names of its Deconvolution layers.
Out:  the kernel; the net with its kernels filled in place, and a Report.
Not here: copying between nets (transplant.py); Caffe's own `bilinear` filler, which fills every
      pair of
channels and so is right for grouped layers only.
Source: surgery.py of the FCN release, whose names and signatures these are.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import caffe
from surgery.report import Operation, Report, SurgeryError


def upsample_filt(size: int) -> np.ndarray:
    """Make the 2-D bilinear kernel that upsamples by (size + 1) // 2.

    Args:
        size: side of the kernel, 1 or more; released nets use 64, 63, 32, 16 and 4.

    Returns:
        (size, size) float64, values in (0, 1]; symmetric.
    """
    if int(size) != size or size < 1:
        raise SurgeryError(f"upsample_filt: size {size!r}; it takes a whole number from 1 up")
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    ramp = 1 - np.abs(np.arange(size) - centre) / factor  # (size,)
    return np.outer(ramp, ramp)


def interp(net: caffe.Net, layers: Iterable[str]) -> Report:
    """Fill upsampling layers with bilinear kernels, so that each channel is upsampled by itself.

    The weights (m, k, h, w) of a layer must have h = w and either m = k (no `group`: the kernel
    goes to [i, i], what lies off the diagonal stays as it is) or k = 1 (`group: m`: it goes to [i,
    0]).

    Args:
        net: its parameters are changed in place.
        layers: names of layers, usually those with `up` in them.

    Returns:
        Report with one operation `filling` a layer.

    Raises:
        SurgeryError: unknown layer or other shape; nothing is changed then.
    """
    if isinstance(layers, str):
        raise SurgeryError(f"interp: layers is the text '{layers}'; it takes a list of names: "
                           f"['{layers}']")
    report, blobs = Report(), []
    for layer in layers:
        shape = _checked_shape(net, layer)
        report.operations.append(Operation(
            "filling", layer, 0, note=f"bilinear {shape[2]}x{shape[3]}, {shape[0]} channels"))
        blobs.append(net.params[layer][0].data)
    for weights in blobs:
        m, k, size, _ = weights.shape
        channel = np.arange(m)
        weights[channel, channel if m == k else 0] = upsample_filt(size)
    return report


def _checked_shape(net: caffe.Net, layer: str) -> tuple:
    """Return the shape of a layer's weights, or say why it cannot upsample."""
    if layer not in net.params:
        raise SurgeryError(f"interp: layer '{layer}' has no parameters in this net; "
                           f"layers that have: {', '.join(net.params) or 'none'}")
    shape = net.params[layer][0].data.shape
    if len(shape) != 4:
        raise SurgeryError(f"interp: layer '{layer}' has weights of shape {shape}; "
                           f"it takes a Deconvolution with weights (m, k, h, w)")
    m, k, height, width = shape
    if m != k and k != 1:
        raise SurgeryError(f"interp: layer '{layer}' has weights of shape {shape}: input and "
                           f"output channels need to be the same ({m} and {k}), or the layer needs "
                           f"group {m}")
    if height != width:
        raise SurgeryError(f"interp: layer '{layer}' has a kernel of {height}x{width}; it must be "
                           f"square")
    return shape

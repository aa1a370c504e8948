"""Notice a dead net: why every pixel gets the same class, the question users ask most.

In:   a net of public pycaffe after a forward pass.
Out:  findings, each a sentence with the likely cause and the remedy; none for a living net.
Not here: printing, stopping (score.py, infer.py).
Source: the FCN release's frequently asked questions; the fingerprint is a loss that stays at ln K a
      pixel.
"""

from __future__ import annotations

import numpy as np

import caffe
from surgery.report import SurgeryError

UPSAMPLING = "Deconvolution"
ENOUGH_PIXELS = 1024  # a picture of fewer pixels may well have the same scores everywhere


def diagnose(net: caffe.Net, layer: str = "score") -> list[str]:
    """Look for what makes a net give one class everywhere.

    Args:
        net: forward has been run, so that `layer` has its scores.
        layer: blob of scores, (N, K, H, W).

    Returns:
        Findings, the most telling first; empty where nothing is wrong.

    Raises:
        SurgeryError: the net has no such blob.
    """
    if layer not in net.blobs:
        known = [name for name in net.blobs if "_split_" not in name]
        raise SurgeryError(f"diagnose: the net has no blob '{layer}'; it has {', '.join(known)}")
    return _of_weights(net) + _of_scores(net.blobs[layer].data, layer)


def _of_weights(net: caffe.Net) -> list[str]:
    """Look for layers whose weights are zero or not numbers."""
    zero: list[str] = []
    broken: list[str] = []
    upsampling: list[str] = []
    for name, blobs in net.params.items():
        low, high = _range(blobs[0].data)
        if not all(np.isfinite(_range(blob.data)).all() for blob in blobs):
            broken.append(name)
        elif low == high == 0:
            (upsampling if net.layer_dict[name].type == UPSAMPLING else zero).append(name)
    learned = [name for name in net.params if net.layer_dict[name].type != UPSAMPLING]
    findings = []
    if broken:
        findings.append(f"{_layers(broken)}: weights hold NaN or infinity; training has diverged; "
                        f"go back to an earlier snapshot with a lower base_lr, or set "
                        f"clip_gradients")
    if zero and len(zero) == len(learned):
        findings.append("all weights of the net are zero; no caffemodel was loaded, or none of its "
                        "layer names is in this net; give the caffemodel that belongs to this "
                        "prototxt")
    elif zero:
        findings.append(f"{_layers(zero)}: all weights are zero; the caffemodel has no layer of "
                        f"this name, or the layer was never trained (lr_mult 0, or no iteration "
                        f"yet); check the names, then train")
    if upsampling:
        findings.append(f"{_layers(upsampling)}: upsampling kernels are zero, so that every score "
                        f"is zero; surgery.interp(net, layers) was not run before training or is "
                        f"not in this caffemodel; run it on the layers with `up` in their name")
    return findings


def _of_scores(scores: np.ndarray, layer: str) -> list[str]:
    """Look at the scores themselves."""
    low, high = _range(scores)
    if not np.isfinite([low, high]).all():
        return [f"blob '{layer}' holds NaN or infinity; training has diverged, or the image had "
                f"such values; go back to an earlier snapshot with a lower base_lr, and check mean "
                f"and scale"]
    if low == high:
        return [f"blob '{layer}' is {low:g} everywhere, so that every pixel gets class 0; weights "
                f"or upsampling kernels are not initialised; load the trained caffemodel, and run "
                f"surgery.interp"]
    if scores.ndim == 4 and scores[0, 0].size >= ENOUGH_PIXELS:
        if (scores == scores[:, :, :1, :1]).all():
            return [f"blob '{layer}' is the same in every pixel: no picture, or no feature, comes "
                    f"through to it (dead ReLUs after too high a base_lr, zero weights below, or "
                    f"an image of one colour); check the image, its mean and scale, then the "
                    f"snapshot before"]
    return []


def _range(array: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value; NaN where there is one."""
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def _layers(names: list[str], most: int = 6) -> str:
    """Write `layer 'a'` or `layers 'a', 'b'`."""
    listed = ", ".join(f"'{name}'" for name in names[:most])
    return ("layers " if len(names) > 1 else "layer ") + listed + (", ..." if names[most:] else "")

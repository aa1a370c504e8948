"""Start convolutions near the identity, so that a slim VGG trains from scratch in minutes.

In:   a net of public pycaffe and the names of convolutions that keep their number of channels.
Out:  the net with these weights filled in place, and a Report.
Not here: Caffe's fillers (weight_filler in the prototxt serves all other layers).
Source: `msra` is He et al. 2015 as in Caffe's filler.hpp (standard deviation sqrt(2 / fan_in)).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import caffe
from surgery.report import Operation, Report, SurgeryError


def identity_plus(net: caffe.Net, layers: Iterable[str], gain: float = 0.35,
                  seed: int = 0) -> Report:
    """Fill convolutions with the identity plus `gain` times msra noise; biases stay as they are.

    Args:
        net: its parameters are changed in place.
        layers: Convolution layers without group, as many outputs as inputs, odd square kernel.
        gain: weight of the noise, 0 for the bare identity.
        seed: of the noise; one sequence over the layers in the given order, the same on every
            machine.

    Returns:
        Report with one operation `filling` a layer.

    Raises:
        SurgeryError: a layer is unknown or changes the number of channels; nothing is changed then.
    """
    if isinstance(layers, str):
        raise SurgeryError(f"identity_plus: layers is the text '{layers}'; it takes a list: "
                           f"['{layers}']")
    rng, report, fills = np.random.RandomState(seed), Report(), []
    for layer in layers:
        if layer not in net.params:
            raise SurgeryError(f"identity_plus: layer '{layer}' has no parameters in this net; "
                               f"layers that have: {', '.join(net.params) or 'none'}")
        weights = net.params[layer][0].data
        if not _keeps_width(weights):
            raise SurgeryError(f"identity_plus: layer '{layer}' has weights of shape "
                               f"{weights.shape}; it takes (m, m, k, k) with an odd k; leave other "
                               f"layers to their weight_filler")
        m, fan_in, size = weights.shape[0], weights[0].size, weights.shape[2]
        filled = gain * rng.normal(0.0, np.sqrt(2.0 / fan_in), weights.shape)  # (m, m, k, k)
        filled[np.arange(m), np.arange(m), size // 2, size // 2] += 1.0
        fills.append((weights, filled))
        report.operations.append(Operation("filling", layer, 0, note=f"identity + {gain:g} msra"))
    for weights, filled in fills:
        weights[...] = filled
    return report


def layers_keeping_width(net: caffe.Net) -> list[str]:
    """Name the layers that identity_plus takes: weights (m, m, k, k) with an odd k from 3 up."""
    return [layer for layer, blobs in net.params.items()
            if net.layer_dict[layer].type == "Convolution"
            and _keeps_width(blobs[0].data) and blobs[0].data.shape[2] > 1]


def _keeps_width(weights: np.ndarray) -> bool:
    """Whether weights map m channels on m channels with an odd square kernel."""
    shape = weights.shape
    return len(shape) == 4 and shape[0] == shape[1] and shape[2] == shape[3] and shape[2] % 2 == 1

"""Fillers: the first values of parameters and of dummy data.

In:   a Blob and a FillerParameter; random numbers come from the process's generator (common.rng).
Out:  blob.data filled, on the CPU whatever the mode, bit for bit as Caffe does with the same seed.
Not here: which blob gets which filler (layers), upsampling weights by surgery.
Source: BVLC filler.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .blob import Blob
from .common import rng
from .errors import CaffeError

_FAN_IN, _FAN_OUT, _AVERAGE = 0, 1, 2
_F32 = np.float32


def fill(blob: Blob, filler_param: Any) -> None:
    """Fill `blob.data` as a FillerParameter says.

    Args:
        blob: any shape with at least one value (bilinear: 4 axes, square).
        filler_param: type constant, uniform, gaussian, positive_unitball, xavier, msra or bilinear.

    Raises:
        CaffeError: an unknown type, an empty blob, a shape or a value the filler cannot use,
            `sparse` where it is not supported.
    """
    kind = filler_param.type
    if kind not in FILLERS:
        raise CaffeError(f"Unknown filler name: {kind}; known are {', '.join(sorted(FILLERS))}")
    if not blob.count:
        raise _error(kind, f"got a blob of shape {blob.shape} without values, want count > 0")
    if kind != "gaussian" and filler_param.sparse != -1:
        raise _error(kind, "Sparsity not supported by this Filler.: got sparse "
                           f"{filler_param.sparse}; remove it or use type gaussian")
    FILLERS[kind](blob, filler_param)


def _constant(blob: Blob, param: Any) -> None:
    blob.fill_data(param.value)


def _uniform(blob: Blob, param: Any) -> None:
    if not param.min <= param.max:
        raise _error("uniform", f"got min {param.min:g}, max {param.max:g}, want min <= max")
    rng().uniform(param.min, param.max, blob.count, blob.data)


def _gaussian(blob: Blob, param: Any) -> None:
    if not param.std > 0:
        raise _error("gaussian", f"got std {param.std:g}, want std > 0; "
                                 "use type constant for equal values")
    if param.sparse < -1:
        raise _error("gaussian", f"got sparse {param.sparse}, want -1 (none) or more")
    data = blob.data
    if param.sparse < 0:
        rng().gaussian(param.mean, param.std, blob.count, data)
        return
    # Caffe: sparse is the expected number of non-zero weights of one output, hence / shape[0].
    outputs = blob.shape[0] if blob.shape else 0
    if not param.sparse <= outputs:
        raise _error("gaussian", f"got sparse {param.sparse} for shape {blob.shape}, "
                                 f"want 0 to shape[0] = {outputs}")
    rng().gaussian(param.mean, param.std, blob.count, data)
    data *= rng().bernoulli(_F32(param.sparse) / _F32(outputs), blob.count).reshape(blob.shape)


def _positive_unitball(blob: Blob, param: Any) -> None:
    rows = blob.data.reshape(_shape0("positive_unitball", blob), -1)
    rng().uniform(0, 1, blob.count, rows)
    for row in rows:
        row /= np.add.accumulate(row)[-1]  # Caffe: summed one by one in single precision


def _xavier(blob: Blob, param: Any) -> None:
    scale = np.sqrt(_F32(3) / _fan("xavier", blob, param))
    rng().uniform(-scale, scale, blob.count, blob.data)


def _msra(blob: Blob, param: Any) -> None:
    std = np.sqrt(_F32(2) / _fan("msra", blob, param))
    rng().gaussian(0, std, blob.count, blob.data)


def _bilinear(blob: Blob, param: Any) -> None:
    if len(blob.shape) != 4:
        raise _error("bilinear", f"Blob must be 4 dim.: got shape {blob.shape}")
    height, width = blob.shape[2:]
    if height != width:
        raise _error("bilinear", f"Filter must be square: got {height} x {width}")
    f = (width + 1) // 2
    centre = _F32((width - 1) / (2.0 * f))
    side = 1 - np.abs(np.arange(width, dtype=_F32) / _F32(f) - centre)
    blob.data[...] = side[:, None] * side


FILLERS: dict[str, Callable[[Blob, Any], None]] = {
    "constant": _constant, "uniform": _uniform, "gaussian": _gaussian, "xavier": _xavier,
    "positive_unitball": _positive_unitball, "msra": _msra, "bilinear": _bilinear,
}


def _fan(kind: str, blob: Blob, param: Any) -> np.float32:
    """Return the n of xavier and msra: inputs, outputs or their average, by variance_norm."""
    fan_in = blob.count // _shape0(kind, blob)
    # Caffe: count / shape(1) counts as outputs; for one axis it is the whole blob.
    fan_out = blob.count // blob.shape[1] if len(blob.shape) > 1 else blob.count
    if param.variance_norm == _AVERAGE:
        return _F32(fan_in + fan_out) / _F32(2)
    return _F32(fan_out if param.variance_norm == _FAN_OUT else fan_in)


def _shape0(kind: str, blob: Blob) -> int:
    if not blob.shape:
        raise _error(kind, "got a scalar blob, want at least one axis")
    return blob.shape[0]


def _error(kind: str, text: str) -> CaffeError:
    return CaffeError(f"filler '{kind}': {text}")

"""A loss that is nan or infinite: which layer made it, reported once, and the switch to stop there.

In:   a net that has just run forward, its loss and where the training is.
Out:  a RuntimeWarning, or with CAFFE_STOP_ON_NAN=1 in the environment a SolverError.
Not here: when to check (solver).
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

import torch

from ..errors import SolverError

if TYPE_CHECKING:
    from ..blob import Blob
    from ..net.net import Net


def stops() -> bool:
    """Return whether training stops at the first such loss, and so must check each one before continuing."""
    return os.environ.get("CAFFE_STOP_ON_NAN", "0") not in ("", "0")


def report(net: Net, loss: float, iteration: int, base_lr: float, now: int) -> None:
    """Warn, in the name of whoever called the engine; `now` is the iteration in which the loss was checked.

    Raises:
        SolverError: CAFFE_STOP_ON_NAN is set; the weights are those before this iteration.
    """
    when = "" if now == iteration else f"at iteration {now}, when it was checked, "
    text = f"iteration {iteration}: the loss is {loss}; {when}{first_layer(net)}. "
    why = (f"Likely cause: base_lr {base_lr:g} is too high for this loss (a loss summed over pixels needs a tiny one); "
           "otherwise bad input or weights")
    if stops():
        raise SolverError(f"{text}{why}. Stopped, as CAFFE_STOP_ON_NAN asks")
    # DEVIATION D15: Caffe continues silently
    warnings.warn(f"{text}Training continues but is useless; CAFFE_STOP_ON_NAN=1 stops it here. {why}", RuntimeWarning,
                  stacklevel=_depth())


def _depth() -> int:
    """Return the stack level, seen from the caller, of the first function outside the engine."""
    here = os.path.dirname(os.path.dirname(__file__))
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame, depth = frame.f_back, depth + 1
    return depth


def first_layer(net: Net) -> str:
    """Return which layer is the first with a value that is not finite, and where."""
    for node in net.wiring.nodes:
        layer = node.layer
        for i, blob in enumerate(layer.blobs):
            if not _finite(blob):
                return f"parameter {i} of layer '{layer.name}' ({layer.type}) is the first that holds nan or inf"
        for blob, name in zip(node.tops, net.wiring.names_of(node.top_ids), strict=True):
            if not _finite(blob):
                return f"layer '{layer.name}' ({layer.type}) is the first that made nan or inf, in its top '{name}'"
    return "all blobs are finite; their sum is not"


def _finite(blob: Blob) -> bool:
    return bool(torch.isfinite(blob.read_data()).all())

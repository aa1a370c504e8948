"""A loss that is nan or infinite: which layer made it, said once, and the switch to stop there.

In:   a net that has just run forward, its loss and where the training is.
Out:  a RuntimeWarning, or with CAFFE_STOP_ON_NAN=1 in the environment a SolverError.
Not here: when it is looked for (solver).
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
    """Tell whether a training is to stop at the first such loss, and so must look at each before it goes on."""
    return os.environ.get("CAFFE_STOP_ON_NAN", "0") not in ("", "0")


def report(net: Net, loss: float, iteration: int, base_lr: float, now: int) -> None:
    """Warn, in the name of whoever called the engine; `now` is the iteration in which the loss was looked at.

    Raises:
        SolverError: CAFFE_STOP_ON_NAN is set; the weights are those of before this iteration.
    """
    when = "" if now == iteration else f"at iteration {now}, when it was looked at, "
    text = f"iteration {iteration}: the loss is {loss}; {when}{first_layer(net)}. "
    why = (f"Likely cause: base_lr {base_lr:g} is too high for this loss (a loss summed over pixels wants a tiny one); "
           "else bad input or weights")
    if stops():
        raise SolverError(f"{text}{why}. Stopped, as CAFFE_STOP_ON_NAN asks")
    # DEVIATION D15: Caffe goes on without a word
    warnings.warn(f"{text}The training goes on to no use; CAFFE_STOP_ON_NAN=1 stops it here. {why}", RuntimeWarning,
                  stacklevel=_depth())


def _depth() -> int:
    """Return the stack level, seen from the caller, of the first function outside the engine."""
    here = os.path.dirname(os.path.dirname(__file__))
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame, depth = frame.f_back, depth + 1
    return depth


def first_layer(net: Net) -> str:
    """Say which layer is the first with a number that is not finite, and where it has it."""
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

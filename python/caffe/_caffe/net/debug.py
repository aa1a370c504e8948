"""The lines `debug_info: true` prints while a net runs: mean absolute values of blobs and parameters.

In:   a net's wiring and the index of the layer that just ran; its learnable parameters.
Out:  log lines. Not here: the solver's [Update] lines. Source: BVLC net.cpp, ForwardDebugInfo, BackwardDebugInfo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .. import log

if TYPE_CHECKING:
    from ..blob import Blob
    from .wiring import Wiring


def _mean(tensor: torch.Tensor) -> str:
    return f"{float(tensor.abs().mean()) if tensor.numel() else 0.0:g}"


def forward(wiring: Wiring, layer_id: int) -> None:
    """Print the mean absolute data of a layer's tops and parameters."""
    node = wiring.nodes[layer_id]
    for blob, name in zip(node.tops, wiring.names_of(node.top_ids), strict=True):
        log.info(f"    [Forward] Layer {node.name}, top blob {name} data: {_mean(blob.read_data())}", "net.cpp:562")
    for param_id, blob in enumerate(node.layer.blobs):
        display = wiring.parameter(layer_id, param_id).display_name
        log.info(f"    [Forward] Layer {node.name}, param blob {display} data: {_mean(blob.read_data())}",
                 "net.cpp:574")


def backward(wiring: Wiring, layer_id: int) -> None:
    """Print the mean absolute diff of a layer's bottoms and parameters that were computed."""
    node = wiring.nodes[layer_id]
    for blob, name, needed in zip(node.bottoms, wiring.names_of(node.bottom_ids), node.bottom_need_backward,
                                  strict=True):
        if needed:
            log.info(f"    [Backward] Layer {node.name}, bottom blob {name} diff: {_mean(blob.read_diff())}",
                     "net.cpp:590")
    for param_id, (blob, needed) in enumerate(zip(node.layer.blobs, node.layer.param_propagate_down, strict=True)):
        if needed:
            log.info(f"    [Backward] Layer {node.name}, param blob {param_id} diff: {_mean(blob.read_diff())}",
                     "net.cpp:601")


def norms(params: Sequence[Blob]) -> None:
    """Print L1 and L2 norms of all learnable parameters, once per whole backward pass."""
    data = [blob.read_data() for blob in params]
    diff = [blob.read_diff() for blob in params]
    l1 = [sum(float(t.abs().sum()) for t in tensors) for tensors in (data, diff)]
    l2 = [sum(float(t.square().sum()) for t in tensors) ** 0.5 for tensors in (data, diff)]
    log.error(f"    [Backward] All net params (data, diff): L1 norm = ({l1[0]:g}, {l1[1]:g}); "
              f"L2 norm = ({l2[0]:g}, {l2[1]:g})", "net.cpp:640")

"""The lines `debug_info: true` prints while a net runs: mean absolute values of blobs and parameters.

In:   a Net and the index of the layer that just ran.
Out:  log lines. Not here: the solver's [Update] lines. Source: BVLC net.cpp, ForwardDebugInfo, BackwardDebugInfo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .. import log

if TYPE_CHECKING:
    from .net import Net


def _mean(tensor: torch.Tensor) -> str:
    return f"{float(tensor.abs().mean()) if tensor.numel() else 0.0:g}"


def forward(net: Net, layer_id: int) -> None:
    """Print the mean absolute data of a layer's tops and parameters."""
    w, name = net._w, net._w.layer_names[layer_id]
    for blob, blob_id in zip(w.top_vecs[layer_id], w.top_ids[layer_id], strict=True):
        log.info(f"    [Forward] Layer {name}, top blob {w.blob_names[blob_id]} data: {_mean(blob.read_data())}",
                 "net.cpp:562")
    for param_id, blob in enumerate(w.layers[layer_id].blobs):
        display = w.param_display_names[w.param_layer_ids.index((layer_id, param_id))]
        log.info(f"    [Forward] Layer {name}, param blob {display} data: {_mean(blob.read_data())}", "net.cpp:574")


def backward(net: Net, layer_id: int) -> None:
    """Print the mean absolute diff of a layer's bottoms and parameters that were computed."""
    w, name = net._w, net._w.layer_names[layer_id]
    for blob, blob_id, needed in zip(w.bottom_vecs[layer_id], w.bottom_ids[layer_id],
                                     w.bottom_need_backward[layer_id], strict=True):
        if needed:
            log.info(f"    [Backward] Layer {name}, bottom blob {w.blob_names[blob_id]} diff: "
                     f"{_mean(blob.read_diff())}", "net.cpp:590")
    layer = w.layers[layer_id]
    for param_id, (blob, needed) in enumerate(zip(layer.blobs, layer.param_propagate_down, strict=True)):
        if needed:
            log.info(f"    [Backward] Layer {name}, param blob {param_id} diff: {_mean(blob.read_diff())}",
                     "net.cpp:601")


def norms(net: Net) -> None:
    """Print L1 and L2 norms of all learnable parameters, once per whole backward pass."""
    data = [blob.read_data() for blob in net.learnable_params]
    diff = [blob.read_diff() for blob in net.learnable_params]
    l1 = [sum(float(t.abs().sum()) for t in tensors) for tensors in (data, diff)]
    l2 = [sum(float(t.square().sum()) for t in tensors) ** 0.5 for tensors in (data, diff)]
    log.error(f"    [Backward] All net params (data, diff): L1 norm = ({l1[0]:g}, {l1[1]:g}); "
              f"L2 norm = ({l2[0]:g}, {l2[1]:g})", "net.cpp:640")

"""Gradients that Caffe's sharing of memory loses: Flatten after a layer whose top shares its bottom's diff.

In:   a built net's wiring.
Out:  a warning that names the two layers.
Not here: the sharing itself (layers/flatten.py, reshape.py, concat.py, slice.py, parameter.py).
Source: BVLC flatten_layer.cpp, Backward: the bottom's diff becomes the top's, so what shared memory with it is cut off.
"""

from __future__ import annotations

from .. import log
from .wiring import Node, Wiring

_SHARE = ("Reshape", "Concat", "Slice", "Parameter")  # Concat of one bottom, Slice of one top


def warn(wiring: Wiring) -> None:
    """Log a warning for each Flatten below which no gradient arrives."""
    maker: dict[int, Node] = {}
    for node in wiring.nodes:
        if node.layer.type == "Flatten" and node.need_backward and any(node.bottom_need_backward):
            below = maker.get(node.bottom_ids[0])
            if below is not None and _shares_diff(below):
                log.warning(f"layer '{node.name}' (Flatten): no gradient gets through '{below.name}' "
                            f"({below.layer.type}), as in Caffe: the two share memory, and backward replaces that "
                            f"of its bottom. Use one Reshape (shape {{ dim: 0 dim: -1 }}) in place of Flatten",
                            "flatten_layer.cpp:35")
        maker.update(dict.fromkeys(node.top_ids, node))


def _shares_diff(node: Node) -> bool:
    return node.layer.type in _SHARE and max(len(node.bottoms), 1) == len(node.tops) == 1

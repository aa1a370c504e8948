"""Put a Split layer after every top that is used more than once.

In:   NetParameter, filtered, layers in order.
Out:  a new NetParameter with Split layers inserted and bottoms renamed to their outputs.
Not here: what Split computes (layers/split.py).   Source: BVLC insert_splits.cpp.
"""

from __future__ import annotations

from typing import Any

from ..errors import NetError
from ..files.proto_pool import MESSAGES

Place = tuple[int, int]  # (layer index, index among its tops or bottoms)


def insert_splits(param: Any) -> Any:
    """Return `param` (NetParameter) with Split layers; NetError for a bottom that nobody produces.

    A non-zero loss_weight given in the net counts as a use. When such a top is split, the weight
    moves to the split's first output.
    """
    names = [layer.name for layer in param.layer]
    bottoms, tops = [list(layer.bottom) for layer in param.layer], [list(layer.top) for layer in param.layer]
    source, count, weight = _count_uses(param, bottoms, tops)
    split = MESSAGES["NetParameter"]()
    split.CopyFrom(param)
    del split.layer[:]
    used = dict.fromkeys(count, 0)  # outputs of each split handed out so far
    for i, original in enumerate(param.layer):
        layer = split.layer.add()
        layer.CopyFrom(original)
        for j, bottom in enumerate(bottoms[i]):
            top = source[i, j]
            if count[top] > 1:
                layer.bottom[j] = split_blob_name(names[top[0]], bottom, top[1], used[top])
                used[top] += 1
        for j, top_name in enumerate(tops[i]):
            if count.get((i, j), 0) > 1:
                loss_weight = weight.get((i, j), 0.0)
                _add_split(split, names[i], top_name, j, count[i, j], loss_weight)
                if loss_weight:
                    layer.ClearField("loss_weight")
                    used[i, j] += 1
    return split


def split_layer_name(layer: str, blob: str, blob_index: int) -> str:
    """Name of the Split layer of top number `blob_index`, called `blob`, of layer `layer`."""
    return f"{blob}_{layer}_{blob_index}_split"


def split_blob_name(layer: str, blob: str, blob_index: int, split_index: int) -> str:
    """Name of output number `split_index` of that Split layer."""
    return f"{split_layer_name(layer, blob, blob_index)}_{split_index}"


def _count_uses(param: Any, bottoms: list[list[str]], tops: list[list[str]]
                ) -> tuple[dict[Place, Place], dict[Place, int], dict[Place, float]]:
    """Who produces each bottom, how often each top is used, which loss weight each top carries."""
    last: dict[str, Place] = {}  # Caffe: the last writer counts, so an in-place layer takes over
    source: dict[Place, Place] = {}
    count: dict[Place, int] = {}
    weight: dict[Place, float] = {}
    for i, layer in enumerate(param.layer):
        for j, bottom in enumerate(bottoms[i]):
            if bottom not in last:
                raise NetError(f"Unknown bottom blob '{bottom}' (layer '{layer.name}', "
                               f"bottom index {j}); blobs made before it: {', '.join(last) or 'none'}")
            source[i, j] = last[bottom]
            count[last[bottom]] = count.get(last[bottom], 0) + 1
        for j, top in enumerate(tops[i]):
            last[top] = i, j
        for top, loss_weight in zip(tops[i], layer.loss_weight, strict=False):
            weight[last[top]] = loss_weight
            if loss_weight:
                count[last[top]] = count.get(last[top], 0) + 1
    return source, count, weight


def _add_split(net: Any, layer: str, blob: str, index: int, count: int, loss_weight: float) -> None:
    tops = [split_blob_name(layer, blob, index, k) for k in range(count)]
    split = net.layer.add(name=split_layer_name(layer, blob, index), type="Split", bottom=[blob],
                          top=tops)
    if loss_weight:
        split.loss_weight.extend([loss_weight] + [0.0] * (count - 1))

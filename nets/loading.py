"""Weights put into a net, with a look at what came: Caffe itself says nothing when none did.

In:   a prototxt or a net; a caffemodel.
Out:  the net with the weights; an error where no layer got any, or a weight is no number.
Not here: which weights a command takes (choice), dead but whole nets (surgery.diagnose), surgery of weights.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, Sequence, Union

import numpy as np

from nets import NetError

_MARK = np.float32(-(2.0**127))  # no weight is that large


def open_net(prototxt: Union[str, PathLike], weights: Union[str, PathLike], name: str = "") -> Any:
    """Build a net for use, with its weights.

    Args:
        prototxt: of the net; TEST phase.
        weights: caffemodel.
        name: of the net in messages (default: the prototxt's path).

    Returns:
        A caffe.Net.

    Raises:
        NetError: the caffemodel has none of the net's layers, or holds NaN or infinity for one.
        CaffeError: a file that cannot be read, or parameters of another shape.
    """
    import caffe

    who = f"net '{name or fspath(prototxt)}': weights '{fspath(weights)}'"
    net = caffe.Net(fspath(prototxt), caffe.TEST)
    kept = copy_from(net, fspath(weights))
    if kept and len(kept) == len(net.params):
        raise NetError(f"{who} have none of its layers ({few(kept)}): they are another net's, and it would run on what "
                       "its fillers drew; give the caffemodel that belongs to this net")
    refuse_not_finite(net, who)
    return net


def copy_from(net: Any, weights: str) -> list[str]:
    """Copy weights by layer name, as Caffe does.

    Returns:
        Names of the layers with parameters for which the caffemodel has nothing; they stay as they were.
    """
    first = {layer: blobs[0].data.flat[0] for layer, blobs in net.params.items()}
    for layer in first:
        net.params[layer][0].data.flat[0] = _MARK  # Caffe does not tell what it copied: what stays is marked
    net.copy_from(weights)
    kept = [layer for layer in first if net.params[layer][0].data.flat[0] == _MARK]
    for layer in kept:
        net.params[layer][0].data.flat[0] = first[layer]
    return kept


def refuse_not_finite(net: Any, who: str) -> None:
    """Raise NetError where a parameter of the net is no number; `who` begins the message."""
    broken = [layer for layer, blobs in net.params.items() if not all(is_finite(blob.data) for blob in blobs)]
    if broken:
        raise NetError(f"{who} hold NaN or infinity in {few(broken)}, want numbers: the training that made them "
                       "diverged; choose an earlier snapshot, or other weights")


def is_finite(values: np.ndarray) -> bool:
    """Tell whether all values are numbers, without an array of answers."""
    return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def few(names: Sequence[str], most: int = 4) -> str:
    """Write the first names of some."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")

"""Put converted weights into a net, checked layer by layer, then save it as Caffe does.

In:   layers with blobs; a prototxt, or the name of torchvision's net they come from.
Out:  a caffemodel, complete or not at all; torchvision's deploy net as a prototxt.
Not here: where the layers come from (names.py, torchvision.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from caffe.proto import caffe_pb2

from ..common import TEST
from ..errors import NetError, ProtoError
from ..files.caffemodel import LayerBlobs, write_net
from ..files.caffemodel_writer import atomic_write
from ..files.proto_text import read_net_param_from_text
from ..net.net import Net
from .deploy import deploy
from .files import Path
from .names import modern_arrays


def write_caffemodel(target: Path, layers: list[LayerBlobs], net: Path | None, made_for: str | None,
                     mean: tuple[float, ...] | None, prototxt: Path | None) -> list[str]:
    """Write a caffemodel, and for a net of torchvision its deploy prototxt.

    Args:
        target: the caffemodel.
        layers: with their blobs.
        net: prototxt of the net they are for; the file is then as Caffe saves that net, otherwise (if
            `made_for` is None) it has names, types and blobs only, which is what Caffe reads of it.
        made_for: the torchvision net that `layers` belong to, or None.
        mean: to be subtracted from its images, or None.
        prototxt: its deploy net, or None: beside `target`.

    Returns:
        What a user should know, one line each.

    Raises:
        NetError: the weights do not fit the net: every fault is named, nothing is written.
        ProtoError: another prototxt is in the way.
    """
    if net is not None:
        return _fill_and_save(target, read_net_param_from_text(net), layers, os.fspath(net))
    if made_for is None:
        bare = caffe_pb2.NetParameter(layer=[dict(name=layer.name, type=layer.type) for layer in layers])
        write_net(target, bare, [modern_arrays(layer) for layer in layers])
        return []
    param = deploy(made_for, layers)
    place = os.fspath(prototxt or os.path.splitext(os.fspath(target))[0] + ".prototxt")
    feed = f"BGR, 0 ... 255, less mean {numbers(mean)}" if mean else "as the weights' own Caffe net"
    text = f"# {made_for}; input: {feed}\n{param}".encode()
    if os.path.exists(place):
        with open(place, "rb") as file:
            if file.read() != text:
                raise ProtoError(f"{place} exists and says something else; name another with --prototxt")
    notes = _fill_and_save(target, param, layers, made_for)
    with atomic_write(place) as file:
        file.write(text)
    return [*notes, f"{place}: its deploy net; input: {feed}"]


def _fill_and_save(target: Path, param: Any, layers: list[LayerBlobs], what: str) -> list[str]:
    """Build the net, put the weights in and save it as Caffe does; nothing is written if they do not fit."""
    net = Net.from_param(param, TEST)
    given = {layer.name: modern_arrays(layer) for layer in layers if layer.blobs}
    faults, kept = [], []
    for name, blobs in net.params.items():
        layer = net.layer_dict[name]
        if name in given:
            got, want = [array.shape for array in given[name]], [tuple(blob.data.shape) for blob in blobs]
            faults += [] if got == want else [f"'{name}' has shapes {got}, want {want}"]
        elif layer.type == "Scale" and layer.layer_param.param and not any(p.lr_mult for p in layer.layer_param.param):
            kept.append(name)  # a constant that the prototxt itself states
        else:
            faults.append(f"'{name}' is missing")
    if faults:
        raise NetError(f"{what}: the weights do not fit: {'; '.join(faults)}; give the prototxt they were trained with")
    for name in set(given) & set(net.params):
        for blob, array in zip(net.params[name], given[name], strict=True):
            blob.data[...] = array
    net.save(os.fspath(target))
    extra = sorted(set(given) - set(net.params))
    return ([f"{', '.join(kept)}: constants of the net itself"] if kept else []) + (
        [f"left out, not in the net: {', '.join(extra)}"] if extra else [])


def numbers(values: Iterable[float] | None) -> str:
    """Return numbers as text, such as 104.007, 116.669, 122.679."""
    return ", ".join(f"{value:.6g}" for value in values or ())

"""Move parameters from one net into another: transplant, expand_score.

In:   two nets of public pycaffe, the second with the parameters to move.
Out:  the first net changed in place, and a Report of what was copied, coerced and dropped.
Not here: bilinear kernels (interp.py), files (base_nets.py).
Source: surgery.py of the FCN release, whose names and signatures these are. There a flat assignment
between different counts repeated or cut the source in silence; here it is an error, raised before
anything is written.
"""

from __future__ import annotations

import numpy as np

import caffe
from surgery.report import Operation, Report, SurgeryError

Write = tuple[np.ndarray, np.ndarray]  # (into, from), equal counts


def transplant(new_net: caffe.Net, net: caffe.Net, suffix: str = "") -> Report:
    """Copy every parameter of `net` into the layer of `new_net` called the same plus `suffix`.

    Blobs of equal shape are copied, blobs of equal count but another shape are coerced (flat, as an
    InnerProduct becomes a Convolution). Layers and blobs without a place are dropped. The report is
    printed, as the release did, except for the layers of `new_net` that stay as they were.

    Args:
        new_net: receives the parameters.
        net: gives them.
        suffix: glued to each layer's name, for a trunk that occurs twice.

    Returns:
        Report with `copied`, `coerced`, `dropped` and `kept`.

    Raises:
        SurgeryError: two blobs differ in count, or no layer fits at all; `new_net` is unchanged.
    """
    report = Report()
    writes: list[Write] = []
    for layer in net.params:
        _plan_layer(new_net, net, layer, suffix, report, writes)
    sources = {layer + suffix for layer in net.params}
    if net.params and not writes:
        raise SurgeryError(
            f"transplant: none of the {len(net.params)} layers with parameters "
            f"({_few(net.params)}) is in the new net with suffix '{suffix}' "
            f"({_few(new_net.params)}); check the layers' names")
    for into, given in writes:
        into[...] = given.reshape(into.shape)
    for line in report.operations:
        print(line)
    report.operations += [Operation("keeping", layer, note="not in the source")
                          for layer in new_net.params if layer not in sources]
    return report


def _plan_layer(new_net: caffe.Net, net: caffe.Net, layer: str, suffix: str,
                report: Report, writes: list[Write]) -> None:
    """Append to `report` and `writes` what one layer of the source calls for."""
    new_layer = layer + suffix
    if new_layer not in new_net.params:
        report.operations.append(Operation("dropping", layer, note="no such layer in the new net"))
        return
    blobs, new_blobs = net.params[layer], new_net.params[new_layer]
    for i in range(len(blobs)):
        if i >= len(new_blobs):
            report.operations.append(Operation(
                "dropping", layer, i, note=f"'{new_layer}' has {len(new_blobs)} blobs"))
            continue
        given, into = blobs[i].data, new_blobs[i].data
        if given.size != into.size:  # DEVIATION D20: the release repeats or cuts the source.
            raise SurgeryError(
                f"transplant: layer '{layer}' blob {i} has shape {given.shape} ({given.size} "
                f"numbers), '{new_layer}' wants {into.shape} ({into.size}); rename the layer if it "
                f"is to be learned anew, or use expand_score to add classes")
        kind = "copying" if given.shape == into.shape else "coercing"
        report.operations.append(Operation(kind, layer, i, new_layer, given.shape, into.shape))
        writes.append((into, given))
    if len(new_blobs) > len(blobs):
        report.operations.append(Operation(
            "keeping", new_layer, note=f"blobs {len(blobs)} to {len(new_blobs) - 1}: not in the "
                                       f"source"))


def expand_score(new_net: caffe.Net, new_layer: str, net: caffe.Net, layer: str) -> Report:
    """Copy an old score layer's k classes into the first k of a bigger score layer.

    Args:
        new_net: receives the scores' parameters.
        new_layer: its score layer, with k' >= k outputs.
        net: gives them.
        layer: its score layer, with k outputs.

    Returns:
        Report with one operation `expanding` (or `copying`, where k' = k) a blob.

    Raises:
        SurgeryError: unknown layer, fewer classes than before, or other input channels; nothing is
        changed.
    """
    for name, where, which in ((new_layer, new_net, "the new net"), (layer, net, "the net")):
        if name not in where.params:
            raise SurgeryError(f"expand_score: layer '{name}' has no parameters in {which}; "
                               f"layers that have: {_few(where.params)}")
    blobs, new_blobs = net.params[layer], new_net.params[new_layer]
    if len(blobs) != len(new_blobs):
        raise SurgeryError(f"expand_score: '{layer}' has {len(blobs)} blobs, '{new_layer}' "
                           f"{len(new_blobs)}; give both a bias, or neither")
    report, writes = Report(), []
    for i in range(len(blobs)):
        # DEVIATION D21: the release takes a bias for (1, 1, 1, k), as old files have it, and stops at (k,).
        given, into = _by_class(blobs[i].data, i), _by_class(new_blobs[i].data, i)
        if given.shape[1] != into.shape[1] or len(given) > len(into):
            raise SurgeryError(
                f"expand_score: '{layer}' blob {i} has shape {blobs[i].data.shape}, which does not "
                f"fit into the first classes of '{new_layer}' with {new_blobs[i].data.shape}; the "
                f"new layer needs at least {len(given)} outputs and {given.shape[1]} weights an "
                f"output")
        kind = "copying" if given.shape == into.shape else "expanding"
        report.operations.append(Operation(
            kind, layer, i, new_layer, blobs[i].data.shape, new_blobs[i].data.shape))
        writes.append((into[:len(given)], given))
    for into, given in writes:
        into[...] = given
    for line in report.operations:
        print(line)
    return report


def _by_class(blob: np.ndarray, index: int) -> np.ndarray:
    """View a weight or bias blob as (classes, numbers a class)."""
    if index == 1:
        return blob.reshape(-1, 1)
    return blob.reshape(blob.shape[0], -1)


def _few(names: object, most: int = 8) -> str:
    """List the first names."""
    listed = list(names)  # type: ignore[call-overload]
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "") if listed else "none"

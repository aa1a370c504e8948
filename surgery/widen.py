"""One more input channel for a net's first convolution: depth beside colour (early fusion).

In:   two nets of public pycaffe; the layer of the one has a channel more than that of the other.
Out:  the first net's layer filled in place, and a Report.
Not here: copying layers of equal shape (transplant.py).
Source: solve.py of the release's nyud-fcn32s-color-d.
"""

from __future__ import annotations

import caffe
from surgery.report import Operation, Report, SurgeryError


def widen(new_net: caffe.Net, new_layer: str, net: caffe.Net, layer: str) -> Report:
    """Copy a convolution's weights and bias; the new, last channel gets the mean of the others.

    Args:
        new_net: its parameters are changed in place.
        new_layer: layer of it with weights (m, c + 1, h, w).
        net: gives the weights.
        layer: layer of it with weights (m, c, h, w).

    Returns:
        Report with one operation `expanding` for the weights and `copying` for the bias.

    Raises:
        SurgeryError: unknown layer, or other shapes; nothing is changed then.
    """
    for name, where in ((new_layer, new_net), (layer, net)):
        if name not in where.params:
            raise SurgeryError(f"widen: layer '{name}' has no parameters in its net; "
                               f"layers that have: {', '.join(where.params) or 'none'}")
    given, into = ([blob.data for blob in where.params[name]]
                   for where, name in ((net, layer), (new_net, new_layer)))
    shape = given[0].shape
    want = (shape[0], shape[1] + 1, *shape[2:]) if len(shape) == 4 else None
    if into[0].shape != want or len(given) != len(into):
        raise SurgeryError(f"widen: '{layer}' has weights of shape {shape}, '{new_layer}' {into[0].shape}; want one "
                           f"channel more, {want}, and a bias in both or neither")
    into[0][:, :-1] = given[0]
    into[0][:, -1] = given[0].mean(axis=1)
    report = Report([Operation("expanding", layer, 0, new_layer, shape, into[0].shape, "mean of the channels")])
    for i in range(1, len(given)):
        into[i][...] = given[i]
        report.operations.append(Operation("copying", layer, i, new_layer, given[i].shape, into[i].shape))
    return report

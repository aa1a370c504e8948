"""Bring nets and solvers of every age to the current form.

In:   NetParameter or SolverParameter as read from a file (text or binary).
Out:  a new message in the current form; the given one is left unchanged.
Not here: reading files (proto_text.py), the V0 form itself (upgrade_v0.py).
Source: BVLC upgrade_proto.cpp, whose messages and order of steps are kept.
"""

from __future__ import annotations

import os
from typing import Any

from .. import log
from ..errors import ProtoError
from .proto_pool import MESSAGES
from .upgrade_v0 import upgrade_v0_net

_WHERE = "upgrade_proto.cpp"

_V1_TYPES = {  # enum name of V1 -> type string, where it is not the enum's words in CamelCase
    "NONE": "", "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output", "LRN": "LRN", "MVN": "MVN", "RELU": "ReLU", "TANH": "TanH",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
}
_SOLVER_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
_TRANSFORMED = {"DATA": "data_param", "IMAGE_DATA": "image_data_param",
                "WINDOW_DATA": "window_data_param"}
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
_V1_OWN = {"bottom", "top", "name", "include", "exclude", "type", "blobs", "param",
           "blob_share_mode", "blobs_lr", "weight_decay", "layer"}


def upgrade_net(param: Any, source: str = "net") -> Any:
    """Return `param` (NetParameter) in the current form; ProtoError if it mixes forms.

    Args:
        param: a net of any age.
        source: what messages call it, usually a path.
    """
    net = MESSAGES["NetParameter"]()
    net.CopyFrom(param)
    if any(layer.HasField("layer") for layer in net.layers):
        _say("deprecated V0LayerParameter", source)
        net = upgrade_v0_net(net, source)
    _move_transform_params(net, source)
    if net.layers:
        _say("deprecated V1LayerParameter", source)
        net = _upgrade_v1_net(net, source)
    if net.input:
        _say("deprecated input fields", source)
        _upgrade_input(net, source)
    _fix_batch_norm(net)
    return net


def _say(what: str, source: str) -> None:
    log.info(f"Attempting to upgrade input file specified using {what}: {source}", f"{_WHERE}:0")


def v1_layer_type(number: int) -> str:
    """The type string for a value of V1LayerParameter.LayerType; empty for NONE."""
    name = MESSAGES["V1LayerParameter"].LayerType.Name(number)
    if name in _V1_TYPES:
        return _V1_TYPES[name]
    return "".join(word.capitalize() for word in name.split("_"))


def _move_transform_params(net: Any, source: str) -> None:
    """Move scale, mean_file, crop_size and mirror of V1 data layers into transform_param."""
    for layer in net.layers:
        kind = layer.LayerType.Name(layer.type)
        if kind not in _TRANSFORMED:
            continue
        data_param = getattr(layer, _TRANSFORMED[kind])
        given = [field for field in _TRANSFORM_FIELDS if data_param.HasField(field)]
        if given:
            _say("transformation parameters", source)
        for field in given:
            setattr(layer.transform_param, field, getattr(data_param, field))
            data_param.ClearField(field)


def _upgrade_v1_net(v1_net: Any, source: str) -> Any:
    if v1_net.layer:
        raise ProtoError(
            f"{source}: Refusing to upgrade inconsistent NetParameter input; the definition "
            "includes both 'layer' and 'layers' fields. The current format defines 'layer' fields "
            "with string type like layer { type: 'Layer' ... } and not layers { type: LAYER ... }. "
            "Manually switch the definition to 'layer' format to continue.")
    net = MESSAGES["NetParameter"]()
    net.CopyFrom(v1_net)
    net.ClearField("layers")
    for v1_layer in v1_net.layers:
        _upgrade_v1_layer(v1_layer, net.layer.add())
    return net


def _upgrade_v1_layer(v1: Any, layer: Any) -> None:
    for field in ("bottom", "top", "include", "exclude", "blobs"):
        getattr(layer, field).extend(getattr(v1, field))
    if v1.HasField("name"):
        layer.name = v1.name
    if v1.HasField("type"):
        layer.type = v1_layer_type(v1.type)
    for i, name in enumerate(v1.param):
        _param(layer, i).name = name
    for i, mode in enumerate(v1.blob_share_mode):
        _param(layer, i).share_mode = mode
    for i, lr_mult in enumerate(v1.blobs_lr):
        _param(layer, i).lr_mult = lr_mult
    for i, decay_mult in enumerate(v1.weight_decay):
        _param(layer, i).decay_mult = decay_mult
    layer.loss_weight.extend(v1.loss_weight)
    for field, value in v1.ListFields():  # what is left: one *_param for each kind of layer
        if field.name not in _V1_OWN and field.name != "loss_weight":
            getattr(layer, field.name).CopyFrom(value)


def _param(layer: Any, i: int) -> Any:
    while len(layer.param) <= i:
        layer.param.add()
    return layer.param[i]


def _upgrade_input(net: Any, source: str) -> None:
    """Turn `input` with `input_shape` or `input_dim` into an Input layer in the first position."""
    inputs, shapes, dims = list(net.input), list(net.input_shape), list(net.input_dim)
    if shapes or dims:
        if shapes and len(shapes) < len(inputs):
            raise ProtoError(f"{source}: {len(inputs)} input fields but {len(shapes)} input_shape; "
                             "give one input_shape for each input")
        # DEVIATION D9: Caffe reads past the numbers given.
        if not shapes and len(dims) < 4 * len(inputs):
            raise ProtoError(f"{source}: {len(inputs)} input fields but {len(dims)} input_dim; "
                             "give four input_dim (num, channels, height, width) for each input")
        layer = MESSAGES["LayerParameter"](name="input", type="Input", top=inputs)
        for i in range(len(inputs)):
            dim = shapes[i].dim if shapes else dims[4 * i:4 * i + 4]
            layer.input_param.shape.add(dim=dim)
        rest = [layer, *net.layer]
        del net.layer[:]
        net.layer.extend(rest)
    # Caffe: inputs without any shape, as in old caffemodels, are dropped.
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def _fix_batch_norm(net: Any) -> None:
    """Caffe: a BatchNorm with its three old `param`s gets lr_mult and decay_mult 0 in each."""
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = 0
                spec.decay_mult = 0


def upgrade_solver(param: Any, source: str = "solver") -> Any:
    """Return `param` (SolverParameter) with the enum solver_type turned into the string `type`."""
    solver = MESSAGES["SolverParameter"]()
    solver.CopyFrom(param)
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise ProtoError(
                f"{source}: Failed to upgrade solver: old solver_type field (enum) and new type "
                "field (string) cannot be both specified in solver proto text; remove solver_type")
        solver.type = _SOLVER_TYPES[solver.solver_type]
        solver.ClearField("solver_type")
    return solver


def upgrade_snapshot_prefix(param: Any, path: str) -> Any:
    """Fill in snapshot_prefix from the solver file's name if none or only a folder is given."""
    solver = MESSAGES["SolverParameter"]()
    solver.CopyFrom(param)
    stem = os.path.splitext(path)[0]
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = stem
        log.info(f"snapshot_prefix was not specified and is set to {stem}", f"{_WHERE}:0")
    elif os.path.isdir(solver.snapshot_prefix):
        solver.snapshot_prefix = os.path.join(solver.snapshot_prefix, os.path.basename(stem))
        log.info(f"snapshot_prefix was a directory and is replaced to {solver.snapshot_prefix}",
                 f"{_WHERE}:0")
    return solver

"""Bring nets of 2013 (`layers { layer { type: "conv" ... } }`) to Caffe's V1 form.

In:   NetParameter whose `layers` hold V0 `layer` messages.
Out:  a new NetParameter with V1 `layers`; padding layers folded into the next conv or pool layer.
Not here: V1 to the current form (upgrade_proto.py).   Source: BVLC upgrade_proto.cpp.
"""

from __future__ import annotations

from typing import Any

from .. import log
from ..errors import ProtoError
from .proto_pool import MESSAGES

V0_TYPES = {
    name: (name.upper() if v1 is None else v1) for name, v1 in {
        "accuracy": None, "bnll": None, "concat": None, "conv": "CONVOLUTION", "data": None,
        "dropout": None, "euclidean_loss": None, "flatten": None, "hdf5_data": None,
        "hdf5_output": None, "im2col": None, "images": "IMAGE_DATA", "infogain_loss": None,
        "innerproduct": "INNER_PRODUCT", "lrn": None, "multinomial_logistic_loss": None,
        "pool": "POOLING", "relu": None, "sigmoid": None, "softmax": None, "softmax_loss": None,
        "split": None, "tanh": None, "window_data": None}.items()}

_CONV, _IP, _POOL = "convolution_param", "inner_product_param", "pooling_param"
_DATA, _IMAGES, _WINDOW = "data_param", "image_data_param", "window_data_param"
_FILLED = {"conv": _CONV, "innerproduct": _IP}
_BATCHES = {"data": _DATA, "hdf5_data": "hdf5_data_param", "images": _IMAGES,
            "window_data": _WINDOW}
_LRN = {"lrn": "lrn_param"}
_ANY = "transform_param"  # fields every type may carry

# V0 field -> (field of the V1 message, {V0 type: V1 message}); a str for the dict: any type.
_MOVES: dict[str, tuple[str, dict[str, str] | str]] = {
    "num_output": ("num_output", _FILLED),
    "biasterm": ("bias_term", _FILLED),
    "weight_filler": ("weight_filler", _FILLED),
    "bias_filler": ("bias_filler", _FILLED),
    "pad": ("pad", {"conv": _CONV, "pool": _POOL}),
    "kernelsize": ("kernel_size", {"conv": _CONV, "pool": _POOL}),
    "group": ("group", {"conv": _CONV}),
    "stride": ("stride", {"conv": _CONV, "pool": _POOL}),
    "pool": ("pool", {"pool": _POOL}),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", _LRN),
    "alpha": ("alpha", _LRN),
    "beta": ("beta", _LRN),
    "k": ("k", _LRN),
    "source": ("source", _BATCHES | {"infogain_loss": "infogain_loss_param"}),
    "scale": ("scale", _ANY),
    "meanfile": ("mean_file", _ANY),
    "batchsize": ("batch_size", _BATCHES),
    "cropsize": ("crop_size", _ANY),
    "mirror": ("mirror", _ANY),
    "rand_skip": ("rand_skip", {"data": _DATA, "images": _IMAGES}),
    "shuffle_images": ("shuffle", {"images": _IMAGES}),
    "new_height": ("new_height", {"images": _IMAGES}),
    "new_width": ("new_width", {"images": _IMAGES}),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", {"window_data": _WINDOW}),
    "det_bg_threshold": ("bg_threshold", {"window_data": _WINDOW}),
    "det_fg_fraction": ("fg_fraction", {"window_data": _WINDOW}),
    "det_context_pad": ("context_pad", {"window_data": _WINDOW}),
    "det_crop_mode": ("crop_mode", {"window_data": _WINDOW}),
    "hdf5_output_param": ("", {"hdf5_output": "hdf5_output_param"}),
}


def upgrade_v0_net(param: Any, source: str) -> Any:
    """Return a V0 net in V1 form; ProtoError for mixed forms and unknown types."""
    new_style = [layer.name for layer in param.layers if not layer.HasField("layer")]
    if new_style or param.layer:  # DEVIATION D9: Caffe continues, and stops at an empty type.
        raise ProtoError(f"{source}: V0 layers (layers {{ layer {{ ... }} }}) are mixed with later "
                         f"ones ({(new_style or [param.layer[0].name])[0]!r}); use one form")
    padded = _fold_padding_layers(param, source)
    # Caffe: only these four fields survive the upgrade.
    net = MESSAGES["NetParameter"](input=padded.input, input_dim=padded.input_dim)
    for field in ("name", "force_backward"):
        if padded.HasField(field):
            setattr(net, field, getattr(padded, field))
    for connection in padded.layers:
        _upgrade_layer(connection, net.layers.add(), source)
    return net


def _fold_padding_layers(param: Any, source: str) -> Any:
    folded = MESSAGES["NetParameter"]()
    folded.CopyFrom(param)
    folded.ClearField("layers")
    producer: dict[str, Any] = dict.fromkeys(param.input)
    for connection in param.layers:
        kept = type(connection)() if connection.layer.type == "padding" else folded.layers.add()
        kept.CopyFrom(connection)  # a padding layer itself is not kept in the net
        for j, bottom in enumerate(connection.bottom):
            if bottom not in producer:
                raise ProtoError(f"{source}: Unknown blob input {bottom} to layer "
                                 f"'{connection.layer.name}'")
            before = producer[bottom]
            if before is not None and before.layer.type == "padding":
                _check_padding(before, connection, source)
                kept.layer.pad = before.layer.pad
                kept.bottom[j] = before.bottom[0]
        producer.update(dict.fromkeys(connection.top, connection))
    return folded


def _check_padding(padding: Any, connection: Any, source: str) -> None:
    who = f"{source}: padding layer '{padding.layer.name}'"
    if connection.layer.type not in ("conv", "pool"):
        raise ProtoError(f"{who}: Padding layer input to non-convolutional / non-pooling layer "
                         f"type {connection.layer.type}")
    if not len(connection.bottom) == len(padding.bottom) == len(padding.top) == 1:
        raise ProtoError(f"{who}: it and layer '{connection.layer.name}' after it must have one "
                         "bottom each, and it one top")


def _upgrade_layer(connection: Any, v1: Any, source: str) -> None:
    v0 = connection.layer
    v1.bottom.extend(connection.bottom)
    v1.top.extend(connection.top)
    if v0.HasField("name"):
        v1.name = v0.name
    if v0.HasField("type"):
        if v0.type not in V0_TYPES:
            raise ProtoError(f"{source}: layer '{v0.name}': Unknown layer name: {v0.type}; the V0 "
                             f"form knows {', '.join(V0_TYPES)}")
        v1.type = getattr(v1, V0_TYPES[v0.type])
    v1.blobs.extend(v0.blobs)
    v1.blobs_lr.extend(v0.blobs_lr)
    v1.weight_decay.extend(v0.weight_decay)
    for field, value in v0.ListFields():
        if field.name in _MOVES:
            _move(field.name, value, v0, v1)


def _move(field: str, value: Any, v0: Any, v1: Any) -> None:
    name, owners = _MOVES[field]
    owner = owners if isinstance(owners, str) else owners.get(v0.type)
    if owner is None:  # Caffe: logged as an error, then ignored
        log.error(f"Unknown parameter {field} for layer type {v0.type}", "upgrade_proto.cpp:0")
        return
    target = getattr(v1, owner)
    if hasattr(value, "DESCRIPTOR"):
        (getattr(target, name) if name else target).CopyFrom(value)
    elif owner == _CONV and name in ("pad", "kernel_size", "stride"):
        getattr(target, name).append(value)
    else:
        setattr(target, name, value)

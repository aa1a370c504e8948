"""Crop layers of the oldest FCN nets, which computed their offset themselves: find them and write it down.

In:   an upgraded NetParameter whose Crop layers may lack crop_param.offset.
Out:  the offset of each such layer, from the coordinate map of its two bottoms; a warning; the net with offsets.
Not here: the map (caffe.coord_map), Crop (layers/crop.py), where a net is read (net, tools/upgrade).
Source: longjon's branch of Caffe (2014), where Crop had no parameters; BVLC's Crop takes 0 where none is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import log
from ..errors import ProtoError

_WINDOWS = {"Convolution": "convolution_param", "Deconvolution": "convolution_param", "Im2col": "convolution_param",
            "Pooling": "pooling_param"}
_NO_MAP = (ArithmeticError, AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


def warn(net_param: Any) -> None:
    """Log a warning for each Crop that has no offset and would need one."""
    for index, offset in _lacking(net_param).items():
        if isinstance(offset, list) and any(offset):
            name = net_param.layer[index].name
            log.warning(f"layer '{name}' (Crop) has no offset, so 0 is used; its bottoms lie {_text(offset)} apart. "
                        "FCN nets of 2014 and 2015 left the offset to their Crop: upgrade_net_proto_text --fix-crop "
                        "writes it", "crop_layer.cpp:38")


def fix_crop(net_param: Any) -> dict[str, int | list[int]]:
    """Write the offset into each Crop that has none.

    Args:
        net_param: NetParameter in the current form; changed.

    Returns:
        The offsets by layer name: one number where it is the same on all axes.

    Raises:
        ProtoError: a layer's offset cannot be derived from the net; then nothing is changed.
    """
    lacking = _lacking(net_param)
    for index, offset in lacking.items():
        if not isinstance(offset, list):
            raise ProtoError(f"layer '{net_param.layer[index].name}' (Crop): its offset cannot be derived from the net "
                             f"({offset}); write crop_param.offset by hand")
    fixed: dict[str, int | list[int]] = {}
    for index, offset in lacking.items():
        one = offset[:1] if len(set(offset)) == 1 else offset
        net_param.layer[index].crop_param.offset.extend(one)
        fixed[net_param.layer[index].name] = one[0] if len(one) == 1 else one
    return fixed


def _text(offset: list[int]) -> str:
    return " and ".join(map(str, sorted(set(offset))))


def _lacking(net_param: Any) -> dict[int, Any]:
    """Return the Crop layers in question: index -> offsets, or why they are unknown."""
    if not any(layer.type == "Crop" and not layer.crop_param.offset for layer in net_param.layer):
        return {}
    from caffe import coord_map
    from caffe.net_spec import Function

    tops: dict[str, Any] = {}
    found: dict[int, Any] = {}
    for index, layer in enumerate(net_param.layer):
        inputs = tuple(tops[name] for name in layer.bottom if name in tops)
        if layer.type == "Crop" and not layer.crop_param.offset and len(inputs) == 2:
            try:
                with np.errstate(all="ignore"):
                    made = coord_map.crop(*inputs).fn.params["crop_param"]
                found[index] = made["offset"]
            except (*_NO_MAP, coord_map.AxisMismatchException, coord_map.UndefinedMapException) as problem:
                found[index] = str(problem) or type(problem).__name__
        made = {"offset": found[index]} if isinstance(found.get(index), list) else {}
        # Caffe: its map does not know Concat; along channels it leaves coordinates alone, as a sum does.
        channels = layer.type == "Concat" and layer.concat_param.axis == 1
        function = Function("Eltwise" if channels else layer.type, inputs,
                            {**_settings(layer), **made, "ntop": len(layer.top)})
        tops.update(zip(layer.top, function.tops, strict=True))
    return found


def _settings(layer: Any) -> dict[str, Any]:
    """Return those settings of a layer that its coordinate map needs."""
    if layer.type == "Crop":
        offset = list(layer.crop_param.offset)
        return {"axis": layer.crop_param.axis, **({"offset": offset} if offset else {})}
    param = getattr(layer, _WINDOWS.get(layer.type, ""), None)
    if param is None:
        return {}
    return {field.name: list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value
            for field, value in param.ListFields() if not hasattr(value, "ListFields")}

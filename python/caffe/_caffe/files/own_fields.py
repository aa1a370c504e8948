"""Prototxt fields of users' own layers, added to Caffe's schema while it runs.

In:   a layer type, and its fields with their defaults.
Out:  a message `<Type>Parameter`, and the field `<type>_param` of LayerParameter that holds it.
Not here: fields of Caffe and of its forks (schema), the layers themselves (torch_layer).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

from ..errors import LayerError
from . import proto_pool

_FIRST, _LAST = 20000, 2**29 - 1  # of field numbers; protobuf keeps 19000 to 19999 for itself
_KINDS = {bool: "bool", int: "int64", float: "float", str: "string"}
_tables: dict[str, str] = {}  # by layer type
_numbers: dict[int, str] = {}  # field number -> layer type


def field_name(type_name: str) -> str:
    """Return the name of a layer type's field: ScaledTanh -> scaled_tanh_param."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type_name)
    return f"{words.lower()}_param"


def register_fields(type_name: str, fields: Mapping[str, Any]) -> None:
    """Allow prototxts to set fields of a layer type: `<type>_param { name: value }`.

    Message classes are rebuilt; messages made before keep working among themselves, but not with new ones.

    Args:
        type_name: the layer type; registering it again replaces its fields.
        fields: by name, a default (bool, int, float, str), a type if there is none, or [type] for a
            repeated field.

    Raises:
        LayerError: an invalid name, or one of Caffe's; a default of another kind.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", type_name):
        raise LayerError(f"layer type {type_name!r}: want letters, digits and _ only, a letter first")
    message, field = f"{type_name}Parameter", field_name(type_name)
    if type_name not in _tables and (message in proto_pool.MESSAGES or field in
                                     proto_pool.MESSAGES["LayerParameter"].DESCRIPTOR.fields_by_name):
        raise LayerError(f"layer type {type_name}: the schema has {message} or {field} already; want another type name")
    number = _FIRST + zlib.crc32(field.encode()) % (_LAST - _FIRST)  # the same in every process and order
    if _numbers.setdefault(number, type_name) != type_name:
        raise LayerError(f"layer type {type_name}: its field's number is that of {_numbers[number]}; want another name")
    rows = [f"  {i} {_row(type_name, name, default)}" for i, (name, default) in enumerate(fields.items(), start=1)]
    before = dict(_tables)
    _tables[type_name] = "\n".join(["message LayerParameter", f"  {number} {message} {field}", f"message {message}",
                                    *rows])
    if _tables != before:
        proto_pool.rebuild("\n".join(_tables.values()))


def field_values(layer_param: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Read a LayerParameter's values for its type's own fields, defaults where it gives none."""
    if not fields:
        return {}
    own = getattr(layer_param, field_name(layer_param.type))
    return {name: list(getattr(own, name)) if isinstance(default, list) else getattr(own, name)
            for name, default in fields.items()}


def _row(type_name: str, name: str, default: Any) -> str:
    """Write one field in the notation of schema.py."""
    who = f"layer type {type_name}, field {name!r}"
    if not re.fullmatch(r"[a-z]\w*", name):
        raise LayerError(f"{who}: want small letters, digits and _, a letter first")
    if isinstance(default, list):
        if len(default) == 1 and default[0] in _KINDS:
            return f"{_KINDS[default[0]]}* {name}"
    elif isinstance(default, type):
        if default in _KINDS:
            return f"{_KINDS[default]} {name}"
    elif type(default) in _KINDS:
        text = str(default).lower() if isinstance(default, bool) else str(default)
        if not re.search(r"[;\n]", text):
            return f"{_KINDS[type(default)]} {name}={text}"
    raise LayerError(f"{who}: got {default!r}; want a bool, int, float or str as default (a str without ';'), one of "
                     "these types, or [type]")

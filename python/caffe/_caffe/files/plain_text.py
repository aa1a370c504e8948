"""Plain prototxt, read fast: what nearly every net's file consists of, `name: value` and `name { ... }`.

In:   text of a prototxt; the message class wanted.
Out:  read_plain: the message, or None where the text holds anything else or anything wrong.
Not here: the rest of the language (lists, escapes, <>, octal numbers, ...) and errors: text_format, by proto_text.py,
          which takes eight times as long. It also reads whatever is read here, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

# A field with a value, a field with a body, the end of a body, a comment, or (last) whatever is not plain.
_ITEM = re.compile(r"""
    \s* (?: (\w+) \s* (?: : \s* ( "[^"\\\n]*" | '[^'\\\n]*' | -?(?:0|[1-9]\d*)(?:\.\d*)?(?:[eE][+-]?\d+)?(?!\w)
                                  | [A-Za-z_]\w* ) \s* [;,]?
                        | :? \s* (\{) )
          | (\}) \s* [;,]?
          | \#[^\n]*
          | (\S) )""", re.ASCII | re.VERBOSE)


class NotPlainError(ValueError):
    """The text is not plain, or wrong."""


class _Field(NamedTuple):
    is_repeated: bool
    convert: Callable[[str], Any] | None  # of a value's text; None: it has a body, or values that are never plain
    message: Descriptor | None  # of a body


_fields: dict[Descriptor, dict[str, _Field]] = {}


def read_plain(text: str, kind: Any) -> Any | None:
    """Return the message of class `kind` that a plain text holds, otherwise None."""
    try:
        return kind(**_values(text, kind.DESCRIPTOR))
    except (NotPlainError, KeyError, IndexError, ValueError, TypeError):  # a field, a brace, a number too large, a kind
        return None


def _values(text: str, message: Descriptor) -> dict[str, Any]:
    """Return what the text holds, as the message's constructor takes it."""
    values: dict[str, Any] = {}
    fields = _fields_of(message)
    around = []
    for name, value, body, end, other in _ITEM.findall(text):
        if name:
            is_repeated, convert, inner = fields[name]
            found: Any = {} if body else convert(value)  # type: ignore[misc]  # TypeError: it wants a body
            if is_repeated:
                values.setdefault(name, []).append(found)
            elif name in values:
                raise NotPlainError
            else:
                values[name] = found
            if body:
                if inner is None:
                    raise NotPlainError
                around.append((values, fields))
                values, fields = found, _fields_of(inner)
        elif end:
            values, fields = around.pop()
        elif other:
            raise NotPlainError
    if around:
        raise NotPlainError
    return values


def _fields_of(message: Descriptor) -> dict[str, _Field]:
    fields = _fields.get(message)
    if fields is None:
        fields = _fields[message] = {field.name: _Field(_is_repeated(field), _converter(field), field.message_type)
                                     for field in message.fields}
    return fields


def _is_repeated(field: Any) -> bool:
    found = getattr(field, "is_repeated", None)  # from protobuf 6 on, where `label` is deprecated
    return field.label == FieldDescriptor.LABEL_REPEATED if found is None else found


def _converter(field: Any) -> Callable[[str], Any] | None:
    """Return what turns text into a value; it fails if the text is of another kind."""
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return float
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.__getitem__
    if field.type == FieldDescriptor.TYPE_ENUM:
        return {value.name: value.number for value in field.enum_type.values}.__getitem__
    if field.type == FieldDescriptor.TYPE_STRING:
        return _string
    if field.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP, FieldDescriptor.TYPE_BYTES):
        return None
    return int


def _string(quoted: str) -> str:
    if quoted[0] not in "\"'":
        raise NotPlainError
    return quoted[1:-1]

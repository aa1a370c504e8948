"""Build the message classes of Caffe's schema in a descriptor pool of our own.

In:   the tables of schema.py.
Out:  MESSAGES (name -> class), ENUMS (name -> wrapper of a top-level enum), FILE (descriptor).
Not here: the schema itself (schema.py), the public module (caffe/proto/caffe_pb2.py).

The pool is private because `caffe.proto` may be registered in the default pool by any other
package, and protobuf refuses a second, different registration. Works with protobuf >= 4.25.
"""

from __future__ import annotations

import re
import struct
import sys
from typing import Any

from google.protobuf import __version__ as protobuf_version
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.internal import api_implementation
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from .schema import EXTENSIONS, SCHEMA

PUBLIC_MODULE = "caffe.proto.caffe_pb2"
FIRST_PRIVATE_NUMBER = 10000  # fields of forks; Caffe's own stay below

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {kind: getattr(_Field, f"TYPE_{kind.upper()}")
            for kind in ("int32", "int64", "uint32", "float", "double", "bool", "string", "bytes")}
_LABELS = {"": _Field.LABEL_OPTIONAL, "*": _Field.LABEL_REPEATED, "**": _Field.LABEL_REPEATED,
           "!": _Field.LABEL_REQUIRED}
_FIELD = re.compile(r"(\d+) (\.?\w+)(\*\*|\*|!|) (\w+)(?:=(.*))?$")


def build_file(schema: str, extensions: str = "") -> descriptor_pb2.FileDescriptorProto:
    """Turn tables in the notation of schema.py into a FileDescriptorProto."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    messages: dict[str, Any] = {}
    _read_table(schema, file, messages)
    own = set(messages)
    known = {name: {field.name for field in message.field} for name, message in messages.items()}
    _read_table(extensions, file, messages)
    for name in own:
        added = [f for f in messages[name].field if f.name not in known[name]]
        assert all(f.number >= FIRST_PRIVATE_NUMBER for f in added), f"{name}: fork field < 10000"
    _resolve_types(file, messages)
    return file


def _read_table(table: str, file: Any, messages: dict[str, Any]) -> None:
    message = enum = None
    for line in table.strip().splitlines():
        word = line.split(maxsplit=1)[0]
        if word == "message":
            name = line.split()[1]
            if name not in messages:
                messages[name] = file.message_type.add(name=name)
            message, enum = messages[name], None
        elif word == "enum":
            name, values = line.split(maxsplit=1)[1].split(":")
            owner = file if message is None or not line.startswith(" ") else message
            enum = owner.enum_type.add(name=name)
            _add_values(enum, values)
        elif line.startswith("    "):
            _add_values(enum, line)
        else:
            for text in line.split(";"):
                _add_field(message, text.strip())


def _add_values(enum: Any, text: str) -> None:
    for pair in text.split():
        name, number = pair.split("=")
        enum.value.add(name=name, number=int(number))


def _add_field(message: Any, text: str) -> None:
    found = _FIELD.match(text)
    assert found, f"schema table: {text!r}"
    number, kind, label, name, default = found.groups()
    field = message.field.add(name=name, number=int(number), label=_LABELS[label])
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:  # whether it is a message or an enum is known only after the whole table is read
        field.type_name = f".caffe.{message.name}{kind}" if kind[0] == "." else f".caffe.{kind}"
    if label == "**":
        field.options.packed = True
    if default is not None:
        field.default_value = default


def _resolve_types(file: Any, messages: dict[str, Any]) -> None:
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                is_message = field.type_name.removeprefix(".caffe.") in messages
                field.type = _Field.TYPE_MESSAGE if is_message else _Field.TYPE_ENUM


def _shortest_float(found: re.Match[str]) -> str:
    """Print a number as C++ does: with 6 digits if they suffice, else 9 (15 or 17 for doubles)."""
    name, text = found.group(2), found.group(3)
    few, many, cast = (15, 17, float) if name.startswith("double_") else (6, 9, _float32)
    short = f"{cast(text):.{few}g}"
    return found.group(1) + (short if cast(short) == cast(text) else f"{cast(text):.{many}g}")


def _float32(text: str) -> float:
    return struct.unpack("f", struct.pack("f", float(text)))[0]


def _message_to_text(message: Any) -> str:
    """Print a message as protobuf's C back ends do: `lr_mult: 1`, where pure Python prints 1.0."""
    text = text_format.MessageToString(message)
    number = re.compile(r"^(\s*(\w+): )(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$", re.MULTILINE)
    return number.sub(lambda m: _shortest_float(m) if re.search("[.e]", m.group(3)) else m[0], text)


# Pure Python prints 1.0 for 1; the C back end of protobuf 4 prints fields in the order of the table.
_prints_otherwise = api_implementation.Type() == "python" or int(protobuf_version.split(".")[0]) < 5


def _build_classes(pool: descriptor_pool.DescriptorPool) -> dict[str, Any]:
    classes = {}
    for name, descriptor in pool.FindFileByName("caffe.proto").message_types_by_name.items():
        classes[name] = message_factory.GetMessageClass(descriptor)
        classes[name].__module__ = PUBLIC_MODULE
        if _prints_otherwise:
            setattr(classes[name], "__str__", _message_to_text)  # noqa: B010  (type checkers)
    return classes


def _load(more: str) -> None:
    global FILE
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(build_file(SCHEMA, f"{EXTENSIONS}\n{more}").SerializeToString())
    FILE = pool.FindFileByName("caffe.proto")
    MESSAGES.clear()
    MESSAGES.update(_build_classes(pool))
    ENUMS.update({name: EnumTypeWrapper(enum) for name, enum in FILE.enum_types_by_name.items()})


def rebuild(more: str) -> None:
    """Rebuild all classes, with further tables; `caffe_pb2` then has the new ones.

    FILE is a new object afterwards: use it as `proto_pool.FILE`.
    """
    _load(more)
    if (public := sys.modules.get(PUBLIC_MODULE)) is not None:
        public.publish()


FILE: Any = None
MESSAGES: dict[str, Any] = {}
ENUMS: dict[str, Any] = {}
_load("")

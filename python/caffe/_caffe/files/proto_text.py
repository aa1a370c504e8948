"""Read prototxt: text of a net or a solver, with errors that name the file, line and field.

In:   a path to a .prototxt, or text.
Out:  NetParameter or SolverParameter, upgraded to the current form (upgrade_proto.py).
Not here: binary files (caffemodel.py), building anything.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from typing import Any, TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from ..errors import ProtoError
from . import proto_pool
from .plain_text import read_plain
from .proto_pool import MESSAGES
from .upgrade_proto import upgrade_net, upgrade_snapshot_prefix, upgrade_solver
from .wire import sniff

M = TypeVar("M", bound=Message)

_NO_FIELD = re.compile(r'Message type "caffe\.(\w+)" has no field named "([^"]+)"')
_NO_VALUE = re.compile(r'Enum type "caffe\.([\w.]+)" has no value named "?(\w+)"?')
_CONTROL = bytes([*range(0x09), *range(0x0e, 0x20), 0x7f])


def read_net_param_from_text(path: str | os.PathLike[str]) -> Any:
    """Read a net's prototxt and upgrade it to the current form; ProtoError if it is not one."""
    return upgrade_net(read_text(path, MESSAGES["NetParameter"]()), os.fspath(path))


def read_solver_param(path: str | os.PathLike[str]) -> Any:
    """Read a solver's prototxt, upgrade it and fill in snapshot_prefix from the file's name."""
    param = upgrade_solver(read_text(path, MESSAGES["SolverParameter"]()), os.fspath(path))
    return upgrade_snapshot_prefix(param, os.fspath(path))


def read_text(path: str | os.PathLike[str], message: M) -> M:
    """Parse the text file at `path` into `message`, an empty message of the kind wanted."""
    name, kind = os.fspath(path), message.DESCRIPTOR.name
    try:
        with open(name, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:  # the first words are what genuine pycaffe says; ValueError: a zero byte
        raise ProtoError(f"Could not open file {name} ({getattr(error, 'strerror', error)})") from error
    if not data.strip():  # DEVIATION D8: Caffe takes this as a net without layers.
        raise ProtoError(f"{name}: the file is empty; want the text of a {kind} (a .prototxt)")
    return parse_text(_decode(data, name, kind), message, name)


def parse_text(text: str, message: M, source: str = "text") -> M:
    """Parse prototxt into `message`; a field given twice is an error, as in Caffe.

    Args:
        text: the prototxt; a byte order mark at its start is ignored.
        message: an empty message of the kind wanted.
        source: what errors call the text, usually a path.

    Raises:
        ProtoError: with source, line number and, for an unknown name, the nearest known one.
    """
    text = text.removeprefix("\ufeff")
    plain = read_plain(text, type(message))
    if plain is not None:
        message.CopyFrom(plain)
    else:
        try:
            text_format.Parse(text, message)
        except text_format.ParseError as error:
            raise ProtoError(_explain(error, text, message, source)) from None
    if not message.IsInitialized():  # Caffe: the C++ parser refuses this, Python's does not
        missing = message.FindInitializationErrors()  # type: ignore[attr-defined]  # not in the stubs
        raise ProtoError(f"{source}: {message.DESCRIPTOR.name} is missing required fields: "
                         + ", ".join(missing))
    return message


def _decode(data: bytes, name: str, kind: str) -> str:
    """Bytes of a prototxt -> text; comments may hold bytes in any encoding, as in Caffe."""
    binary = sniff(data[:64])
    if binary or len(data.translate(None, _CONTROL)) < len(data):
        raise ProtoError(f"{name}: this is {binary or 'a binary file'}; want the text of a {kind} "
                         "(a .prototxt); weights go in the argument for weights")
    data = data.removeprefix(b"\xef\xbb\xbf")
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode("utf-8")
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            code = line.split(b"#")[0]  # a '#' in quotes leaves an open string: an error later
            if code == line or not code.isascii():
                raise ProtoError(f"{name}, line {number}: text that is not UTF-8; want a prototxt "
                                 "saved as UTF-8") from None
            lines[number - 1] = code
    return b"\n".join(lines).decode("utf-8")


def _explain(error: text_format.ParseError, text: str, message: Message, source: str) -> str:
    line = error.GetLine()
    words = re.sub(r"^\d+:\d+ : ('.*?(?<!\\)': )?", "", str(error), flags=re.DOTALL)
    hint = _did_you_mean(words)
    source_lines = text.splitlines()
    at_end = line is not None and not "".join(source_lines[line:]).strip()
    if not hint and at_end and ("Expected" in words or "ending quote" in words):
        opened, closed = _count_braces(text)
        if opened > closed or "ending quote" in words:
            hint = " The file ends early: it was cut off, or a brace or quote is missing."
    where = f"{source}, line {line}" if line else source
    shown = source_lines[line - 1].strip()[:100] if line and line <= len(source_lines) else ""
    return (f"{where}: {words}{hint} (reading a {message.DESCRIPTOR.name}"
            + (f", at: {shown})" if shown else ")"))


def _count_braces(text: str) -> tuple[int, int]:
    bare = re.sub(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*", "", text)
    return bare.count("{") + bare.count("<"), bare.count("}") + bare.count(">")


def _did_you_mean(words: str) -> str:
    """The nearest known field or enum value, or all of them if none is near and they are few."""
    if found := _NO_FIELD.search(words):
        known = [field.name for field in proto_pool.FILE.message_types_by_name[found[1]].fields]
    elif found := _NO_VALUE.search(words):
        owner, _, enum = found[1].rpartition(".")
        table = proto_pool.FILE.message_types_by_name[owner] if owner else proto_pool.FILE
        known = list(table.enum_types_by_name[enum].values_by_name)
    else:
        return ""
    near = difflib.get_close_matches(found[2].lower(), [k.lower() for k in known], n=1, cutoff=0.6)
    if near:
        best = next(k for k in known if k.lower() == near[0])
        return f" Did you mean '{best}'?"
    return f" It knows: {', '.join(known)}." if len(known) <= 20 else ""

"""upgrade_net_proto_text, upgrade_net_proto_binary, upgrade_solver_proto_text: bring old files to today's form.

In:   a prototxt or caffemodel of any age.
Out:  a new file in the current form; even if nothing had to be done, as in Caffe.
Not here: the upgrade itself (_caffe.files.upgrade_proto).
Source: BVLC tools/upgrade_net_proto_text.cpp and the two tools beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, EncodeError

from caffe.proto import caffe_pb2

from .._caffe import log
from .._caffe.errors import ProtoError
from .._caffe.files.caffemodel_writer import atomic_write
from .._caffe.files.proto_text import read_text
from .._caffe.files.upgrade_proto import upgrade_net, upgrade_solver
from .._caffe.files.wire import looks_like_text
from .._caffe.net.fix_crop import fix_crop
from .entry import tool
from .flags import Flag, Help, parse, show_help

_NET = "Usage: upgrade_net_proto_text net_proto_file_in net_proto_file_out"
_SOLVER = "Usage: upgrade_solver_proto_text old_solver_proto_file_in old_solver_proto_file_out"
_FIX_CROP = "-fix_crop"
_FLAGS = [Flag("fix_crop", False, "also -fix-crop: give Crop layers of 2014 and 2015 the offsets that they left out")]
_LIMIT = 1 << 31  # protobuf's, for one message


def _two(words: list[str], usage: str) -> list[str]:
    if len(words) != 2:
        raise ValueError(f"{usage} (got {len(words)} arguments)")
    return words


def _notice(name: str, source: str, before: Any, after: Any) -> None:
    if before == after:
        log.error(f"File already in latest proto format: {source}", f"{name}.cpp:31")


def _write_text(path: str, message: Any) -> None:
    with atomic_write(path) as file:
        file.write(str(message).encode())


@tool
def net_text(argv: list[str]) -> int:
    """Run upgrade_net_proto_text; return the exit code. With --fix-crop, Crop layers of 2014 get their offsets."""
    try:
        options = parse([_FIX_CROP if word in ("-fix-crop", "--fix-crop") else word for word in argv], _FLAGS, _NET)
    except Help as text:
        return show_help(text)
    source, target = _two(options.words, _NET)
    param = read_text(source, caffe_pb2.NetParameter())
    upgraded = upgrade_net(param, source)
    _notice("upgrade_net_proto_text", source, param, upgraded)
    for name, offset in (fix_crop(upgraded) if options.fix_crop else {}).items():
        log.info(f"layer '{name}' (Crop): offset {offset}", "upgrade_net_proto_text.cpp:40")
    _write_text(target, upgraded)
    log.info(f"Wrote upgraded NetParameter text proto to {target}", "upgrade_net_proto_text.cpp:41")
    return 0


@tool
def net_binary(argv: list[str]) -> int:
    """Run upgrade_net_proto_binary; return the exit code."""
    usage = _NET.replace("_text", "_binary")
    try:
        source, target = _two(parse(argv, [], usage).words, usage)
    except Help as text:
        return show_help(text)
    param = _read_binary(source)
    upgraded = upgrade_net(param, source)
    _notice("upgrade_net_proto_binary", source, param, upgraded)
    try:
        data = upgraded.SerializeToString()
    except EncodeError as problem:
        raise ProtoError(f"{source}: it cannot be written in the current form ({problem}); it is from another Caffe, "
                         "whose field numbers have other meanings here") from problem
    with atomic_write(target) as file:
        file.write(data)
    log.info(f"Wrote upgraded NetParameter binary proto to {target}", "upgrade_net_proto_binary.cpp:41")
    return 0


@tool
def solver_text(argv: list[str]) -> int:
    """Run upgrade_solver_proto_text; return the exit code."""
    try:
        source, target = _two(parse(argv, [], _SOLVER).words, _SOLVER)
    except Help as text:
        return show_help(text)
    param = read_text(source, caffe_pb2.SolverParameter())
    upgraded = upgrade_solver(param, source)
    _notice("upgrade_solver_proto_text", source, param, upgraded)
    _write_text(target, upgraded)
    log.info(f"Wrote upgraded SolverParameter text proto to {target}", "upgrade_solver_proto_text.cpp:43")
    return 0


def _read_binary(path: str) -> Any:
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ProtoError(f"Could not open file {path} ({problem.strerror})") from problem
    if not data or looks_like_text(data[:64]):
        what = "empty" if not data else "text; use upgrade_net_proto_text for that"
        raise ProtoError(f"{path}: the file is {what}; want a caffemodel")
    if len(data) >= _LIMIT:
        raise ProtoError(f"{path}: {len(data)} bytes; a message may have 2 GB at most. Nets read the weights as they "
                         "are, without this tool")
    try:
        return caffe_pb2.NetParameter.FromString(data)
    except DecodeError as problem:
        raise ProtoError(f"{path}: Failed to parse it as a NetParameter ({problem}); is it a caffemodel, and "
                         "whole?") from problem

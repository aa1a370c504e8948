"""Options in the form of gflags, which Caffe's compiled tools take.

In:   arguments: -name value, -name=value, with one dash or two; -name and -noname for booleans; the rest are words.
Out:  Options: one attribute per flag, and the words.
Not here: what the flags mean. Tools that were already in Python use argparse.
Source: the documentation of gflags; caffe.cpp, convert_imageset.cpp.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

# glog's own flags, which every compiled tool also has: they are set as glog's environment variables
_GLOG = {"logtostderr": bool, "alsologtostderr": bool, "minloglevel": int, "log_dir": str, "v": int}
_BOOLEANS = {"1": True, "t": True, "true": True, "y": True, "yes": True,
             "0": False, "f": False, "false": False, "n": False, "no": False}


@dataclass(frozen=True)
class Flag:
    """One option; the type of its default (str, int, bool) is the type of its values."""

    name: str
    default: str | int | bool
    help: str


class Help(Exception):  # noqa: N818 - not an error: somebody asked
    """The user asked for help; its text is the usage."""


def parse(argv: Sequence[str], flags: Sequence[Flag], usage: str) -> SimpleNamespace:
    """Read arguments in any order; `--` ends the options.

    Args:
        argv: the arguments.
        flags: the known options.
        usage: the text before the list of options, for -help.

    Returns:
        A namespace with every flag's value under its name, and `words`, the other arguments.

    Raises:
        ValueError: an unknown option, a value that is missing or of another type.
        Help: -help or -h.
    """
    known = {flag.name: type(flag.default) for flag in flags} | _GLOG
    options = SimpleNamespace(words=[], **{flag.name: flag.default for flag in flags})
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            options.words += rest
            break
        if not word.startswith("-") or word == "-":
            options.words.append(word)
            continue
        name, given, value = word.lstrip("-").partition("=")
        if name in ("help", "h"):
            raise Help(help_text(flags, usage))
        name, found = _value(name, value if given else None, rest, known)
        if name in _GLOG:
            os.environ[f"GLOG_{name}"] = str(int(found) if isinstance(found, bool) else found)
        else:
            setattr(options, name, found)
    return options


def help_text(flags: Sequence[Flag], usage: str) -> str:
    """Return the usage and a line for every option."""
    lines = [f"  -{flag.name} ({flag.help}) type: {type(flag.default).__name__} default: {flag.default!r}"
             for flag in flags]
    return "\n".join([usage, "", "Options:", *lines])


def show_help(text: Help) -> int:
    """Print the requested help."""
    print(text, file=sys.stdout)
    return 0


def _value(name: str, value: str | None, rest: list[str], known: dict[str, type]) -> tuple[str, str | int | bool]:
    """Return the flag's name (without `no`) and its value, taken from `rest` if it is there."""
    if name not in known and name.startswith("no") and known.get(name[2:]) is bool and value is None:
        return name[2:], False
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ValueError(f"unknown command line flag '{name}'"
                         + (f"; did you mean '{near[0]}'?" if near else "; -help lists them"))
    kind = known[name]
    if kind is bool and value is None:
        return name, True
    if value is None:
        if not rest:
            raise ValueError(f"flag '-{name}' is missing its argument")
        value = rest.pop(0)
    if kind is str:
        return name, value
    try:
        return name, _BOOLEANS[value.lower()] if kind is bool else int(value)
    except (KeyError, ValueError):
        raise ValueError(f"illegal value '{value}' specified for {kind.__name__} flag '{name}'") from None

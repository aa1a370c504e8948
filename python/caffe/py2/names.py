"""Names of Python 2, and of the NumPy of its time, that no longer exist.

Out:  `builtins_of_python_2`, MODULES (old module -> what it holds), `restore_attributes`.
Not here: syntax (source.py); scipy.misc's images (scipy_misc.py).
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import decimal
import functools
import importlib
import inspect
import io
import itertools
import math
import os
import string
import sys
import time
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .division import divisor
from .source import DIVISOR, FILE, SOURCE, to_code


def _map(function: Callable | None, *iterables: Iterable) -> list:
    if function is None:
        function = (lambda *row: row) if len(iterables) > 1 else (lambda one: one)
    return [function(*row) for row in itertools.zip_longest(*iterables)]


def _filter(function: Callable | None, iterable: Iterable) -> Any:
    kept = list(builtins.filter(function, iterable))
    if isinstance(iterable, str):
        return "".join(kept)
    return tuple(kept) if isinstance(iterable, tuple) else kept


def _round(number: Any, digits: int = 0) -> float:
    if not math.isfinite(number):
        return float(number)
    step = decimal.Decimal(1).scaleb(-digits)
    return float(decimal.Decimal(float(number)).quantize(step, decimal.ROUND_HALF_UP, decimal.Context(prec=800)))


def _sorted(iterable: Iterable, cmp: Callable | None = None, key: Callable | None = None,
            reverse: bool = False) -> list:
    if cmp is not None:
        by = functools.cmp_to_key(cmp)
        return builtins.sorted(iterable, key=by if key is None else lambda one: by(key(one)), reverse=reverse)
    return builtins.sorted(iterable, key=key, reverse=reverse)


def _open(name: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
    return builtins.open(name, mode.replace("U", "") or "r", *args, **more)


class StringIO(io.BytesIO):
    """StringIO.StringIO: returns text as long as only text went in, bytes from the first bytes on."""

    def __init__(self, initial: str | bytes = "") -> None:
        super().__init__(initial.encode() if isinstance(initial, str) else initial)
        self._is_text = isinstance(initial, str)

    def write(self, more: Any) -> int:
        """Append text or bytes."""
        self._is_text = self._is_text and isinstance(more, str)
        return super().write(more.encode() if isinstance(more, str) else more)

    def _as_it_came(name: str) -> Any:  # type: ignore[misc]  # noqa: N805 - makes the four methods below
        def method(self: StringIO, *args: Any) -> Any:
            data = getattr(io.BytesIO, name)(self, *args)
            return data.decode() if self._is_text else data
        return method

    getvalue, read, readline, __next__ = map(_as_it_came, ("getvalue", "read", "readline", "__next__"))


def _load(file: Any) -> Any:
    pickle = importlib.import_module("pickle")
    data = io.BytesIO(file.getbuffer()) if isinstance(file, StringIO) else getattr(file, "buffer", file)
    return pickle.load(data, encoding="latin1")  # Python 2 wrote bytes as str


def _dump(value: Any, file: Any, protocol: int = 0) -> None:
    importlib.import_module("pickle").dump(value, getattr(file, "buffer", file), protocol)


@functools.cache
def builtins_of_python_2() -> dict[str, Any]:
    """The builtins of a Python 2 module; other modules keep theirs."""
    return {**vars(builtins), DIVISOR: divisor, SOURCE: _source,
            FILE: lambda path: to_code(Path(path).read_bytes(), path),
            "apply": lambda function, args=(), named=None: function(*args, **(named or {})),
            "basestring": str, "buffer": memoryview, "cmp": lambda a, b: (a > b) - (a < b),
            "file": _open, "filter": _filter, "input": lambda prompt="": ast.literal_eval(builtins.input(prompt)),
            "intern": sys.intern, "long": int, "map": _map, "open": _open, "range": lambda *a: list(range(*a)),
            "raw_input": builtins.input, "reduce": functools.reduce, "reload": importlib.reload, "round": _round,
            "sorted": _sorted, "StandardError": Exception, "unichr": chr, "unicode": str, "xrange": range,
            "zip": lambda *iterables: list(builtins.zip(*iterables))}


def _source(code: Any) -> Any:
    """Return what `exec` gets: Python 2 text as code."""
    return to_code(code.encode(), "<string>") if isinstance(code, str) else code


URLLIB = {name: getattr(module, name) for module, names in (
    (urllib.request, ("urlopen", "urlretrieve", "urlcleanup", "pathname2url", "url2pathname", "getproxies")),
    (urllib.parse, ("quote", "quote_plus", "unquote", "unquote_plus", "urlencode"))) for name in names}

# old module -> modules it takes its names from, and names of its own
MODULES: dict[str, list[str | dict[str, Any]]] = {
    "__builtin__": ["builtins", {}], "BaseHTTPServer": ["http.server"], "ConfigParser": [
        "configparser", {"SafeConfigParser": importlib.import_module("configparser").ConfigParser}],
    "HTMLParser": ["html.parser"], "Image": ["PIL.Image"], "ImageDraw": ["PIL.ImageDraw"],
    "ImageFont": ["PIL.ImageFont"], "Queue": ["queue"], "SocketServer": ["socketserver"],
    "SimpleHTTPServer": ["http.server"], "StringIO": [{"StringIO": StringIO}], "Tkinter": ["tkinter"],
    "cPickle": ["pickle", {"load": _load, "dump": _dump, "loads": lambda data: _load(StringIO(data))}],
    "cStringIO": [{"StringIO": StringIO}], "commands": ["subprocess"], "cookielib": ["http.cookiejar"],
    "copy_reg": ["copyreg"], "httplib": ["http.client"], "scipy.misc": ["scipy.special", "caffe.py2.scipy_misc"],
    "sets": [{"Set": set, "ImmutableSet": frozenset}], "thread": ["_thread"], "tkFileDialog": ["tkinter.filedialog"],
    "tkMessageBox": ["tkinter.messagebox"],
    "urllib2": ["urllib.request", "urllib.error", "urllib.response", URLLIB], "urlparse": ["urllib.parse"],
}


def _fromstring(data: Any, dtype: Any = float, count: int = -1, sep: str = "") -> np.ndarray:
    if sep:
        return _TEXT_FROMSTRING(data, dtype, count, sep=sep)
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype, count).copy()


_TEXT_FROMSTRING = np.fromstring

# module -> names that it used to have
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "collections": {name: getattr(collections.abc, name) for name in collections.abc.__all__},
    "inspect": {"getargspec": inspect.getfullargspec},
    "itertools": {"ifilter": filter, "ifilterfalse": itertools.filterfalse, "imap": map, "izip": zip,
                  "izip_longest": itertools.zip_longest},
    "numpy": {"Inf": np.inf, "NaN": np.nan, "alltrue": np.all, "asscalar": lambda array: array.item(), "bool": bool,
              "complex": complex, "complex_": np.complex128, "cumproduct": np.cumprod, "float": float,
              "float_": np.float64, "in1d": np.isin, "infty": np.inf, "int": int, "long": int, "object": object,
              "product": np.prod, "rank": np.ndim, "row_stack": np.vstack, "sometrue": np.any, "str": str,
              "string_": np.bytes_, "unicode": str, "unicode_": np.str_},
    "os": {"getcwdu": os.getcwd},
    "string": {"atof": float, "atoi": int, "atol": int, "join": lambda words, sep=" ": sep.join(words),
               "letters": string.ascii_letters, "lowercase": string.ascii_lowercase,
               "uppercase": string.ascii_uppercase,
               **{name: getattr(str, name) for name in ("find", "index", "lower", "lstrip", "maketrans", "replace",
                                                        "rfind", "rstrip", "split", "strip", "upper", "zfill")}},
    "sys": {"maxint": sys.maxsize, "setdefaultencoding": lambda name: None},
    "time": {"clock": time.perf_counter},
    "types": {"BooleanType": bool, "ClassType": type, "DictType": dict, "FloatType": float, "IntType": int,
              "ListType": list, "LongType": int, "NoneType": type(None), "StringType": str, "StringTypes": (str,),
              "TupleType": tuple, "UnicodeType": str},
    "urllib": URLLIB,
}


def restore_attributes() -> None:
    """Restore the names that the standard modules and NumPy used to have; existing ones stay."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns when some of them are looked up
        for module_name, names in ATTRIBUTES.items():
            module = importlib.import_module(module_name)
            for name, value in names.items():
                if not hasattr(module, name):
                    setattr(module, name, value)
    setattr(np, "fromstring", _fromstring)  # noqa: B010 - NumPy's no longer reads bytes

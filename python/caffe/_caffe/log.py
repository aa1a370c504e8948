"""Caffe's log lines, with glog's prefix, on standard error.

In:   a text and the place in Caffe's source that writes it ("solver.cpp:239").
Out:  `I1121 10:13:33.123456  4711 solver.cpp:239] text`; Caffe's own log readers need the 4-digit date.
Environment: GLOG_minloglevel (0 info, 1 warning, 2 error, 3 fatal), read at every line.
Not here: progress bars, log files of the toolkit.
"""

from __future__ import annotations

import os
import sys
import threading
import time

_LEVELS = "IWEF"
_minimum: int | None = None  # set by init_log; None: as the environment says


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Set the lowest level that is written (0 info, 1 warning, 2 error); `stderr` False writes nothing."""
    global _minimum
    _minimum = int(level) if stderr else len(_LEVELS)


def enabled(level: int) -> bool:
    """Tell whether a line of this level (0 info … 3 fatal) would be written."""
    if _minimum is not None:
        return level >= _minimum
    value = os.environ.get("GLOG_minloglevel", "0")
    return level >= (int(value) if value.isdigit() else 0)


def info(text: str, where: str = "caffe.cpp:0") -> None:
    """Write one information line."""
    _write(0, text, where)


def warning(text: str, where: str = "caffe.cpp:0") -> None:
    """Write one warning line."""
    _write(1, text, where)


def error(text: str, where: str = "caffe.cpp:0") -> None:
    """Write one error line."""
    _write(2, text, where)


def _write(level: int, text: str, where: str) -> None:
    if not enabled(level):
        return
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now))
    micros = int(now % 1 * 1e6)
    thread = threading.get_native_id()
    end = "" if text.endswith("\n") else "\n"
    sys.stderr.write(f"{_LEVELS[level]}{stamp}.{micros:06d} {thread:5d} {where}] {text}{end}")

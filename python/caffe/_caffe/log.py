"""Caffe's log lines, with glog's prefix, where glog would put them.

In:   a text and the place in Caffe's source that writes it ("solver.cpp:239").
Out:  `I1121 10:13:33.123456  4711 solver.cpp:239] text`; Caffe's own log readers need the 4-digit date.
Where to: standard error; after init_log files in GLOG_log_dir (else TMPDIR, else /tmp), one per severity, each
including the lines of higher ones; errors also go to standard error.
Environment, read for every line: GLOG_minloglevel (0 info, 1 warning, 2 error, 3 fatal), GLOG_logtostderr,
GLOG_alsologtostderr, GLOG_stderrthreshold, GLOG_log_dir. GLOG_v is for glog's verbose lines; there are
none here. Where several processes train together, only the first writes information.
Not here: progress bars, log files of the toolkit. Source: glog; BVLC _caffe.cpp, InitLog.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

_SEVERITIES = ("INFO", "WARNING", "ERROR", "FATAL")
lock = threading.RLock()  # of the files; forks wait for it


class _State:
    initialized = False
    minimum: int | None = None  # set by init_log; None: as the environment says
    to_stderr: bool | None = None
    writes_info: Callable[[], bool] = staticmethod(lambda: True)  # whether this process writes information
    before_line: Callable[[], None] | None = None  # clears whatever else is on the screen's last line
    files: dict[int, Any] = {}  # noqa: RUF012 - by severity, opened by the first line that needs one


def init_log(level: int | None = None, stderr: bool | None = None) -> None:
    """Start logging into files, as glog does; before that, all lines go to standard error.

    Args:
        level: the lowest level that is written (0 info, 1 warning, 2 error); by default GLOG_minloglevel's.
        stderr: write to standard error instead of files; by default as GLOG_logtostderr says.
    """
    # Caffe: a second call ends the process (glog wants one).
    _State.initialized = True
    _State.minimum = None if level is None else int(level)
    _State.to_stderr = None if stderr is None else bool(stderr)


def write_info_if(condition: Callable[[], bool]) -> None:
    """Write information lines only while `condition()` holds."""
    _State.writes_info = staticmethod(condition)  # type: ignore[assignment]


def before_lines(function: Callable[[], None] | None) -> None:
    """Call `function()` before each line on standard error, None: nothing any more; for progress lines."""
    _State.before_line = function


def enabled(level: int) -> bool:
    """Return whether a line of this level (0 info … 3 fatal) would be written."""
    if level == 0 and not _State.writes_info():
        return False
    return level >= (_State.minimum if _State.minimum is not None else _number("GLOG_minloglevel", 0))


def log(text: str) -> None:
    """Write one information line, as from Python."""
    _write(0, text, "_caffe.cpp:69")


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
    line = f"{_SEVERITIES[level][0]}{stamp}.{micros:06d} {thread:5d} {where}] {text}{end}"
    to_files = _State.initialized and not (_State.to_stderr if _State.to_stderr is not None
                                           else _flag("GLOG_logtostderr"))
    if not to_files or level >= _number("GLOG_stderrthreshold", 2) or _flag("GLOG_alsologtostderr"):
        if _State.before_line is not None:
            _State.before_line()
        sys.stderr.write(line)
    if to_files:
        with lock:
            for severity in range(level + 1):
                _write_to_file(severity, line)


def _write_to_file(severity: int, line: str) -> None:
    try:
        if severity not in _State.files:
            _State.files[severity] = _open_file(severity)
        if _State.files[severity] is not None:
            _State.files[severity].write(line)
    except OSError as problem:  # a full disk must not end a training because of its log
        _State.files[severity] = None
        sys.stderr.write(f"COULD NOT WRITE A LOG FILE: {problem}\n")


def _open_file(severity: int) -> Any:
    """Open <dir>/caffe.<host>.<user>.log.<SEVERITY>.<date>-<time>.<pid>, and make caffe.<SEVERITY> point at it."""
    folder = os.environ.get("GLOG_log_dir") or tempfile.gettempdir()
    host, now = socket.gethostname().split(".")[0], time.localtime()
    name = (f"caffe.{host}.{_user()}.log.{_SEVERITIES[severity]}.{time.strftime('%Y%m%d-%H%M%S', now)}.{os.getpid()}")
    file = open(os.path.join(folder, name), "a", buffering=1, encoding="utf-8")  # noqa: SIM115 - open while we run
    file.write(f"Log file created at: {time.strftime('%Y/%m/%d %H:%M:%S', now)}\nRunning on machine: {host}\n"
               "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n")
    link = os.path.join(folder, f"caffe.{_SEVERITIES[severity]}")
    with contextlib.suppress(OSError):
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(name, link)
    return file


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "invalid-user"


def _flag(name: str) -> bool:
    return os.environ.get(name, "")[:1] in tuple("tTyY1")


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdigit() else default

"""The progress line of long work on a terminal: share done, speed, time left.

In:   iterations done, now and then.
Out:  one line on stderr that is redrawn; log lines pass above it. Nothing if stderr is not a terminal.
Not here: what is logged (_caffe.log, training_log).
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from types import TracebackType

from .._caffe import log

_PAUSE = 0.2  # seconds between two drawings


class Progress:
    """Shows how far work has got, as a context manager.

    Args:
        start: the iteration (image, batch) it begins at.
        end: the one it goes to.
        unit: what is counted.
        shown: None: if stderr is a terminal.
    """

    def __init__(self, start: int, end: int, unit: str = "iter", shown: bool | None = None) -> None:
        self.start, self.end, self.unit = start, end, unit
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._began, self._drawn, self._length = time.monotonic(), -math.inf, 0

    def __enter__(self) -> Progress:
        if self._shown:
            log.before_lines(self.erase)
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._shown:
            self.erase()
            log.before_lines(None)

    def update(self, done: int, note: str = "") -> None:
        """Redraw the line with a note, but no more often than the eye can follow."""
        now = time.monotonic()
        if not self._shown or now - self._drawn < _PAUSE:
            return
        self._drawn = now
        text = self.line(done, now - self._began, note)[:shutil.get_terminal_size().columns - 1]
        self.erase()
        sys.stderr.write(text)
        sys.stderr.flush()
        self._length = len(text)

    def erase(self) -> None:
        """Erase the line, as before a log line."""
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            self._length = 0

    def line(self, done: int, seconds: float, note: str = "") -> str:
        """Return the text: share done, count, speed, note, time left at the mean speed so far."""
        share = done / self.end if self.end else 1.0
        rate = (done - self.start) / seconds if seconds > 0 else 0.0
        left = clock((self.end - done) / rate) if rate > 0 else "?"
        bar = ("#" * round(20 * share)).ljust(20, ".")
        return f"{share:4.0%} [{bar}] {done}/{self.end}, {rate:.3g} {self.unit}/s, {note}{left} left"


def clock(seconds: float) -> str:
    """Return a span of time as h:mm:ss, or in days if it is long."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days} d " if days else "") + f"{hours}:{minutes:02d}:{rest:02d}"

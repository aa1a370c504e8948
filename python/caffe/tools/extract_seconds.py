"""extract_seconds.py: for each line with "Iteration" in it, how long after the start it was logged.

In:   extract_seconds.py LOGFILE OUTPUT.   Out:  a text file, one number per line.
Also: the dates of glog's lines, which have a day and no year; newer glog's, with a year, are read as well.
Not here: the other contents of a log (parse_log).
Source: BVLC tools/extra/extract_seconds.py, for behaviour.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
from collections.abc import Sequence

from .._caffe.files.caffemodel_writer import atomic_write
from .entry import tool

_STAMP = re.compile(r"[IWEF](\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{1,6})")


class Clock:
    """Reads the times of a log's lines in order; when the months start over, it is the next year.

    Args:
        year: that of the first line.
        source: what errors call the log.
    """

    def __init__(self, year: int, source: str) -> None:
        self._year, self._source, self._month = year, source, 0

    def at(self, line: str) -> datetime.datetime:
        """Return the time of a line; ValueError if it has none."""
        found = _STAMP.match(line.strip())
        if not found:
            raise ValueError(f"{self._source}: no date as glog writes it (I1121 10:13:33.123456) in the line: "
                             f"{line.strip()[:80]}")
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        if not year:
            self._year += month < self._month
            self._month, year = month, self._year
        try:
            return datetime.datetime(year, month, day, hour, minute, second, int(found[7].ljust(6, "0")))
        except ValueError as problem:
            raise ValueError(f"{self._source}: {problem}, in the line: {line.strip()[:80]}") from None


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return a log's lines, whatever bytes the names in it contain."""
    with open(path, encoding="utf-8", errors="backslashreplace") as file:
        return file.read().splitlines()


def log_year(path: str | os.PathLike[str]) -> int:
    """Return the year a log was written in, from its file: glog's dates have none."""
    return datetime.datetime.fromtimestamp(os.stat(path).st_ctime).year


def start_time(lines: Sequence[str], year: int, source: str) -> datetime.datetime:
    """Return when training began; ValueError if no line says "Solving"."""
    for line in lines:
        if "Solving" in line:
            return Clock(year, source).at(line)
    raise ValueError(f"{source}: Start time not found: no line says \"Solving\"; want a training log")


def extract_seconds(input_file: str, output_file: str) -> None:
    """Write the seconds of every line with "Iteration" in it since the start, one per line."""
    lines, year = read_lines(input_file), log_year(input_file)
    begin, clock = start_time(lines, year, input_file), Clock(year, input_file)
    with atomic_write(output_file) as file:
        for line in lines:
            if "Iteration" in line:
                file.write(f"{(clock.at(line) - begin).total_seconds():f}\n".encode())


@tool
def main(argv: list[str]) -> int:
    """Run extract_seconds.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="extract_seconds.py", description="Write the seconds of each iteration line")
    parser.add_argument("input_file", help="training log")
    parser.add_argument("output_file", help="text file to write")
    options = parser.parse_args(argv)
    extract_seconds(options.input_file, options.output_file)
    return 0

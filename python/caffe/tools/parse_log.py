"""parse_log.py: a training's log as two tables, NAME.train and NAME.test.

In:   parse_log.py LOGFILE OUTPUT_DIR; a log of `caffe train`, ours or genuine.
Out:  CSV files with the columns NumIters, Seconds, LearningRate, and each output of the net.
Not here: dates (extract_seconds).
Source: BVLC tools/extra/parse_log.py, for behaviour.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from .._caffe.files.caffemodel_writer import atomic_write
from .entry import tool
from .extract_seconds import Clock, log_year, read_lines, start_time

Row = dict[str, float]

_NUMBER = r"[-+]?(?:[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|nan|inf)"
_ITERATION = re.compile(r"Iteration (\d+)")
_OUTPUT = re.compile(rf"(Train|Test) net output #(\d+): (\S+) = ({_NUMBER})", re.IGNORECASE)
_RATE = re.compile(rf"lr = ({_NUMBER})", re.IGNORECASE)


def parse_log(path_to_log: str | os.PathLike[str]) -> tuple[list[Row], list[Row]]:
    """Read a log.

    Returns:
        Two lists of rows, of training and of testing: NumIters, Seconds since "Solving", LearningRate (nan before
        the first is logged) and the outputs by name.

    Raises:
        ValueError: there is no line with "Solving" in it, or a line has no date.
    """
    path = os.fspath(path_to_log)
    lines, year = read_lines(path), log_year(path)
    begin, clock = start_time(lines, year, path), Clock(year, path)
    tables: dict[str, list[Row]] = {"Train": [], "Test": []}
    rate, iteration = float("nan"), -1
    for line in lines:
        if found := _ITERATION.search(line):
            iteration = int(found[1])
        if iteration == -1:
            continue  # only what comes after the first iteration counts
        if found := _RATE.search(line):
            rate = float(found[1])
        if found := _OUTPUT.search(line):
            table, name = tables[found[1].capitalize()], found[3]
            # outputs of one iteration make a row; those of a second test net with the same names make another
            if not table or table[-1]["NumIters"] != iteration or name in table[-1]:
                seconds = (clock.at(line) - begin).total_seconds()
                table.append({"NumIters": float(iteration), "Seconds": seconds, "LearningRate": rate})
            table[-1][name] = float(found[4])
    for table in tables.values():
        # a solver logs its first rate after the first row
        if len(table) > 1:
            table[0]["LearningRate"] = table[1]["LearningRate"]
    return tables["Train"], tables["Test"]


def write_csv(path: str | os.PathLike[str], rows: Sequence[Row], delimiter: str = ",") -> None:
    """Write rows under a line of column names; an empty table makes an empty file."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path) as file:
        for fields in [names, *[[_text(row.get(name)) for name in names] for row in rows]] if rows else []:
            file.write(_line(fields, delimiter).encode())


def _text(value: float | None) -> str:
    return "" if value is None else f"{value}"


def _line(fields: Iterable[str], delimiter: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return stream.getvalue()


@tool
def main(argv: list[str]) -> int:
    """Run parse_log.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="parse_log.py", description="Parse a Caffe training log into two CSV files "
                                     "containing training and testing information")
    parser.add_argument("logfile_path", help="Path to log file")
    parser.add_argument("output_dir", help="Directory in which to place output CSV files")
    parser.add_argument("--verbose", action="store_true", help="Print where the files are")
    parser.add_argument("--delimiter", default=",", help="Column delimiter in output files (default: ',')")
    options = parser.parse_args(argv)
    if len(options.delimiter) != 1:
        raise ValueError(f"--delimiter {options.delimiter!r}: want one character")
    for rows, kind in zip(parse_log(options.logfile_path), ("train", "test"), strict=True):
        target = Path(options.output_dir) / f"{os.path.basename(options.logfile_path)}.{kind}"
        write_csv(target, rows, options.delimiter)
        if options.verbose:
            print(f"Wrote {target}")
    return 0

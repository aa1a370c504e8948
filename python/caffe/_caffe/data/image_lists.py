"""Lists of images as Caffe reads them: a path, a blank, a whole number on each line.

In:   a text file.   Out:  (path, label) of each line.
Not here: images.    Source: BVLC tools/convert_imageset.cpp, image_data_layer.cpp.
"""

from __future__ import annotations

import re
from pathlib import Path

from .. import log
from ..errors import CaffeError

_WHOLE = re.compile(r" \s*[+-]?[0-9]+\s*$")


def read_list(source: str) -> list[tuple[str, int]]:
    """Read a list.

    Raises:
        CaffeError: no such file, or no line in it.
    """
    try:
        with Path(source).open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            rows = [line.removesuffix("\n") for line in file]
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise CaffeError(f"Failed to open source file: {source!r} ({getattr(problem, 'strerror', problem)}); want a "
                         "text file of lines `path label`") from problem
    if not rows:
        raise CaffeError(f"File is empty: {source}; want lines `path label`")
    lines = [split_line(row) for row in rows]
    odd = [i for i, row in enumerate(rows) if not _WHOLE.search(row)]
    if odd:
        row, label = rows[odd[0]].encode(errors="replace").decode(), lines[odd[0]][1]
        log.warning(f"{source}, line {odd[0] + 1}: '{row}' does not end in a blank and a whole number; its label is "
                    f"read as {label}, as by Caffe. There are {len(odd)} such lines", "image_lists:0")
    return lines


def split_line(line: str) -> tuple[str, int]:
    """Split a line at its last blank.

    Caffe: atoi reads the label, so anything that is not a number counts as 0; a line without a blank is all path.
    """
    name, blank, label = line.rpartition(" ")
    number = re.match(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", label)
    value = int(number[1]) if number else 0
    return (name if blank else line), (value + 2**31) % 2**32 - 2**31

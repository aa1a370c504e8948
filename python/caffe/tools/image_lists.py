"""Lists of images as Caffe's tools read them: a path, a blank, a whole number on each line.

In:   a text file.   Out:  (path, label) of each line.
Not here: images.    Source: BVLC tools/convert_imageset.cpp.
"""

from __future__ import annotations

import re
from pathlib import Path

from .._caffe.errors import CaffeError


def read_list(source: str) -> list[tuple[str, int]]:
    """Read a list; each line is parted at its last blank.

    Raises:
        CaffeError: no such file, or no line in it.
    """
    try:
        text = Path(source).read_bytes().decode(errors="surrogateescape")
    except OSError as problem:
        raise CaffeError(f"Could not open file {source} ({problem.strerror}); want a text file of lines "
                         "`path label`") from problem
    lines = text.removesuffix("\n").split("\n") if text else []
    if not lines:
        raise CaffeError(f"File is empty: {source}; want lines `path label`")
    return [_split(line) for line in lines]


def _split(line: str) -> tuple[str, int]:
    name, blank, label = line.rpartition(" ")
    number = re.match(r"\s*([+-]?\d+)", label)
    return (name if blank else line), int(number[1]) if number else 0

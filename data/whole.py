"""Files that are there whole or not at all.

In:   a path and a function that writes to an open file.
Out:  the file, put in place by one rename; `alone` for one process at a time;
    `is_whole` for pictures written by others; DataError.
Not here: what is written.   Source: ours; POSIX rename within a folder is atomic.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Callable

_ENDS = {".jpg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}


class DataError(ValueError):
    """A data set, a file of it or a request for it is not as it must be."""


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name in its folder, then rename it.

    Args:
        path: where it shall lie; the folder is made if it is missing.
        write: called with the open file.

    Raises:
        OSError: the disk is full or the folder read-only; the old file, if any, stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            write(file)
        os.replace(part, path)
    except OSError as error:
        if str(error.filename) in ("None", str(part)):
            error.filename = str(path)  # not the temporary name
        raise
    finally:
        if part.exists():
            part.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) as `write_whole` does."""
    write_whole(path, lambda file: file.write(text.encode()))


@contextmanager
def alone(path: Path, what: str) -> Iterator[FileIO]:
    """Open a file (made if missing) for this process alone; another one that has it is waited for.

    Args:
        path: the file, opened for reading and appending, unbuffered.
        what: what the other process is doing, for the line on stderr.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with open(path, "ab+", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"another process {what}; waiting", file=sys.stderr, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield file
                return  # else that process renamed or removed it: again, with the file that is there now


def is_whole(path: Path) -> bool:
    """Tell whether a .jpg or .png is there and ends as such a file must."""
    end = _ENDS[path.suffix]
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(end)))
            return file.read() == end
    except FileNotFoundError:
        return False


def remove_left_over(folder: Path) -> None:
    """Remove temporary files of processes that no longer run."""
    for part in folder.glob(".*.part"):
        owner = part.name.rsplit(".", 2)[-2]
        if not (owner.isdigit() and _runs(int(owner))):
            part.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

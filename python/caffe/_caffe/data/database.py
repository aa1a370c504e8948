"""LMDB databases to read records from, one after the other, again from the start at the end.

In:   the folder of an LMDB database (data.mdb in it).
Out:  Cursor: key and value of the present record, `next`.
Not here: what a record holds (datum), LevelDB (leveldb), writing databases (database_writer).
Source: BVLC db_lmdb.cpp, data_layer.cpp (Next).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import CaffeError

# An environment may be opened once a process: all cursors on a folder share it. The last one closes it.
_environments: dict[str, Any] = {}
_users: dict[str, int] = {}
_lock = threading.RLock()  # a cursor may be collected, and so released, wherever memory is asked for


class Cursor:
    """Goes through the records of a database in the order of their keys, in a circle.

    It sees the database as it was when the cursor was made. May be used from any thread, one at a time.

    Args:
        path: folder of the database.

    Raises:
        CaffeError: no such folder, no LMDB in it, no record in that, or the lmdb package is missing.
    """

    kind = "LMDB"

    def __init__(self, path: str) -> None:
        self.path = path
        self._lmdb = _import_lmdb(path)
        environment = use(_checked(path), self, _open)
        try:
            transaction = environment.begin(buffers=True)
            self.count: int = transaction.stat()["entries"]  # records in the database
            self._cursor = transaction.cursor()
            if not self._cursor.first():
                raise CaffeError(f"LMDB '{path}' is empty; fill it again (was its writing interrupted?)")
        except self._lmdb.Error as problem:
            raise CaffeError(f"LMDB '{path}' cannot be read: {_reason(str(problem), path)}") from problem

    @property
    def key(self) -> str:
        """The present record's key, as text."""
        return bytes(self._cursor.key()).decode(errors="backslashreplace")

    @property
    def value(self) -> memoryview:
        """The present record's bytes, without a copy; valid as long as the cursor is."""
        return self._cursor.value()

    def next(self) -> None:
        """Go to the next record, or after the last one to the first."""
        try:
            if not self._cursor.next():
                self._cursor.first()
        except self._lmdb.Error as problem:
            raise CaffeError(f"LMDB '{self.path}' is damaged after record '{self.key}': {problem}") from problem


def use(path: str, cursor: object, opener: Callable[[str], Any]) -> Any:
    """Give the environment of a folder, opened once; it stays open as long as a cursor on it lives."""
    real = os.path.realpath(path)
    with _lock:
        _users[real] = _users.get(real, 0) + 1
        weakref.finalize(cursor, _release, real)
        if real not in _environments:
            _environments[real] = opener(path)
        return _environments[real]


def _release(real: str) -> None:
    with _lock:
        _users[real] -= 1
        if not _users[real]:
            del _users[real]
            if real in _environments:
                _environments.pop(real).close()


def _open(path: str) -> Any:
    lmdb = _import_lmdb(path)
    if not os.path.getsize(os.path.join(path, "data.mdb")):
        raise CaffeError(f"LMDB '{path}' is cut off: data.mdb is empty; fetch or write it again")
    try:
        # The lock file is for readers beside writers; a folder that cannot be written has none.
        environment = lmdb.open(path, readonly=True, create=False, lock=os.access(path, os.W_OK), max_readers=512)
    except lmdb.Error as problem:
        raise CaffeError(f"LMDB '{path}' cannot be opened: {_reason(str(problem), path)}") from problem
    # Mapped memory beyond the end of its file would end the process.
    want = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    have = os.path.getsize(os.path.join(path, "data.mdb"))
    if have < want:
        environment.close()
        raise CaffeError(f"LMDB '{path}' is cut off: data.mdb has {have} bytes, want {want}; fetch or write it again")
    return environment


def _import_lmdb(path: str) -> Any:
    try:
        import lmdb
    except ImportError as problem:
        raise CaffeError(f"LMDB '{path}': the package lmdb is missing; pip install lmdb") from problem
    return lmdb


def _checked(path: str) -> str:
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise CaffeError(f"LMDB '{path}' {what}; data_param.source must be the folder that has data.mdb in it")
    if not (folder / "data.mdb").is_file():
        other = " (it looks like a LEVELDB)" if (folder / "CURRENT").exists() else ""
        raise CaffeError(f"LMDB '{path}': the folder has no data.mdb{other}; data_param.source must be the folder "
                         f"of an LMDB database")
    return path


def _reason(text: str, path: str) -> str:
    if "already open" in text:
        return f"{text}; close it there, or let Caffe read a copy"
    if "MDB_INVALID" in text or "MDB_CORRUPTED" in text or "not an LMDB" in text:
        return f"{path}/data.mdb is no LMDB file, or only part of one ({text}); write or fetch it again"
    return text

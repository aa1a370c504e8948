"""LMDB databases to read records from, one after the other, starting over at the end.

In:   the folder of an LMDB database (data.mdb in it).
Out:  Cursor: key and value of the current record, `next`.
Not here: what a record holds (datum), LevelDB (leveldb), writing databases (database_writer).
Source: BVLC db_lmdb.cpp, data_layer.cpp (Next).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import forks
from ..errors import CaffeError

# An environment may be opened once per process: all cursors on a folder share it. The last one closes it.
_environments: dict[str, Any] = {}
_users: dict[str, int] = {}
_lock = forks.brief_lock()  # a cursor may be collected, and so released, on any allocation
_cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
_parents: dict[str, Any] = {}  # environments that came to this process by a fork; the parent's to release


class Cursor:
    """Goes through the records of a database in the order of their keys, cyclically.

    It sees the database as it was when the cursor was made. May be used from any thread, one at a time.

    Args:
        path: folder of the database.

    Raises:
        CaffeError: no such folder, no LMDB in it, no records, or the lmdb package is missing.
    """

    kind = "LMDB"

    def __init__(self, path: str) -> None:
        self.path = path
        self._lmdb = _import_lmdb(path)
        self._real = os.path.realpath(_checked(path))
        self._start: bytes | None = None  # in the child of a fork: the record at which to reopen the database
        self._begin()
        _cursors.add(self)

    def _begin(self) -> None:
        path, environment = self.path, use(self._real, self, _open)
        try:
            transaction = environment.begin(buffers=True)
            self.count: int = transaction.stat()["entries"]  # number of records in the database
            self._cursor = transaction.cursor()
            if self._start is None and not self._cursor.first():
                raise CaffeError(f"LMDB '{path}' is empty; fill it again (was its writing interrupted?)")
            if self._start is not None and not self._cursor.set_key(self._start):
                raise CaffeError(f"LMDB '{path}' no longer has record {self._start!r}, at which the parent process "
                                 "was when it forked; build the net again")
        except self._lmdb.Error as problem:
            raise CaffeError(f"LMDB '{path}' cannot be read: {_reason(str(problem), path)}") from problem
        self._start = None

    def _own(self) -> Any:
        """Return the cursor on this process's own environment."""
        if self._start is not None:
            self._begin()
        return self._cursor

    def leave_to_parent(self) -> None:
        """Stop using what came through a fork; its transaction holds the parent's place among the readers."""
        if self._start is None:
            self._start = bytes(self._cursor.key())
            if self._lmdb.__version__.startswith(("0.", "1.")):  # later ones notice that they are in another process
                forks.keep_for_good(self._cursor)
            self._cursor = None

    @property
    def key(self) -> str:
        """The current record's key, as text."""
        return bytes(self._own().key()).decode(errors="backslashreplace")

    @property
    def value(self) -> memoryview:
        """The current record's bytes, without a copy; valid as long as the cursor is."""
        return self._own().value()

    def next(self) -> None:
        """Move to the next record, or from the last one to the first."""
        cursor = self._own()
        try:
            if not cursor.next():
                cursor.first()
        except self._lmdb.Error as problem:
            raise CaffeError(f"LMDB '{self.path}' is damaged after record '{self.key}': {problem}") from problem


def use(path: str, cursor: object, opener: Callable[[str], Any], parents: bool = False) -> Any:
    """Return the environment of a folder, opened once; it stays open as long as a cursor on it lives.

    With `parents` it is the parent's in the child of a fork.
    """
    real = os.path.realpath(path)
    with _lock:
        if parents and real in _parents:
            return _parents[real]
        _users[real] = _users.get(real, 0) + 1
        weakref.finalize(cursor, _release, real, os.getpid())
        if real not in _environments:
            _environments[real] = opener(path)
        return _environments[real]


def _in_child() -> None:
    for cursor in list(_cursors):
        cursor.leave_to_parent()
    for environment in _environments.values():
        forks.keep_for_good(environment)
    _parents.update(_environments)
    _environments.clear()
    _users.clear()


os.register_at_fork(after_in_child=_in_child)


def _release(real: str, process: int) -> None:
    if process != os.getpid():  # of a cursor that came through a fork
        return
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
    # The lock file is for readers alongside writers; a read-only folder has none.
    how = {"readonly": True, "create": False, "lock": os.access(path, os.W_OK), "max_readers": 512}
    try:
        try:
            environment = lmdb.open(path, **how)
        except lmdb.Error:
            if path not in _parents:
                raise
            _parents.pop(path).close()  # lmdb from 2.0 on opens a folder once; the parent's own stays open
            environment = lmdb.open(path, **how)
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
        return f"{path}/data.mdb is not an LMDB file, or only part of one ({text}); write or fetch it again"
    return text

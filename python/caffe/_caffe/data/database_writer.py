"""Databases, written atomically: under another name until the last record is in.

In:   keys and values, in any order.
Out:  a folder that Data layers, ours and genuine Caffe's, can read.
Not here: reading (database), LevelDB (leveldb), what a record holds (datum).   Source: BVLC db_lmdb.cpp.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from types import TracebackType

from ..errors import CaffeError
from .leveldb import LevelDBStore

_EVERY = 1000  # records in a transaction
_MAP_SIZE = 1 << 30  # bytes to begin with; a full map is doubled


class DatabaseWriter:
    """A database in the making, as a context manager.

    It takes its name only if the block ends without an error; otherwise nothing remains.

    Args:
        path: folder of the new database; must not exist.
        backend: "lmdb" or "leveldb", in any case.

    Raises:
        CaffeError: another backend, a path that is taken or cannot be written, the backend's package is missing.
    """

    def __init__(self, path: str, backend: str = "lmdb") -> None:
        if backend.lower() not in _STORES:
            raise CaffeError(f"backend '{backend}': want {' or '.join(_STORES)}")
        self.path, self.count = path.rstrip("/") or path, 0
        self._part = f"{self.path}.{os.getpid()}.part"
        self._waiting: list[tuple[bytes, bytes]] = []
        if os.path.lexists(self.path):
            raise CaffeError(f"mkdir {self.path} failed: it already exists; remove it or choose another name")
        try:
            os.mkdir(self._part)
            self._store: LmdbStore | LevelDBStore = _STORES[backend.lower()](self._part)
        except (OSError, CaffeError) as problem:
            shutil.rmtree(self._part, ignore_errors=True)
            if isinstance(problem, CaffeError):
                raise
            raise CaffeError(f"mkdir {self.path} failed: {problem.strerror or problem}; choose a place that can be "
                             "written") from problem

    def __enter__(self) -> DatabaseWriter:
        return self

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record, replacing one with the same key."""
        self._waiting.append((key, value))
        self.count += 1
        if len(self._waiting) >= _EVERY:
            self._write()

    def _write(self) -> None:
        try:
            self._store.write(self._waiting)
        except self._store.error as problem:
            raise CaffeError(f"database '{self.path}' cannot be written ({problem}); free some space and repeat the "
                             "command") from problem
        self._waiting.clear()

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None,
                 trace: TracebackType | None) -> None:
        whole = False
        try:
            if kind is None:
                self._write()
                whole = True
        finally:
            self._store.close(whole)
            if whole:
                os.rename(self._part, self.path)
            shutil.rmtree(self._part, ignore_errors=True)


class LmdbStore:
    """A new LMDB, in an existing folder."""

    def __init__(self, path: str) -> None:
        try:
            import lmdb
        except ImportError as problem:
            raise CaffeError("the package lmdb is missing; pip install lmdb") from problem
        self._lmdb = lmdb
        self.error = (lmdb.Error, OSError)
        try:
            self._env = lmdb.open(path, map_size=_MAP_SIZE, meminit=False, sync=False)
        except lmdb.Error as problem:
            raise OSError(str(problem)) from problem

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Add records in one transaction; a map that is full is doubled."""
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in records:
                        transaction.put(key, value)
                return
            except self._lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except self._lmdb.BadValsizeError as problem:
                raise CaffeError(f"a key is empty or longer than {self._env.max_key_size()} bytes; shorten the "
                                 "names") from problem

    def close(self, whole: bool) -> None:
        """Close the database; if `whole`, it is on disk when this returns."""
        if whole:
            self._env.sync(True)
        self._env.close()


_STORES: dict[str, type[LmdbStore] | type[LevelDBStore]] = {"lmdb": LmdbStore, "leveldb": LevelDBStore}

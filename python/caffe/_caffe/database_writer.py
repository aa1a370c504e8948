"""LMDB databases, written whole: under another name until the last record is in.

In:   keys and values, in the order of the keys or not.
Out:  a folder that Data layers, ours and genuine Caffe's, read.
Not here: reading (database), what a record holds (datum).   Source: BVLC db_lmdb.cpp.
"""

from __future__ import annotations

import os
import shutil
from types import TracebackType

from .errors import CaffeError

_EVERY = 1000  # records in a transaction
_MAP_SIZE = 1 << 30  # bytes to begin with; a full map is doubled


class DatabaseWriter:
    """A database in the making, as a context manager.

    Only when the block ends without an error does it take its name; else nothing stays.

    Args:
        path: folder of the database to be; must not be there.
        backend: "lmdb".

    Raises:
        CaffeError: another backend, a path that is taken or cannot be written, the lmdb package is missing.
    """

    def __init__(self, path: str, backend: str = "lmdb") -> None:
        if backend.lower() != "lmdb":
            raise CaffeError(f"backend '{backend}': want lmdb" + ("; this Caffe writes no LevelDB, and Data layers of "
                             "every Caffe read LMDB with `backend: LMDB`" if backend.lower() == "leveldb" else ""))
        try:
            import lmdb
        except ImportError as problem:
            raise CaffeError("the package lmdb is missing; pip install lmdb") from problem
        self._lmdb, self.path, self.count = lmdb, path.rstrip("/") or path, 0
        self._part = f"{self.path}.{os.getpid()}.part"
        if os.path.lexists(self.path):
            raise CaffeError(f"mkdir {self.path} failed: it is there already; remove it or choose another name")
        try:
            os.mkdir(self._part)
            self._env = lmdb.open(self._part, map_size=_MAP_SIZE, meminit=False, sync=False)
        except (OSError, lmdb.Error) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise CaffeError(f"mkdir {self.path} failed: {reason}; choose a place that can be written") from problem
        self._waiting: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> DatabaseWriter:
        return self

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record; one of the same key is replaced."""
        self._waiting.append((key, value))
        self.count += 1
        if len(self._waiting) >= _EVERY:
            self._commit()

    def _commit(self) -> None:
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in self._waiting:
                        transaction.put(key, value)
                self._waiting.clear()
                return
            except self._lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except self._lmdb.BadValsizeError as problem:
                raise CaffeError(f"LMDB '{self.path}': a key is empty or longer than {self._env.max_key_size()} bytes; "
                                 "shorten the names") from problem
            except self._lmdb.Error as problem:
                raise CaffeError(f"LMDB '{self.path}' cannot be written ({problem}); free some space and repeat the "
                                 "command") from problem

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._commit()
                self._env.sync(True)
            self._env.close()
            if kind is None:
                os.rename(self._part, self.path)
        finally:
            self._env.close()
            shutil.rmtree(self._part, ignore_errors=True)

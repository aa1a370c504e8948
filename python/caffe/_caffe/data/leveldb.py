"""LevelDB databases, through the package plyvel: read record by record, and written.

In:   the folder of a LevelDB database.
Out:  LevelDBCursor, with the interface of database.Cursor; LevelDBStore, for database_writer.
Not here: LMDB (database), what a record holds (datum).   Source: BVLC db_leveldb.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import CaffeError
from .database import Cursor, use

_OPTIONS = {"block_size": 65536, "max_open_files": 100}  # as Caffe's


class LevelDBCursor:
    """Goes through the records of a database in the order of their keys, cyclically; see database.Cursor.

    A LevelDB belongs to one process at a time: all cursors here share it. The child of a fork reads through its
    parent's, which it never closes.

    Args:
        path: folder of the database.

    Raises:
        CaffeError: no such folder, no LevelDB in it, no records, another process has it open, or the package
            plyvel is missing.
    """

    kind = "LevelDB"

    def __init__(self, path: str) -> None:
        self.path = path
        self._plyvel = import_plyvel(path)
        if not (Path(path) / "CURRENT").is_file():
            raise CaffeError(f"LevelDB '{path}': no such folder, or no LevelDB in it; data_param.source must be the "
                             "folder of a LevelDB database, or backend LMDB")
        self._database = use(path, self, self._open, parents=True)
        self._count: int | None = None
        self._begin()

    def _open(self, path: str) -> Any:
        try:
            return self._plyvel.DB(path, **_OPTIONS)
        except (self._plyvel.Error, OSError) as problem:
            raise CaffeError(f"LevelDB '{path}' cannot be opened: {problem}; is another process using it, or is it "
                             "damaged?") from problem

    def _begin(self) -> None:
        self._records: Iterator[tuple[bytes, bytes]] = self._database.iterator()
        if not self._go():
            raise CaffeError(f"LevelDB '{self.path}' is empty; fill it again (was its writing interrupted?)")

    def _go(self) -> bool:
        try:
            record = next(self._records, None)
        except (self._plyvel.Error, OSError) as problem:
            raise CaffeError(f"LevelDB '{self.path}' is damaged: {problem}") from problem
        if record is not None:
            self._key, self.value = record
        return record is not None

    @property
    def count(self) -> int:
        """Number of records in the database; all are read to count them."""
        if self._count is None:
            self._count = sum(1 for _ in self._database.iterator(include_value=False))
        return self._count

    @property
    def key(self) -> str:
        """The current record's key, as text."""
        return self._key.decode(errors="backslashreplace")

    def next(self) -> None:
        """Move to the next record, or from the last one to the first."""
        if not self._go():
            self._begin()


class LevelDBStore:
    """A new database, in a folder that does not exist yet."""

    def __init__(self, path: str) -> None:
        plyvel = import_plyvel(path)
        self.error = (plyvel.Error, OSError)
        self._database = plyvel.DB(path, create_if_missing=True, error_if_exists=True, **_OPTIONS)

    def write(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Add records in one step."""
        with self._database.write_batch() as batch:
            for key, value in records:
                batch.put(key, value)

    def close(self, whole: bool) -> None:
        """Close the database; if `whole`, it is on disk when this returns."""
        if whole:
            with self._database.write_batch(sync=True):
                pass
        self._database.close()


CURSORS: dict[str, type[Cursor] | type[LevelDBCursor]] = {"lmdb": Cursor, "leveldb": LevelDBCursor}  # by backend


def import_plyvel(path: str) -> Any:
    """Return the package plyvel; CaffeError if it is missing."""
    try:
        import plyvel
    except ImportError as problem:
        raise CaffeError(f"backend LEVELDB ('{path}') needs the package plyvel: pip install plyvel, or keep the data "
                         "in an LMDB (`backend: LMDB`, convert_imageset -backend lmdb)") from problem
    return plyvel

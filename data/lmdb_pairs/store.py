"""LMDB environments: written in whole transactions, with a map that grows; read record by record.

In:   a folder; keys and values.
Out:  Store to write, `records` to read; each fault as one DataError.
Not here: what values hold (datums.py).
Source: the lmdb package, 1.4 and newer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Tuple

from data.whole import DataError

PAGE = 4096


class Store:
    """One LMDB being written; use it in a `with`.

    Args:
        folder: of the database; made if it is missing.
        map_size: bytes to begin with. A full map is doubled.
    """

    def __init__(self, folder: Path, map_size: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._env = _open(folder, map_size=map_size, meminit=False)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *fault: object) -> None:
        self._env.close()

    @property
    def count(self) -> int:
        """Records in whole transactions."""
        return int(self._env.stat()["entries"])

    def put(self, rows: Sequence[Tuple[bytes, bytes]]) -> None:
        """Write records in one transaction: all of them or none.

        Raises:
            DataError: the disk is full, or the database is damaged.
        """
        lmdb = load_lmdb()
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in rows:
                        transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except lmdb.Error as error:
                raise DataError(f"LMDB '{self.folder}' cannot be written ({error}); it holds {self.count} whole "
                                "records; free some space and repeat the command, which goes on after them") from error


@contextmanager
def records(folder: Path) -> Iterator[Any]:
    """Open an LMDB to read; gives (count, iterator of (key, value)), values as views without a copy.

    Raises:
        DataError: no such folder, no LMDB in it, or only part of one.
    """
    if not (folder / "data.mdb").is_file():
        raise DataError(f"'{folder}' is no LMDB: there is no data.mdb in it; want a folder that `lmdb write` made")
    lmdb = load_lmdb()
    env = _open(folder, readonly=True, create=False, lock=os.access(folder, os.W_OK))
    try:
        have, want = (folder / "data.mdb").stat().st_size, (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        if have < want:
            raise DataError(f"LMDB '{folder}' is cut off: data.mdb has {have} bytes, want {want}; write or copy it "
                            "again")
        with env.begin(buffers=True) as transaction:
            yield int(env.stat()["entries"]), ((bytes(key), value) for key, value in transaction.cursor())
    except lmdb.Error as error:
        raise DataError(f"LMDB '{folder}' is damaged ({error}); write it again") from error
    finally:
        env.close()


def on_disk(value: bytes) -> int:
    """Give the bytes that a value takes in an LMDB: large ones lie in pages of their own."""
    return -(-(len(value) + 16) // PAGE) * PAGE if len(value) > PAGE // 2 else len(value) + 64


def load_lmdb() -> Any:
    """Import the lmdb package; DataError says how to get it."""
    try:
        import lmdb
    except ImportError as error:
        raise DataError("the Python package lmdb is missing; pip install 'lmdb>=1.4'") from error
    return lmdb


def _open(folder: Path, **options: Any) -> Any:
    lmdb = load_lmdb()
    try:
        return lmdb.open(str(folder), **options)
    except lmdb.Error as error:
        if "already open" in str(error):
            raise DataError(f"LMDB '{folder}' is open in this very process (a net with a Data layer?); close that "
                            "first") from error
        raise DataError(f"LMDB '{folder}' cannot be opened ({error}); if it is damaged, delete the folder and write "
                        "it again") from error

"""Write a source's items into one LMDB a top, restartable after any interruption.

In:   a Source, how many items, the encodings; a folder.
Out:  DIR/TOP/data.mdb, DIR/pairs.json (what is in it, and whether it is whole).
Not here: reading back (checking.py), the command line (command.py).
Source: keys as Caffe's convert_imageset writes them.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from data.lmdb_pairs.datums import IMAGE, pack
from data.lmdb_pairs.source import Source, kind_of
from data.lmdb_pairs.store import Store, on_disk
from data.whole import DataError, alone, write_text

RECORD = "pairs.json"
AT_ONCE = 50  # items a transaction
_SAMPLES = 8  # items whose size is measured for the estimate
_LONGEST_KEY = 511  # LMDB's


@dataclass(frozen=True)
class Plan:
    """All that decides what is written; a second run with the same plan goes on where the first one stopped."""

    source: Source
    count: int
    encode: str = "jpeg-as-is"  # images
    label_encode: str = "png"
    kinds: Dict[str, str] = field(default_factory=dict)  # of each top, as the first item has it

    def text(self, complete: bool) -> str:
        """Give the record's text."""
        return json.dumps({**asdict(self), "complete": complete}, indent=1) + "\n"


def key_of(number: int, name: str) -> bytes:
    """Give the key of an item: its number, so that keys are in the order of draws, and its id."""
    key = f"{number:08d}_{name}".encode()
    if len(key) > _LONGEST_KEY:
        raise DataError(f"id '{name[:60]}...' is too long for an LMDB key; want at most {_LONGEST_KEY - 9} bytes")
    return key


def plan(source: Source, count: int, encode: str, label_encode: str) -> Plan:
    """Look at the first item of a source and plan its writing."""
    layer = source.opened()
    _, arrays = next(source.items(layer))
    return Plan(source, count, encode, label_encode, {top: kind_of(array) for top, array in arrays.items()})


def estimate(what: Plan) -> int:
    """Give the bytes that all the LMDBs will take, from a sample of items spread over the source."""
    layer = what.source.opened()
    step = max(1, min(what.count, len(layer.indices)) // _SAMPLES)
    sampled = list(islice(what.source.items(layer), 0, _SAMPLES * step, step))
    sizes = [on_disk(value) for name, arrays in sampled for value in _values(what, layer, name, arrays).values()]
    return int(sum(sizes) / len(sampled) * what.count) + (1 << 16)


def write(what: Plan, folder: Path, bar: Callable[..., Any]) -> int:
    """Write all items that are not there yet.

    Args:
        what: from `plan`.
        folder: made if it is missing.
        bar: makes a progress bar (tqdm), called with total and initial.

    Returns:
        how many items were there already.

    Raises:
        DataError: the folder holds something else, the disk is too small, full or not writable.
        DataLayerError: a file of the source that cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock", f"writes '{folder}'"):
        _check_record(what, folder)
        size = estimate(what)
        with ExitStack() as stack:
            stores = {top: stack.enter_context(Store(folder / top, size + size // 4)) for top in what.kinds}
            done = min(store.count for store in stores.values())
            _check_room(folder, size * (what.count - done) // what.count)
            write_text(folder / RECORD, what.text(complete=False))
            with bar(total=what.count, initial=done) as progress:
                _fill(what, stores, done, progress.update)
        write_text(folder / RECORD, what.text(complete=True))
    return done


def _fill(what: Plan, stores: Dict[str, Store], done: int, update: Callable[[int], Any]) -> None:
    layer = what.source.opened()
    items = what.source.items(layer, done)
    for start in range(done, what.count, AT_ONCE):
        rows: Dict[str, List[Tuple[bytes, bytes]]] = {top: [] for top in stores}
        for number in range(start, min(start + AT_ONCE, what.count)):
            name, arrays = next(items)
            for top, value in _values(what, layer, name, arrays).items():
                rows[top].append((key_of(number, name), value))
        for top, store in stores.items():
            store.put(rows[top])
        update(len(rows[top]))


def _values(what: Plan, layer: Any, name: str, arrays: Dict[str, np.ndarray]) -> Dict[str, bytes]:
    """Pack the arrays of an item, one value a top."""
    packed = {}
    for top, array in arrays.items():
        if kind_of(array) == IMAGE:
            original = Path(layer.file_of(top, name)).read_bytes() if what.encode == "jpeg-as-is" else None
            packed[top] = pack(array, what.encode, original)
        else:
            packed[top] = pack(array, what.label_encode)
    return packed


def read_record(folder: Path) -> Dict[str, Any]:
    """Read a folder's record.

    Raises:
        DataError: there is none, or it is none.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {key: record[key] for key in ("source", "count", "encode", "label_encode", "kinds", "complete")}
    except FileNotFoundError as error:
        raise DataError(f"'{folder}' has no {RECORD}; want a folder that `python -m data lmdb write` made") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{path}' is no record of an LMDB pair ({error}); write the pair again") from error


def _check_record(what: Plan, folder: Path) -> None:
    """Refuse a folder that was begun with another plan, or that holds databases of unknown origin."""
    if not (folder / RECORD).exists():
        strange = [top for top in what.kinds if (folder / top / "data.mdb").exists()]
        if strange:
            raise DataError(f"'{folder}' has LMDBs ({', '.join(strange)}) but no {RECORD}; choose another --out, or "
                            "delete them")
        return
    there, wanted = read_record(folder), json.loads(what.text(complete=True))
    other = [key for key in wanted if key != "complete" and there[key] != wanted[key]]
    if other:
        raise DataError(f"'{folder}' was written with another {', '.join(other)} (see {RECORD} there); choose another "
                        "--out, or delete the folder")


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DataError(f"'{folder}' wants about {megabytes(size)} more, its disk has {megabytes(free)} free; free "
                        "some space, choose another --out, or take --encode jpeg-as-is")


def megabytes(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e6:,.1f} MB"

"""Read LMDB pairs back: compare them with each other and with their source, or make files of them again.

In:   a folder that writing.py filled.
Out:  what was found (Report); pictures.
Not here: writing databases.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import numpy as np
from PIL import Image

from data.lmdb_pairs.datums import FLOATS, LABEL, parse, unpack
from data.lmdb_pairs.source import Source
from data.lmdb_pairs.store import records
from data.lmdb_pairs.writing import key_of, read_record
from data.whole import DataError, write_whole

_RED_FIRST = "hha"  # the top whose channels stand as in its file; all other pictures are blue, green, red


@dataclass(frozen=True)
class Report:
    """What `verify` saw."""

    pairs: int
    compared: bool  # with the files they were made of
    why_not: str = ""


def pairs(folder: Path, kinds: Dict[str, str]) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Go through the records of all tops side by side: key, and value (a view) of each top.

    Raises:
        DataError: a key that one top lacks.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(records(folder / top))[1] for top in kinds]
        for rows in zip_longest(*opened, fillvalue=(b"", b"")):
            keys = [key for key, _ in rows]
            present = min(key for key in keys if key)
            lacking = [top for top, key in zip(kinds, keys) if key != present]
            if lacking:
                raise DataError(f"'{folder}': key '{present.decode()}' is missing in {', '.join(lacking)}; write the "
                                "pair again into an empty folder")
            yield present.decode(), {top: value for top, (_, value) in zip(kinds, rows)}


def verify(folder: Path, bar: Callable[..., Any]) -> Report:
    """Read everything back: keys, Datums, sizes, and each value against the source where that is still there.

    Args:
        folder: with pairs.json.
        bar: makes a progress bar (tqdm), called with an iterable and total.

    Raises:
        DataError: the first thing that is not as it must be.
    """
    record = _finished(folder)
    source, items, why_not = Source(**record["source"]), None, ""
    try:
        items = source.items(source.opened())
    except (ValueError, OSError) as error:  # DataLayerError among these
        why_not = str(error)
    seen = 0
    for seen, (key, values) in enumerate(bar(pairs(folder, record["kinds"]), total=record["count"]), start=1):
        try:
            arrays = {top: unpack(value, record["kinds"][top]) for top, value in values.items()}
            _check_sizes(arrays)
        except DataError as error:
            raise DataError(f"'{folder}', record '{key}': {error}; write the pair again") from error
        if items is not None:
            _compare(folder, key, seen - 1, arrays, *next(items))
    if seen != record["count"]:
        raise DataError(f"'{folder}' has {seen} records, its record says {record['count']}; write the pair again")
    return Report(seen, items is not None, why_not)


def read(folder: Path, out: Path, palette: np.ndarray, bar: Callable[..., Any]) -> int:
    """Write each record as a file OUT/TOP/KEY: pictures as stored, raw ones as PNG, labels palette PNGs, floats npy.

    Files that are there stay. Gives how many pairs there are; DataError as `verify`.
    """
    record, count = _finished(folder), 0
    for key, values in bar(pairs(folder, record["kinds"]), total=record["count"]):
        for top, value in values.items():
            _save(out / top, key, top, value, record["kinds"][top], palette)
        count += 1
    return count


def _finished(folder: Path) -> Dict[str, Any]:
    """Read a folder's record; DataError where it was not written to its end."""
    record = read_record(folder)
    if not record["complete"]:
        raise DataError(f"'{folder}' was not written to its end; repeat the `lmdb write` command, which goes on")
    return record


def _check_sizes(arrays: Dict[str, np.ndarray]) -> None:
    sizes = {top: array.shape[1:] for top, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        text = ", ".join(f"{top} {width} x {height}" for top, (height, width) in sizes.items())
        raise DataError(f"its tops differ in size: {text}")


def _compare(folder: Path, key: str, number: int, arrays: Dict[str, np.ndarray], name: str,
             wanted: Dict[str, np.ndarray]) -> None:
    if key_of(number, name).decode() != key:
        raise DataError(f"'{folder}': record {number} is '{key}', the source has '{name}' there; write the pair again")
    for top, array in arrays.items():
        if array.dtype != wanted[top].dtype or not np.array_equal(array, wanted[top]):
            raise DataError(f"'{folder}', record '{key}': {top} is not what its file says; has the file changed? write "
                            "the pair again into an empty folder")


def _save(folder: Path, key: str, top: str, value: Any, kind: str, palette: np.ndarray) -> None:
    datum = parse(value)
    encoded = datum.encoded and kind != LABEL and top != _RED_FIRST
    jpeg = encoded and datum.data.startswith(b"\xff\xd8")
    path = folder / f"{key.replace('/', '_')}{'.npy' if kind == FLOATS else '.jpg' if jpeg else '.png'}"
    if path.exists():
        return
    if encoded:
        write_whole(path, lambda file: file.write(datum.data))
        return
    array = unpack(value, kind)
    stream = io.BytesIO()
    if kind == FLOATS:
        np.save(stream, array)
    elif kind == LABEL:
        image = Image.fromarray(array[0])
        image.putpalette(palette.astype(np.uint8).tobytes())
        image.save(stream, "PNG")
    else:
        Image.fromarray(np.ascontiguousarray((array if top == _RED_FIRST else array[::-1]).transpose(1, 2, 0))).save(
            stream, "PNG")
    write_whole(path, lambda file: file.write(stream.getvalue()))

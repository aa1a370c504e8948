"""The data sets by name, and what is there of them.

In:   the rows (set_rows.py); `missing` and `require` look at the user's disk.
Out:  `SETS[name]`; what is missing of a set, where it comes from and to which place it goes.
Not here: reading images (layers/), making or changing files (data/<set>/).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from data.set_rows import ROWS
from data.set_types import DataSet, Head, Need, Split
from data.whole import DataError

__all__ = ["SETS", "DataError", "DataSet", "Head", "Need", "Split", "data_set", "missing", "require"]

SETS: dict[str, DataSet] = {row.name: row for row in ROWS}


def data_set(name: str) -> DataSet:
    """Return the row `name`; DataError lists the known names."""
    if name not in SETS:
        raise DataError(f"data set '{name}' is not known; known are: {', '.join(sorted(SETS))}")
    return SETS[name]


def missing(name: str, *, root: str | Path = ".", kinds: Collection[str] | None = None) -> list[Need]:
    """List what is not there of a data set.

    Args:
        name: in SETS.
        root: folder that places are relative to; the project's root.
        kinds: kinds of input that are wanted (color, hha, depth); None: all there are.

    Returns:
        The needs whose place is absent or empty; when all are there, one Need for each split of
        which images or labels are absent, with the first of them as its place.

    Raises:
        DataError: unknown name.
    """
    row, root = data_set(name), Path(root)
    wanted = [need for need in row.needs if kinds is None or need.kind in ("", *kinds)]
    absent = [need for need in wanted if not _is_there(root / need.place)]
    if absent:
        return absent
    gaps = [_gap(row, split, root) for split in row.splits]
    return [gap for gap in gaps if gap is not None]


def require(name: str, *, root: str | Path = ".") -> DataSet:
    """Return the row of a data set all of whose files are there.

    Args:
        name: in SETS.
        root: folder that places are relative to; the project's root.

    Raises:
        DataError: unknown name, or files missing: each with its origin and its place.
    """
    absent = missing(name, root=root)
    if absent:
        raise DataError(
            f"data set '{name}' is not complete in {Path(root).resolve()}:\n{describe(absent)}"
        )
    return SETS[name]


def describe(absent: Sequence[Need]) -> str:
    """Return what is missing and what to do about it, two lines for each origin."""
    places: dict[tuple[str, str], list[str]] = {}
    for need in absent:
        places.setdefault((need.origin, need.checksum), []).append(need.place)
    lines = []
    for (origin, checksum), names in places.items():
        lines.append(f"missing {', '.join(names)}")
        lines.append(f"    {origin}" + (f" [{checksum}]" if checksum else ""))
    return "\n".join(lines)


def read_ids(path: Path, *, numbered: bool = False) -> list[str]:
    """Return the ids of a split list, one a line.

    Args:
        path: the list.
        numbered: lines are `name number`, of which the name is returned.

    Raises:
        DataError: the list is not text, is empty, or has a line that is not an id.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"list '{path}' is not a text file; write one id a line") from error
    ids = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != (2 if numbered else 1):
            form = "`name number`" if numbered else "one id"
            raise DataError(f"list '{path}', line {number}: got {line!r}, want {form}")
        ids.append(words[0])
    if not ids:
        raise DataError(f"list '{path}' is empty; make it anew or fetch it again")
    return ids


def _is_there(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir())
    return path.is_file() and path.stat().st_size > 0


def _gap(row: DataSet, split: Split, root: Path) -> Need | None:
    """Return what is missing of a split's images and labels, as one Need, or None."""
    folder = root / split.folder
    ids = read_ids(folder / split.ids, numbered=not split.label)
    absent = []
    for form in split.files():
        known = {entry.name for entry in (folder / form).parent.glob("*")}
        names = (Path(form.format(name)).name for name in ids)
        absent += [f"{split.folder}/{Path(form).parent}/{n}" for n in names if n not in known]
    if not absent:
        return None
    more = f" and {len(absent) - 1} more files of split '{split.name}'" if absent[1:] else ""
    near = [need for need in row.needs if absent[0].startswith(f"{need.place}/")]
    source = [*near, *(need for need in row.needs if need.place.startswith(split.folder))][0]
    return Need(absent[0] + more, source.origin, source.checksum)

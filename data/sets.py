"""The data sets: one row each.

In:   nothing but `data/<folder>/classes.txt`; `missing` and `require` look at the user's disk.
Out:  `SETS[name]`; what is missing of a set, where it comes from and to which place it goes.
Not here: reading images (layers/), making or changing files (data/<set>/).
Source: means, splits and classes of `voc` as in the FCN release; checksums as published by others
    who serve the same archives; `shapes` is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.whole import DataError

__all__ = ["SETS", "DataError", "DataSet", "Need", "Split", "data_set", "missing", "require"]

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Split:
    """One list of ids and where the files of an id lie, relative to `folder`; {} is the id.

    With `label` empty the lines of the list are `name number` (a classifier's list).
    """

    name: str
    folder: str
    ids: str
    image: str
    label: str = ""


@dataclass(frozen=True)
class Need:
    """One thing that must be there: its place, how to get it, and a checksum of the download."""

    place: str
    origin: str
    checksum: str = ""


@dataclass(frozen=True)
class DataSet:
    """One data set as nets see it: label k is classes[k], ignore_label counts nowhere."""

    name: str
    classes: tuple[str, ...]
    mean_bgr: tuple[float, float, float]  # subtracted from pixels in 0 ... 255
    scale: float  # multiplies what is left
    train_dir: str  # all places are relative to the project's root
    val_dir: str
    splits: tuple[Split, ...]
    needs: tuple[Need, ...]
    licence: str
    ignore_label: int = 255
    palette: str = "voc"  # colours of label pictures: vis.make_palette


def _classes(folder: str) -> tuple[str, ...]:
    return tuple((HERE / folder / "classes.txt").read_text().split())


_VOC, _SBDD, _SHAPES = "data/pascal/VOC2011", "data/sbdd/dataset", "data/shapes"
_VOC_LISTS = "ImageSets/Segmentation"
_VOC_TAR = (
    "fetch http://host.robots.ox.ac.uk/pascal/VOC/voc2011/VOCtrainval_25-May-2011.tar"
    f" (unpack; move TrainVal/VOCdevkit/VOC2011 to {_VOC})"
)
_VOC_SUM = "md5 6c3384ef61512963050cb5d687e5bf1e"
_SBD_TAR = (
    "fetch http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    f"benchmark.tgz (unpack; move benchmark_RELEASE/dataset to {_SBDD})"
)
_SBD_SUM = "md5 82b4d87ceb2ed10f6038a1cba92111cb, ungzipped 2b2af8a6cff7365684e002c08be823a6"
_MADE_HERE = "run `python -m data.shapes.generate`, which draws it"


def _voc_split(name: str, folder: str) -> Split:
    """Return a split in the layout of a VOC devkit."""
    return Split(
        name, folder, f"{_VOC_LISTS}/{name}.txt", "JPEGImages/{}.jpg", "SegmentationClass/{}.png"
    )


_ROWS = (
    DataSet(
        name="voc",
        classes=_classes("pascal"),
        mean_bgr=(104.00699, 116.66877, 122.67892),
        scale=1.0,
        train_dir=_SBDD,
        val_dir=_VOC,
        splits=(
            Split("train", _SBDD, "train.txt", "img/{}.jpg", "cls/{}.mat"),
            _voc_split("seg11valid", _VOC),
        ),
        needs=(
            Need(f"{_SBDD}/train.txt", _SBD_TAR, _SBD_SUM),
            Need(f"{_SBDD}/img", _SBD_TAR, _SBD_SUM),
            Need(f"{_SBDD}/cls", _SBD_TAR, _SBD_SUM),
            Need(f"{_VOC}/JPEGImages", _VOC_TAR, _VOC_SUM),
            Need(f"{_VOC}/SegmentationClass", _VOC_TAR, _VOC_SUM),
            Need(
                f"{_VOC}/{_VOC_LISTS}/seg11valid.txt",
                "then run `python -m data.pascal.seg11valid`, which makes it of VOC's and SBD's",
            ),
        ),
        licence="photographs under Flickr's terms, for research; not to be passed on",
    ),
    DataSet(
        name="shapes",
        classes=_classes("shapes"),
        mean_bgr=(128.0, 128.0, 128.0),
        scale=1 / 60,
        train_dir=f"{_SHAPES}/dataset",
        val_dir=f"{_SHAPES}/dataset",
        splits=(
            _voc_split("train", f"{_SHAPES}/dataset"),
            _voc_split("seg11valid", f"{_SHAPES}/dataset"),
            Split("classifier train", f"{_SHAPES}/classifier", "train.txt", "images/{}"),
            Split("classifier val", f"{_SHAPES}/classifier", "val.txt", "images/{}"),
        ),
        needs=(
            Need(f"{_SHAPES}/dataset/{_VOC_LISTS}/train.txt", _MADE_HERE),
            Need(f"{_SHAPES}/dataset/{_VOC_LISTS}/seg11valid.txt", _MADE_HERE),
            Need(f"{_SHAPES}/classifier/train.txt", _MADE_HERE),
            Need(f"{_SHAPES}/classifier/val.txt", _MADE_HERE),
        ),
        licence="as the project's own: drawn by its generator",
    ),
)
SETS: dict[str, DataSet] = {row.name: row for row in _ROWS}


def data_set(name: str) -> DataSet:
    """Return the row `name`; DataError lists the known names."""
    if name not in SETS:
        raise DataError(f"data set '{name}' is not known; known are: {', '.join(sorted(SETS))}")
    return SETS[name]


def missing(name: str, *, root: str | Path = ".") -> list[Need]:
    """List what is not there of a data set.

    Args:
        name: in SETS.
        root: folder that places are relative to; the project's root.

    Returns:
        The needs whose place is absent or empty; when all are there, one Need for each split of
        which images or labels are absent, with the first of them as its place.

    Raises:
        DataError: unknown name.
    """
    row, root = data_set(name), Path(root)
    absent = [need for need in row.needs if not _is_there(root / need.place)]
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
    for form in (split.image, split.label):
        if form:
            known = {entry.name for entry in (folder / form).parent.glob("*")}
            names = (Path(form.format(name)).name for name in ids)
            absent += [f"{split.folder}/{Path(form).parent}/{n}" for n in names if n not in known]
    if not absent:
        return None
    more = f" and {len(absent) - 1} more files of split '{split.name}'" if absent[1:] else ""
    source = next(need for need in row.needs if need.place.startswith(split.folder))
    return Need(absent[0] + more, source.origin, source.checksum)

"""The lists of ids that the release trains and scores on: what they are known by, and how to come by them.

In:   a data set's folder; the release's own lists from its repository, or what they follow from.
Out:  SPLITS, digests; seg11valid.txt, NYUD's and SIFT Flow's lists where an archive lacks them.
Not here: what the data layers do with them (layers/).
Source: counts and SHA-256 of the release's lists (ids joined by newlines, first 16 digits), as they stand and sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data.download import Download, fetch
from data.pascal import seg11valid
from data.pascal.seg11valid import digest
from data.sets import read_ids
from data.whole import DataError, write_text

RELEASE = "https://raw.githubusercontent.com/shelhamer/fcn.berkeleyvision.org/master/data"


class IdList(NamedTuple):
    """One list: how many ids, and the digests of the release's, in its order and sorted ("": not known)."""

    length: int
    ordered: str = ""
    sorted: str = ""

    def judge(self, ids: list[str]) -> str:
        """Compare ids with the release's list, in words."""
        if self.ordered and digest(ids) == self.ordered:
            return "the release's list"
        if self.sorted and digest(sorted(ids)) == self.sorted:
            return "the release's ids in another order (other draws in training, the same scores)"
        if not self.sorted and len(ids) == self.length:
            return "as many as the release has"
        return f"NOT the release's {self.length} ids"


SPLITS: dict[str, dict[str, IdList]] = {
    "voc": {"seg11valid": IdList(736, "33d3d44294e02741", "33d3d44294e02741"), "train": IdList(1112)},
    "sbd": {"train": IdList(8498)},
    "context": {"train": IdList(4998), "val": IdList(5105)},
    "nyud": {
        "train": IdList(381, "8db94b4a9b33494c", "f29b0c2b58cf2991"),
        "val": IdList(414, "140f799a3016db88", "140f799a3016db88"),
        "trainval": IdList(795),
        "test": IdList(654, "f717536bdff71424", "0b128b3a51a20438"),
    },
    "siftflow": {
        "trainval": IdList(2486, "4321de2b16455687", "646d97910f15f0c0"),
        "test": IdList(200, "d9d024d06b1ed213", "772854924eb149c3"),
    },
}
UNLABELLED = ("highway_bost181", "street_urb506")  # SIFT Flow's two images without annotation


def complete_voc(root: Path) -> Iterator[str]:
    """Make seg11valid.txt of VOC's val.txt and SBD's train.txt, as soon as both are there; tell what was done."""
    voc, sbd = root / "data/pascal/VOC2011", root / "data/sbdd/dataset"
    if (voc / seg11valid.LISTS / "seg11valid.txt").exists():
        return
    if (voc / seg11valid.LISTS / "val.txt").exists() and (sbd / "train.txt").exists():
        yield f"{seg11valid.make(voc, sbd)}: made of VOC's val.txt and SBD's train.txt"
    else:
        other = "sbd" if (voc / seg11valid.LISTS / "val.txt").exists() else "voc"
        yield f"seg11valid.txt needs both VOC and SBD: `python -m data get {other}`"


def complete_nyud(root: Path) -> Iterator[str]:
    """Write the lists of NYUD that are missing: the release's, else of splits.mat; trainval = train + val."""
    folder = root / "data/nyud"
    for split in ("train", "val", "test"):
        yield from _from_release(root, "nyud", folder / f"{split}.txt")
    trainval, parts = folder / "trainval.txt", (folder / "train.txt", folder / "val.txt")
    if not trainval.exists() and all(part.exists() for part in parts):
        _write(trainval, [name for part in parts for name in read_ids(part)])
        yield f"{trainval}: made, train + val"
    if (folder / "splits.mat").exists():
        yield from of_splits_mat(folder / "splits.mat", folder)
    yield from _lacking([trainval, folder / "test.txt"], "give the release's lists, or `python -m data get nyud-mat`, "
                        "whose splits.mat tells training from test")


def complete_siftflow(root: Path) -> Iterator[str]:
    """Write the lists of SIFT Flow that are missing: the release's; trainval follows from test."""
    folder = root / "data/sift-flow"
    trainval, test = folder / "trainval.txt", folder / "test.txt"
    yield from _from_release(root, "siftflow", trainval)
    yield from _from_release(root, "siftflow", test)
    if test.exists() and not trainval.exists():
        known = {path.stem for path in (folder / "SemanticLabels").rglob("*.mat")}
        _write(trainval, sorted(known - set(read_ids(test)) - set(UNLABELLED)))
        yield f"{trainval}: made, all labelled images that test.txt has not"
    yield from _lacking([trainval, test], "put the release's test.txt (200 ids, one a line) there and repeat")


def of_splits_mat(path: Path, folder: Path) -> Iterator[str]:
    """Write trainval.txt and test.txt, where missing, of NYU's own split: ids are its indices (from 1) + 5000."""
    import scipy.io

    for split, field in (("trainval", "trainNdxs"), ("test", "testNdxs")):
        target = folder / f"{split}.txt"
        if target.exists():
            continue
        try:
            indices = scipy.io.loadmat(str(path), variable_names=[field])[field]
        except Exception as error:  # SciPy's reader raises nearly anything on a broken file
            raise DataError(f"'{path}' has no readable field '{field}' ({type(error).__name__}: {error}); "
                            "remove it and run `python -m data get nyud-mat`") from error
        _write(target, [str(5000 + int(index)) for index in sorted(indices.ravel())])
        yield f"{target}: made of splits.mat"


def _from_release(root: Path, name: str, place: Path) -> Iterator[str]:
    """Fetch one of the release's lists, unless it is there; a host that is gone is told, not raised."""
    if place.exists():
        return
    file = f"{place.parent.name}-{place.name}"  # nyud-train.txt: mirrors know it by this name
    download = Download(file, (f"{RELEASE}/{place.parent.name}/{place.name}",), licence="FCN release",
                        remedy=f"put it there as {place.name}")
    try:
        ids = read_ids(fetch(download, root / "data/downloads"))
    except DataError as error:
        yield f"{place}: {error}"
        return
    known = SPLITS[name][place.stem]
    if digest(ids) != known.ordered:
        yield f"{place}: {file} in {root / 'data/downloads'} has {len(ids)} ids, {known.judge(ids)}; not used"
        return
    _write(place, ids)
    yield f"{place}: the release's list"


def _lacking(paths: list[Path], remedy: str) -> Iterator[str]:
    gone = [path for path in paths if not path.exists()]
    if gone:
        raise DataError(f"lists are missing: {', '.join(map(str, gone))}; {remedy}")
    yield from ()


def _write(path: Path, ids: list[str]) -> None:
    write_text(path, "".join(f"{name}\n" for name in ids))

"""Fetch a data set: `python -m data get NAME [--from FILE] [--root DIR]`.

In:   a name, files the user has already, the project's root.
Out:  the set where the data layers look for it; archives stay in data/downloads.
Not here: which files (sources.py), one download (download.py), unpacking (archives.py), lists (id_lists.py).
Everything may be stopped at any time and started again; files that are in place are never overwritten.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data import id_lists
from data.archives import WrongArchive, folder_with, move, unpack
from data.download import fetch, forget
from data.sources import SOURCES, Package, source
from data.whole import DataError, alone

DOWNLOADS = "data/downloads"
COMPLETE: dict[str, Callable[[Path], Iterator[str]]] = {
    "voc": id_lists.complete_voc, "sbd": id_lists.complete_voc,
    "nyud": id_lists.complete_nyud, "siftflow": id_lists.complete_siftflow,
}


def get(name: str, root: Path = Path("."), files: Sequence[Path] = (), *, again: bool = False) -> None:
    """Bring a data set to its place: download, check, unpack, move, complete its lists.

    Args:
        name: in SOURCES.
        root: the project's root.
        files: copies of the downloads that the user has, told apart by their names.
        again: unpack once more, to have back files that were removed.

    Raises:
        DataError: unknown name, a download or archive that is wrong, no room; each says what to do.
        OSError: the disk is full. What is done stays, and another call goes on.
    """
    row = source(name)
    print(f"{row.name}: {row.what}." + (f" {row.note}" if row.note else ""))
    with alone(root / DOWNLOADS / f".{name}.lock", f"gets {name}"):
        wanted = [package for package in row.packages if not is_there(package, root) or (again and package.holds)]
        given = _given(files, wanted or row.packages)
        for package in row.packages:
            if package in wanted:
                _bring(package, root, given.get(package.download.name))
            else:
                print(f"{root / package.to}: {', '.join(package.proofs)} there already")
        for line in COMPLETE.get(name, lambda _: iter(()))(root):
            print(line)
    print(f"{row.name}: done; archives in {root / DOWNLOADS} may be removed")


def is_there(package: Package, root: Path) -> bool:
    """Tell whether a package was put in place to its end."""
    return not _unpacked(package, root).exists() and all((root / package.to / proof).exists()
                                                         for proof in package.proofs)


def _bring(package: Package, root: Path, from_file: Path | None) -> None:
    path, target = fetch(package.download, root / DOWNLOADS, from_file), root / package.to
    if not package.holds:
        target.mkdir(parents=True, exist_ok=True)
        move(path, target / path.name)
        return
    half = _unpacked(package, root)
    try:
        unpack(path, half)
        right = _right_folder(package, path, half, target)
    except WrongArchive:
        forget(path)
        shutil.rmtree(half)  # not to be mixed with what another archive has
        raise
    move(right, target)
    if half.exists():  # it is the target itself, where the archive had nothing around
        shutil.rmtree(half)
    print(f"{target}: in place")


def _right_folder(package: Package, path: Path, half: Path, target: Path) -> Path:
    """Find the folder to be moved, with all that is not at its place yet; WrongArchive where the archive lacks it."""
    try:
        right = folder_with(package.holds, half)
        lacking = [one for one in package.proofs if not ((right / one).exists() or (target / one).exists())]
    except WrongArchive:
        right, lacking = half, [package.holds]
    if lacking:
        raise WrongArchive(f"'{path}' has no {', '.join(map(repr, lacking))} in it; it is not the archive it should "
                           "be: remove it, and give another one with --from FILE")
    return right


def _unpacked(package: Package, root: Path) -> Path:
    """The folder an archive is unpacked in; it is there until everything is moved to its place."""
    return root / DOWNLOADS / f"{package.download.name}.unpacked"


def _given(files: Sequence[Path], packages: Sequence[Package]) -> dict[str, Path]:
    """Say which file of the user is which download: by its name, or because only one is wanted."""
    names = [package.download.name for package in packages]
    if len(files) == len(names) == 1:
        return {names[0]: files[0]}
    strange = [str(file) for file in files if file.name not in names]
    if strange:
        raise DataError(f"--from {', '.join(strange)}: want files called {', '.join(names)}; rename them")
    return {file.name: file for file in files}


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `get` to the commands of `python -m data`."""
    parser = commands.add_parser("get", help="fetch a data set and put it in place")
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(SOURCES)}")
    parser.add_argument("--from", dest="files", type=Path, action="append", default=[], metavar="FILE",
                        help="a copy of a download that you have (may be repeated)")
    parser.add_argument("--root", type=Path, default=Path("."), help="the project's root (.)")
    parser.add_argument("--again", action="store_true", help="unpack again, to have back files that were removed")
    parser.set_defaults(run=lambda args: get(args.name, args.root, args.files, again=args.again))

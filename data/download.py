"""Fetch a file from the first of its mirrors that has it, whole and checked.

In:   a Download (name, addresses, size, checksums, licence) and the folder it shall lie in.
Out:  the path; the file is put there by one rename after its checksum was found right.
Not here: one connection (transfer.py), unpacking (archives.py), which files there are (sources.py).
Source: ours. FCN_MIRROR, a base URL or a folder, is tried before a file's own addresses.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from tqdm import tqdm

from data.transfer import BLOCK, Refused, in_units, origin_of, require_room, transfer
from data.whole import DataError, alone, write_text, write_whole

__all__ = ["Download", "check", "fetch", "forget"]

MIRROR = "FCN_MIRROR"
FORMS = {"md5": 32, "sha1": 40, "sha256": 64}  # hexadecimal digits


@dataclass(frozen=True)
class Download:
    """One file to fetch: any one of `checksums` ("md5:...", "sha1:...", "sha256:...") is right.

    Without checksums, the SHA-256 of the first download is recorded beside the file, in NAME.sha256,
    and held against it from then on. size is in bytes, 0 where it is not known.
    """

    name: str
    urls: tuple[str, ...]
    size: int = 0
    checksums: tuple[str, ...] = ()
    licence: str = ""
    remedy: str = "give it with --from FILE"  # what to do with a copy that the user has

    def __post_init__(self) -> None:
        for checksum in self.checksums:
            kind, _, digits = checksum.partition(":")
            if len(digits) != FORMS.get(kind):
                raise DataError(f"{self.name}: checksum '{checksum}' is not one of md5:, sha1:, sha256: and its digits")


def fetch(download: Download, folder: str | Path, from_file: str | Path | None = None) -> Path:
    """Return the path of a download in `folder`, fetched if it is not there, checked in any case.

    Mirrors are tried in order; a download that was cut goes on where it was, now or when started again.
    Two processes that want one file fetch it once.

    Args:
        download: what.
        folder: where to; made if missing.
        from_file: a copy the user has: checked and put there (linked where that is possible).

    Raises:
        DataError: no mirror delivers (each is named with what it did), a wrong checksum, no room.
        OSError: the disk is full or the folder read-only; what came so far stays as NAME.part.
    """
    place = Path(folder) / download.name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        _same(place, from_file)
        check(download, place)
        return place
    if from_file is not None:
        _take(download, Path(from_file), place)
        return place
    part = place.with_name(f"{place.name}.part")
    with alone(part, f"fetches {place.name}") as file:
        if place.exists():  # another process was faster
            part.unlink(missing_ok=True)
            return place
        size = in_units(download.size) if download.size else "size as its host says"
        print(f"{download.name}: {size}; licence: {download.licence or 'not stated'}", flush=True)
        try:
            _from_mirrors(download, file, place)
        except BaseException:
            if file.seek(0, os.SEEK_END) == 0:  # nothing came that could be gone on from
                part.unlink(missing_ok=True)
                origin_of(part).unlink(missing_ok=True)
            raise
        _record(download, part, place)
        os.replace(part, place)
        origin_of(part).unlink(missing_ok=True)
    return place


def check(download: Download, path: Path) -> None:
    """Raise DataError unless `path` is the file that the download describes."""
    flaw = _flaw(download, path, path)
    if flaw:
        raise DataError(f"'{path}' {flaw}; it is broken or another file: remove it and repeat the command")


def forget(path: Path) -> None:
    """Drop the SHA-256 that was recorded of a file which turned out wrong, so that the right one may come."""
    _record_of(path).unlink(missing_ok=True)


def _same(place: Path, from_file: str | Path | None) -> None:
    """Refuse a user's file where another one is in its place already: it would not be looked at."""
    if from_file is None or (Path(from_file).is_file() and filecmp.cmp(place, from_file, shallow=False)):
        return
    raise DataError(f"--from '{from_file}': '{place}' is there already, and is another file; remove that one, or leave "
                    "--from out")


def _from_mirrors(download: Download, file: FileIO, place: Path) -> None:
    """Fill the file from the first address that serves the right one, or name all that were tried."""
    tried = []
    for url in _addresses(download):
        try:
            flaw = _from_one(download, url, file, place)
        except Refused as error:
            flaw = str(error)
        except OSError as error:
            error.filename = error.filename or str(file.name)  # disk full: say where
            raise
        if not flaw:
            return
        print(f"{download.name}: {url}: {flaw}", file=sys.stderr)
        tried.append(f"{url}: {flaw}")
    told = "; ".join(tried) or "there is no public address"
    have = file.seek(0, os.SEEK_END)
    kept = f"; {in_units(have)} that came are kept in '{file.name}', the same command goes on from there"
    raise DataError(f"cannot fetch {download.name} ({told}); fetch it by other means and {download.remedy}, or name "
                    f"a mirror in {MIRROR} (a base URL or a folder that has {download.name}){kept if have else ''}")


def _addresses(download: Download) -> list[str]:
    base = os.environ.get(MIRROR, "")
    if not base:
        return list(download.urls)
    if "://" not in base:
        base = Path(base).resolve().as_uri()
    return [f"{base.rstrip('/')}/{download.name}", *download.urls]


def _from_one(download: Download, url: str, file: FileIO, place: Path) -> str:
    """Fetch from one address; gives what is wrong with the result, or empty."""
    begun = file.seek(0, os.SEEK_END) > 0
    transfer(url, file, download.size, trust=bool(download.checksums))
    flaw = _flaw(download, Path(str(file.name)), place)
    if flaw and begun:  # perhaps the beginning was that of another file
        file.truncate(0)
        transfer(url, file, download.size)
        flaw = _flaw(download, Path(str(file.name)), place)
    if flaw:
        file.truncate(0)
    return flaw


def _flaw(download: Download, path: Path, place: Path) -> str:
    """What is wrong with the file at `path` that is, or shall be, at `place`; or empty."""
    size = path.stat().st_size
    if download.size and size != download.size:
        return f"has {size} bytes, want {download.size}"
    with open(path, "rb") as file:
        if file.read(64).lstrip().lower().startswith((b"<!doctype html", b"<html")):
            return "is a web page, not the file"
    wanted = download.checksums or _recorded(place)
    found = digests(path, [checksum.partition(":")[0] for checksum in wanted])
    if not wanted or set(wanted) & set(found):
        return ""
    return f"has {', '.join(found)}, want {' or '.join(wanted)}"


def digests(path: Path, kinds: Sequence[str]) -> list[str]:
    """Return a file's checksums of these kinds, as Download writes them, once each."""
    if not kinds:
        return []
    sums = {kind: hashlib.new(kind) for kind in kinds}
    with open(path, "rb") as file, tqdm(total=path.stat().st_size, desc=f"check {path.name}", unit="B",
                                        unit_scale=True, dynamic_ncols=True, leave=False) as bar:
        while block := file.read(BLOCK):
            for one in sums.values():
                one.update(block)
            bar.update(len(block))
    return [f"{kind}:{one.hexdigest()}" for kind, one in sums.items()]


def _recorded(place: Path) -> tuple[str, ...]:
    record = _record_of(place)
    return tuple(f"sha256:{word}" for word in record.read_text().split()[:1]) if record.exists() else ()


def _record(download: Download, path: Path, place: Path) -> None:
    """Note the SHA-256 of a file of which no checksum is known, in the form of sha256sum."""
    if not download.checksums and not _recorded(place):
        digest = digests(path, ["sha256"])[0].partition(":")[2]
        write_text(_record_of(place), f"{digest}  {place.name}\n")
        print(f"{place.name}: no checksum is published; its SHA-256 is now recorded in {_record_of(place)}")


def _record_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.sha256")


def _take(download: Download, source: Path, place: Path) -> None:
    """Put a copy that the user has at `place`: linked on the same disk, else copied."""
    if not source.is_file():
        kind = "is a folder; want the file as it was downloaded" if source.is_dir() else (
            "is missing; give a file that is there, or leave --from out")
        raise DataError(f"--from '{source}' {kind}")
    flaw = _flaw(download, source, place)
    if flaw:
        raise DataError(f"--from '{source}' {flaw}; it is broken or not {download.name}")
    _record(download, source, place)
    try:
        os.link(source.resolve(), place)
    except OSError:  # another disk, or one without links
        size = source.stat().st_size
        require_room(place.parent, size, place.name)
        with open(source, "rb") as file, tqdm.wrapattr(file, "read", total=size, desc=place.name) as watched:
            write_whole(place, lambda out: shutil.copyfileobj(watched, out, BLOCK))

"""Unpack tar, tar.gz and zip archives that strangers made, and move what is in them to its place.

In:   an archive (told by its content, not its name) and a folder.
Out:  its files, each there whole or not at all; unpacking that was stopped goes on.
Not here: fetching (download.py), which archive holds what (sources.py).
Source: ours. Names that lead out of the folder, devices and links to anything but a file of the archive are refused
    before or when they are met; links within the archive become copies.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Callable, NamedTuple, Optional

from tqdm import tqdm

from data.transfer import BLOCK, require_room
from data.whole import DataError, remove_left_over, write_whole

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)


class WrongArchive(DataError):
    """An archive is broken, dangerous, or not the one it should be."""


class _Member(NamedTuple):
    """A file of an archive: its name, its bytes, how to open it, and how far the archive is read."""

    name: str
    size: int
    open: Callable[[], Optional[IO[bytes]]]
    at: int


def unpack(archive: Path, folder: Path) -> int:
    """Unpack an archive into a folder; files that are there with their size are left.

    Args:
        archive: tar (plain, gz, bz2, xz) or zip, whatever it is called.
        folder: made if missing; nothing is written outside of it.

    Returns:
        How many files the archive has.

    Raises:
        WrongArchive: it is broken; a name with .. or from the root; a link or device.
        DataError: no such archive; no room.
        OSError: the disk is full; what is unpacked stays, and another call goes on.
    """
    if not archive.is_file():
        raise DataError(f"archive '{archive}' is missing; fetch it again")
    folder.mkdir(parents=True, exist_ok=True)
    for left in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        remove_left_over(left)
    count, size = 0, archive.stat().st_size
    bar = tqdm(total=size, desc=f"unpack {archive.name}", unit="B", unit_scale=True, dynamic_ncols=True)
    with bar, closing(_members(archive, folder)) as members:
        for member in members:
            target = folder / _safe(member.name, archive)
            if not (target.is_file() and target.stat().st_size == member.size):
                _write(member, target, archive)
            count += 1
            bar.update(member.at - bar.n)
        bar.update(size - bar.n)
    return count


def move(source: Path, target: Path) -> None:
    """Move a file, or a folder entry by entry; what is there already is left as it is."""
    if not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(source, target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        if source.is_file():  # to another disk
            with open(source, "rb") as file:
                write_whole(target, lambda out: shutil.copyfileobj(file, out, BLOCK))
            return
        target.mkdir()
    if source.is_dir() and target.is_dir():
        for entry in sorted(source.iterdir()):
            move(entry, target / entry.name)


def folder_with(entry: str, folder: Path) -> Path:
    """Return the uppermost folder in `folder`, or itself, that has `entry` (a relative path).

    Raises:
        WrongArchive: there is none.
    """
    level = [folder]
    while level:
        for one in level:
            if (one / entry).exists():
                return one
        level = sorted(child for one in level for child in one.iterdir() if child.is_dir())
    raise WrongArchive(f"'{folder}' has no '{entry}' in it; it is not the archive it should be")


def _members(archive: Path, folder: Path) -> Generator[_Member, None, None]:
    """Give the files of an archive in its order."""
    with ExitStack() as stack:
        try:
            if zipfile.is_zipfile(archive):
                yield from _of_zip(stack.enter_context(zipfile.ZipFile(archive)), archive, folder)
            else:
                raw = stack.enter_context(open(archive, "rb"))
                require_room(folder, archive.stat().st_size if _is_empty(folder) else 0, f"unpacked {archive.name}")
                tar = stack.enter_context(tarfile.open(fileobj=raw, mode="r:*"))
                yield from _of_tar(tar, raw, archive)
        except _BROKEN as error:
            raise _broken(archive, error) from error


def _of_zip(zipped: zipfile.ZipFile, archive: Path, folder: Path) -> Iterator[_Member]:
    infos, at = zipped.infolist(), 0
    require_room(folder, sum(info.file_size for info in infos) if _is_empty(folder) else 0, f"unpacked {archive.name}")
    for info in infos:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, info.filename, "is a link or a device")
        if info.flag_bits & 1:
            raise _refused(archive, info.filename, "is encrypted")
        _safe(info.filename, archive)
        at += info.compress_size
        if not info.is_dir():
            yield _Member(info.filename, info.file_size, partial(zipped.open, info), at)


def _of_tar(tar: tarfile.TarFile, raw: IO[bytes], archive: Path) -> Iterator[_Member]:
    for info in tar:
        _safe(info.name, archive)
        if info.isdir():
            continue
        if not (info.isreg() or info.issym() or info.islnk()):
            raise _refused(archive, info.name, "is a device, neither file nor folder")
        yield _Member(info.name, _size(tar, info, archive), partial(tar.extractfile, info), raw.tell())


def _size(tar: tarfile.TarFile, info: tarfile.TarInfo, archive: Path) -> int:
    """Bytes of a file, or of the file of the archive that a link names."""
    if info.isreg():
        return info.size
    inside = os.path.normpath(os.path.join(os.path.dirname(info.name) if info.issym() else "", info.linkname))
    found = {PurePosixPath(one.name).as_posix(): one for one in tar.getmembers() if one.isreg()}.get(inside)
    if found is None:
        raise _refused(archive, info.name, f"links to '{info.linkname}', which is no file of the archive")
    return found.size


def _write(member: _Member, target: Path, archive: Path) -> None:
    try:
        source = member.open()
    except (*_BROKEN, KeyError, RuntimeError) as error:
        raise _broken(archive, error) from error
    if source is None:
        raise _refused(archive, member.name, "has no content")
    with source:
        write_whole(target, lambda out: _copy(source, out, archive))
    if target.stat().st_size != member.size:
        target.unlink()
        raise _broken(archive, f"{member.name} ends early")


def _copy(source: IO[bytes], out: IO[bytes], archive: Path) -> None:
    """Copy; what fails in reading is the archive's fault, what fails in writing is the disk's."""
    while True:
        try:
            block = source.read(BLOCK)
        except _BROKEN as error:
            raise _broken(archive, error) from error
        if not block:
            return
        out.write(block)


def _safe(name: str, archive: Path) -> PurePosixPath:
    """The name as a path that stays inside the folder; DataError if it does not."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        raise _refused(archive, name, "leads out of the folder it is unpacked in")
    return path


def _is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def _refused(archive: Path, name: str, what: str) -> WrongArchive:
    return WrongArchive(f"archive '{archive}': '{name}' {what}; such an archive is not unpacked: remove it, fetch it "
                        "from another place, or unpack it yourself if you trust it")


def _broken(archive: Path, error: object) -> WrongArchive:
    why = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return WrongArchive(f"archive '{archive}' is broken or no archive ({why}); remove it and fetch it again")

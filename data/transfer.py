"""Bring what one address serves into an open file, going on where an earlier try was cut.

In:   a URL (http, https, ftp or file) and a file that may hold the beginning already.
Out:  the whole file, or Refused with what this address did.
Not here: several addresses, checksums, places (download.py).
Source: RFC 9110, Range and If-Range. `http_proxy` and its like are honoured by urllib.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from email.message import Message
from io import FileIO
from pathlib import Path

from tqdm import tqdm

from data.whole import DataError, write_text

BLOCK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
PAUSE = 2.0  # seconds before a cut connection is opened again
AGENT = "fcn-data"  # some hosts turn urllib's own name away


class Refused(Exception):
    """An address did not deliver; the text says how."""


class _Cut(Exception):
    """A connection ended early; what came is in the file."""


def transfer(url: str, file: FileIO, size: int = 0, *, trust: bool = False) -> None:
    """Fill a file from a URL; a cut connection is opened again as long as that brings it further.

    Args:
        url: where from.
        file: open for reading and appending, unbuffered; what is in it counts as the beginning.
        size: bytes of the whole, 0 where unknown.
        trust: go on with a beginning whatever it came from, because a checksum will tell. If not, only
            with one from this address, and if the server says that its file is still the same.

    Raises:
        Refused: no connection, an error from the server, another length, or cut for good.
        DataError: the disk has less room than the rest needs.
        OSError: the file cannot be written (disk full); what was written stays in it.
    """
    best = file.seek(0, os.SEEK_END)
    if size and best > size:
        best = file.truncate(0)
    while not size or best < size:
        try:
            return _attempt(url, file, size, trust)
        except _Cut as cut:
            have = file.seek(0, os.SEEK_END)
            if have <= best:
                raise Refused(str(cut)) from cut
            best = have
            time.sleep(PAUSE)


def origin_of(part: Path) -> Path:
    """Where it is noted which address, and which version of its file, the beginning in `part` is of."""
    return part.with_name(f"{part.name}.from")


def require_room(folder: Path, needed: int, what: str) -> None:
    """Raise DataError unless `folder`'s disk has `needed` bytes left, before anything is written."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(f"{what} needs {in_units(needed)} in '{folder}', where {in_units(free)} are free; "
                        f"free some space or choose another disk, and repeat; nothing done before is lost")


def in_units(size: float) -> str:
    """Write a number of bytes as people do: 30.7 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.1f} {unit}" if unit != "bytes" else f"{size:.0f} bytes"
        size /= 1000
    return f"{size:.2f} GB"


def _attempt(url: str, file: FileIO, size: int, trust: bool) -> None:
    origin = origin_of(Path(str(file.name)))
    before, _, version = origin.read_text().partition("\n") if origin.exists() else ("", "", "")
    if not trust and (before != url or not version):
        file.truncate(0)
    have = file.seek(0, os.SEEK_END)
    try:
        response = _open(url, have, "" if trust else version)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416 or not have:  # 416: there is nothing from byte `have` on
                raise Refused(f"the server says {error.code} {error.reason}") from error
            if error.headers.get("Content-Range", "") == f"bytes */{have}" and not size:
                return None
        file.truncate(0)
        return _attempt(url, file, size, trust)
    with response:
        start, total = _extent(response, have)
        if size and total and total != size:
            raise Refused(f"it serves {total} bytes, want {size}")
        file.truncate(start)
        name = Path(str(file.name)).stem
        require_room(origin.parent, (total or size) - start, name)
        print(f"{name}: {in_units(total or size) if total or size else 'size not said'} from {url}", flush=True)
        if start == 0:
            write_text(origin, f"{url}\n{_validator(response.headers)}")
        _copy(response, file, total or size)


def _open(url: str, have: int, version: str):  # noqa: ANN202 (urllib's response has no public type)
    """Open a URL from byte `have` on; HTTPError is let through."""
    headers = {"User-Agent": AGENT}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers.update({"If-Range": version} if version else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        raise Refused(f"no connection ({error.reason})") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refused(f"no connection ({_text(error)})") from error


def _extent(response, have: int) -> tuple[int, int]:  # noqa: ANN001
    """First byte that is served, and bytes of the whole (0: not said). No Range: from the start."""
    length = int(response.headers.get("Content-Length") or 0)
    if getattr(response, "status", None) != 206:
        return 0, length
    said = response.headers.get("Content-Range", "")
    try:
        first, total = said.replace("bytes ", "").split("/")
        start = int(first.split("-")[0])
        whole = int(total) if total != "*" else start + length
    except ValueError as error:
        raise Refused(f"its Content-Range is {said!r}, want bytes FIRST-LAST/TOTAL") from error
    if start > have:
        raise Refused(f"it serves from byte {start} on, want from {have}")
    return start, whole


def _copy(response, file: FileIO, total: int) -> None:  # noqa: ANN001
    """Append the body to the file, behind a progress bar."""
    have, name = file.seek(0, os.SEEK_END), Path(str(file.name)).stem
    read = getattr(response, "read1", response.read)  # read1: what came before a cut is not lost
    with tqdm(total=total or None, initial=have, desc=name, unit="B", unit_scale=True, dynamic_ncols=True) as bar:
        while True:
            try:
                block = read(BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _Cut(f"the connection was cut after {have} bytes ({_text(error)})") from error
            if not block:
                break
            rest = memoryview(block)
            while rest:
                rest = rest[file.write(rest):]
            have += len(block)
            bar.update(len(block))
    if total and have < total:
        raise _Cut(f"the connection was cut after {have} of {total} bytes")


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def _validator(headers: Message) -> str:
    """What names this version of the file for If-Range: a strong ETag, else the date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")

"""download_model_binary.py: download the weights that a model's readme.md names.

In:   download_model_binary.py DIRNAME: a folder whose readme.md begins with front matter between two lines ---:
      caffemodel, caffemodel_url, sha1.
Out:  the caffemodel in that folder, kept only if its sha1 is right; an interrupted download resumes where it stopped.
Not here: reading weights.
Source: BVLC scripts/download_model_binary.py, for behaviour; only lines `key: value` are parsed.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from .entry import tool
from .progress import Progress

_PIECE = 1 << 18
_REQUIRED = ("caffemodel", "caffemodel_url", "sha1")


def front_matter(readme: Path) -> dict[str, str]:
    """Return the keys of a readme's front matter, including all that Caffe needs.

    Raises:
        ValueError: there is no front matter, or a key is missing or cannot be used.
    """
    lines = [line.rstrip() for line in readme.read_text(encoding="utf-8-sig").splitlines()]
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        raise ValueError(f"{readme}: no front matter; want lines `key: value` between two lines --- at its start")
    pairs = (line.partition(":") for line in lines[1:lines.index("---", 1)] if not line.startswith((" ", "#")))
    found = {key.strip(): value.strip().strip("'\"") for key, colon, value in pairs if colon}
    if missing := [key for key in _REQUIRED if not found.get(key)]:
        raise ValueError(f"{readme}: the front matter lacks {', '.join(missing)}")
    if os.path.basename(found["caffemodel"]) != found["caffemodel"] or found["caffemodel"] in ("..", "."):
        raise ValueError(f"{readme}: caffemodel '{found['caffemodel']}' leads out of the folder; want a plain name")
    if not found["caffemodel_url"].startswith(("http://", "https://")):
        raise ValueError(f"{readme}: caffemodel_url '{found['caffemodel_url']}': want http:// or https://")
    return found


def sha1_of(path: Path) -> str:
    """Return the sha1 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest() if hasattr(hashlib, "file_digest") else _sha1(file)


def _sha1(file) -> str:  # noqa: ANN001 - Python 3.10 has no file_digest
    digest = hashlib.sha1()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def download(folder: str | os.PathLike[str]) -> Path:
    """Fetch the weights of a model's folder, unless they exist.

    Raises:
        ValueError: a readme that cannot be used, or a file with another sha1. OSError: it cannot be fetched.
    """
    readme = Path(folder) / "readme.md"
    facts = front_matter(readme)
    target, want = Path(folder) / facts["caffemodel"], facts["sha1"].lower()
    if target.exists() and sha1_of(target) == want:
        print("Model already exists.")
        return target
    part = target.with_name(target.name + ".part")
    print(f"{facts['caffemodel_url']} (licence: {facts.get('license', 'not named')})")
    _fetch(facts["caffemodel_url"], part)
    if (got := sha1_of(part)) != want:
        part.unlink()
        raise ValueError(f"{target}: Model did not download correctly: its sha1 is {got}, {readme} says {want}; "
                         "repeat the command")
    os.replace(part, target)
    print(f"{target}: {target.stat().st_size} bytes, sha1 as {readme} says")
    return target


def _fetch(url: str, part: Path) -> None:
    """Append what is missing of a file; if the server cannot resume, it starts over."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            have = have if answer.status == 206 else 0
            length = answer.headers.get("Content-Length")
            end = have + int(length) if length else 0
            with part.open("ab" if have else "wb") as file, Progress(have >> 20, end >> 20, "MB") as progress:
                while piece := answer.read(_PIECE):
                    file.write(piece)
                    have += len(piece)
                    progress.update(have >> 20)
    except urllib.error.HTTPError as problem:
        if problem.code == 416:  # nothing is missing: the checksum decides
            return
        raise OSError(f"{url}: {problem}") from problem
    except (urllib.error.URLError, http.client.HTTPException) as problem:
        raise OSError(f"{url}: {getattr(problem, 'reason', problem)}; repeat the command, it resumes where it "
                      "stopped") from problem
    if end and have < end:
        raise OSError(f"{url}: ended after {have} of {end} bytes; repeat the command, it resumes where it stopped")


@tool
def main(argv: list[str]) -> int:
    """Run download_model_binary.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="download_model_binary.py", description="Download trained model binary.")
    parser.add_argument("dirname", help="folder of the model, with its readme.md")
    download(parser.parse_args(argv).dirname)
    return 0

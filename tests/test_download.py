"""Downloads: mirrors in order, resuming, checksums, what the user has, and every way a host can fail."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from file_server import serving

from data import transfer as transfers
from data import whole
from data.download import Download, fetch
from data.whole import DataError, alone

ROOT = Path(__file__).resolve().parent.parent
BODY = bytes(range(256)) * 40  # 10,240 bytes
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transfers, "PAUSE", 0)
    monkeypatch.delenv("FCN_MIRROR", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with serving(files={"a.bin": BODY}) as server:
        yield server


def one(*urls, **changed):
    return Download("a.bin", urls, **{"checksums": (MD5,), "licence": "free", **changed})


def dead():
    """A URL whose port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"


# --- what goes right ------------------------------------------------------------------------


def test_file_arrives_whole_with_licence_and_size_told_before(server, tmp_path, capsys):
    place = fetch(one(server.url("a.bin"), size=len(BODY)), tmp_path / "new")
    assert place == tmp_path / "new/a.bin" and place.read_bytes() == BODY
    said = capsys.readouterr().out
    assert said == f"a.bin: 10.2 kB; licence: free\na.bin: 10.2 kB from {server.url('a.bin')}\n"
    assert os.listdir(tmp_path / "new") == ["a.bin"]
    assert fetch(one(server.url("a.bin")), tmp_path / "new") == place and len(server.asked) == 1


def test_any_one_of_the_checksums_will_do(server, tmp_path):
    wrong = "md5:" + "0" * 32
    fetch(one(server.url("a.bin"), checksums=(wrong, f"sha1:{hashlib.sha1(BODY).hexdigest()}")), tmp_path)
    with pytest.raises(DataError, match="not one of md5:, sha1:, sha256:"):
        one(checksums=("md5:12",))


def test_without_a_checksum_the_first_download_is_the_measure(server, tmp_path, capsys):
    unknown = one(server.url("a.bin"), checksums=())
    place = fetch(unknown, tmp_path)
    assert (tmp_path / "a.bin.sha256").read_text() == f"{SHA256}  a.bin\n"
    assert "no checksum is published" in capsys.readouterr().out
    fetch(unknown, tmp_path)
    place.write_bytes(b"other")
    with pytest.raises(DataError, match=r"a.bin' has sha256:.*want sha256:.*remove it and repeat"):
        fetch(unknown, tmp_path)
    place.unlink()
    server.files["a.bin"] = BODY[::-1]
    with pytest.raises(DataError, match=f"want sha256:{SHA256}"):
        fetch(unknown, tmp_path)


@pytest.mark.parametrize("form", ["url", "folder"])
def test_users_mirror_is_tried_first(server, tmp_path, monkeypatch, form):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/a.bin").write_bytes(BODY)
    monkeypatch.setenv("FCN_MIRROR", f"{server.base}/" if form == "url" else str(tmp_path / "mirror"))
    assert fetch(one("http://nobody.invalid/x"), tmp_path).read_bytes() == BODY


def test_users_own_file_is_checked_and_taken(tmp_path, monkeypatch):
    mine = tmp_path / "mine.tar"
    mine.write_bytes(BODY)
    assert fetch(one(), tmp_path / "a", mine).samefile(mine)

    def refuse(*_):
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    assert fetch(one(), tmp_path / "b", mine).read_bytes() == BODY
    mine.write_bytes(BODY[1:])
    with pytest.raises(DataError, match=r"--from '.*mine.tar' has md5:.*not a.bin"):
        fetch(one(), tmp_path / "c", mine)
    with pytest.raises(DataError, match="missing"):
        fetch(one(), tmp_path / "c", tmp_path / "gone")
    with pytest.raises(DataError, match=r"--from '.*mine.tar': '.*a.bin' is there already, and is another file"):
        fetch(one(), tmp_path / "b", mine)  # not taken for the one that is there
    mine.write_bytes(BODY)
    assert fetch(one(), tmp_path / "b", mine).read_bytes() == BODY
    with pytest.raises(DataError, match="is a folder"):
        fetch(one(), tmp_path / "c", tmp_path)


# --- cut connections ------------------------------------------------------------------------


def test_cut_connection_is_resumed_where_it_was(server, tmp_path):
    server.cuts = [1000, 3000]
    assert fetch(one(server.url("a.bin")), tmp_path).read_bytes() == BODY
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=4000-"]


def test_interrupted_download_goes_on_when_started_again(server, tmp_path):
    server.cuts = [1000, 0]
    with pytest.raises(DataError, match="cut after 1000 of 10240 bytes"):
        fetch(one(server.url("a.bin")), tmp_path)
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:1000]
    assert fetch(one(server.url("a.bin")), tmp_path).read_bytes() == BODY
    assert server.asked[-1] == ("a.bin", "bytes=1000-")
    assert os.listdir(tmp_path) == ["a.bin"]


def test_another_mirror_goes_on_with_what_the_first_gave(server, tmp_path):
    with serving(files={"a.bin": BODY}) as second:
        server.cuts = [1000, 0]
        fetch(one(server.url("a.bin"), second.url("a.bin")), tmp_path)
        assert second.asked == [("a.bin", "bytes=1000-")]


def test_server_that_ignores_range_starts_again(server, tmp_path):
    server.ranges, server.cuts = False, [1000]
    assert fetch(one(server.url("a.bin")), tmp_path).read_bytes() == BODY
    server.cuts = [1000] * 50
    with pytest.raises(DataError, match="cut after 1000"):  # and ends, where it never comes further
        fetch(one(server.url("a.bin")), tmp_path / "other")


def test_beginning_of_another_file_is_thrown_away(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 500)
    assert fetch(one(server.url("a.bin")), tmp_path).read_bytes() == BODY
    (tmp_path / "b").mkdir()
    (tmp_path / "b/a.bin.part").write_bytes(b"x" * 20000)
    assert fetch(one(server.url("a.bin")), tmp_path / "b").read_bytes() == BODY


def test_whole_part_needs_no_download(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert fetch(one(server.url("a.bin")), tmp_path).read_bytes() == BODY
    assert server.asked == [("a.bin", f"bytes={len(BODY)}-")]


@pytest.mark.parametrize("changed", [False, True])
def test_without_a_checksum_only_the_same_version_is_resumed(server, tmp_path, changed):
    server.versions["a.bin"], server.cuts = '"1"', [1000, 0]
    with pytest.raises(DataError):
        fetch(one(server.url("a.bin"), checksums=()), tmp_path)
    if changed:
        server.files["a.bin"], server.versions["a.bin"] = BODY[::-1], '"2"'
    assert fetch(one(server.url("a.bin"), checksums=()), tmp_path).read_bytes() == server.files["a.bin"]
    with serving(files={"a.bin": BODY}) as nameless:  # no ETag, no date: from its start
        nameless.cuts = [1000]
        fetch(one(nameless.url("a.bin"), checksums=()), tmp_path / "other")
        assert [asked for _, asked in nameless.asked] == [None, None]


# --- hosts that fail ------------------------------------------------------------------------


def test_all_mirrors_are_named_with_what_each_did(server, tmp_path, capsys):
    gone = dead()
    server.files["page"] = b"<!DOCTYPE html><p>Domain for sale</p>"
    server.files["other"] = b"other"
    urls = (gone, server.url("404"), server.url("page"), server.url("other"), "nonsense://x")
    with pytest.raises(DataError) as caught:
        fetch(one(*urls), tmp_path)
    said = str(caught.value)
    assert all(url in said for url in urls)
    for what in ("refused", "404 Not Found", "is a web page", f"want {MD5}", "no connection"):
        assert what in said
    assert "--from FILE" in said and "FCN_MIRROR" in said
    assert not (tmp_path / "a.bin").exists() and gone in capsys.readouterr().err


def test_what_stays_of_a_failed_download_is_told_and_nothing_else_stays(server, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch(Download("gone.bin", (server.url("gone.bin"),)), tmp_path)
    assert "kept" not in str(caught.value) and not any(tmp_path.iterdir())
    server.cuts = [1000, 0]
    with pytest.raises(DataError, match=r"1.0 kB that came are kept in '.*a.bin.part', the same command goes on"):
        fetch(Download("a.bin", (server.url("a.bin"),), checksums=(MD5,)), tmp_path)


def test_waiting_process_is_not_left_with_a_file_that_another_removed(tmp_path):
    path, inodes = tmp_path / "lock", []

    def wait():
        with alone(path, "waits") as file:
            inodes.append(os.fstat(file.fileno()).st_ino)

    with alone(path, "removes it"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.2)
        path.unlink()
    thread.join()
    assert inodes == [path.stat().st_ino]


def test_dead_first_host_does_not_matter(server, tmp_path):
    assert fetch(one(dead(), server.url("404"), server.url("a.bin")), tmp_path).read_bytes() == BODY


def test_wrong_length_is_refused_before_it_is_fetched(server, tmp_path):
    with pytest.raises(DataError, match="it serves 10240 bytes, want 99"):
        fetch(one(server.url("a.bin"), size=99), tmp_path)
    server.lengths = False
    with pytest.raises(DataError, match="has 10240 bytes, want 99"):
        fetch(one(server.url("a.bin"), size=99), tmp_path)


def test_no_address_at_all_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="there is no public address.*--from FILE"):
        fetch(one(), tmp_path)


# --- the disk -------------------------------------------------------------------------------


def test_free_disk_is_checked_before(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 5000))
    with pytest.raises(DataError, match=r"a.bin needs 10.2 kB in '.*', where 5.0 kB are free; free some space"):
        fetch(one(server.url("a.bin")), tmp_path)


def test_disk_full_keeps_what_came_and_tries_no_other_mirror(server, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, block):
            if self.tell() + len(block) > 4000:
                raise OSError(28, "No space left on device")
            return super().write(block)

    def full(name, mode="r", **_):
        return Full(name, mode) if "a" in mode else open(name, mode)

    server.cuts = [3000, 2000]
    with monkeypatch.context() as patch:
        patch.setattr(whole, "open", full, raising=False)
        with pytest.raises(OSError) as caught:
            fetch(one(server.url("a.bin"), server.url("second")), tmp_path)
    assert caught.value.errno == 28 and caught.value.filename == str(tmp_path / "a.bin.part")
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:3000]
    assert fetch(one(server.url("a.bin")), tmp_path).read_bytes() == BODY
    assert server.asked[-1] == ("a.bin", "bytes=3000-") and ("second", None) not in server.asked


# --- two at once ----------------------------------------------------------------------------

SECOND = """
import sys
from data.download import Download, fetch
fetch(Download("a.bin", (sys.argv[1],), checksums=(sys.argv[2],)), sys.argv[3])
"""


def test_two_processes_fetch_it_once(server, tmp_path):
    with open(tmp_path / "a.bin.part", "ab+", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = subprocess.Popen([sys.executable, "-c", SECOND, server.url("a.bin"), MD5, str(tmp_path)], cwd=ROOT,
                                  stderr=subprocess.PIPE, text=True)
        assert "another process fetches a.bin; waiting" in second.stderr.readline()
        file.write(BODY)
        os.replace(tmp_path / "a.bin.part", tmp_path / "a.bin")
    assert second.wait(20) == 0
    second.stderr.close()
    assert server.asked == [] and os.listdir(tmp_path) == ["a.bin"]


def test_threads_do_not_mix_their_bytes(server, tmp_path):
    threads = [threading.Thread(target=fetch, args=(one(server.url("a.bin")), tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (tmp_path / "a.bin").read_bytes() == BODY and len(server.asked) == 1

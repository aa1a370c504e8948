"""Archives: unpacked whole, again and again, and nothing outside of the folder."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile

import pytest

from data import archives
from data.archives import folder_with, move, unpack
from data.whole import DataError

FILES = {"top/a.txt": b"alpha" * 300, "top/sub/b.bin": bytes(5000), "top/empty": b""}


def tar(path, files=FILES, mode="w", *more):
    """Write a tar of files, then of members given as TarInfo."""
    with tarfile.open(path, mode) as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
        for info in more:
            out.addfile(info)
    return path


def zipped(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return path


def member(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", [
    lambda path: tar(path, mode="w"), lambda path: tar(path, mode="w:gz"), lambda path: tar(path, mode="w:xz"), zipped])
def test_unpacked_whatever_it_is_called(tmp_path, make):
    archive = make(tmp_path / "benchmark.tgz")  # some clients save the bare tar under this name
    assert unpack(archive, tmp_path / "out") == 3
    assert content(tmp_path / "out") == FILES
    assert os.listdir(tmp_path / "out") == ["top"]


def test_unpacking_goes_on_where_it_was(tmp_path, monkeypatch):
    archive, out, written = tar(tmp_path / "a.tar"), tmp_path / "out", []
    real = archives.write_whole

    def full(path, write):
        if len(written) == 1:
            raise OSError(28, "No space left on device", str(path))
        written.append(path.name)
        real(path, write)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "write_whole", full)
        with pytest.raises(OSError, match="No space left.*b.bin"):
            unpack(archive, out)
    assert content(out) == {"top/a.txt": FILES["top/a.txt"]}
    before = (out / "top/a.txt").stat().st_ino
    (out / "top/.c.999999999.part").write_bytes(b"of a process that was killed")
    unpack(archive, out)
    assert content(out) == FILES and (out / "top/a.txt").stat().st_ino == before


@pytest.mark.parametrize("name", ["../evil", "top/../../evil", "/tmp/evil", "C:/evil", "..\\evil"])
@pytest.mark.parametrize("make", [tar, zipped])
def test_names_that_lead_out_are_refused(tmp_path, make, name):
    archive = make(tmp_path / "x.bin", {"good": b"1", name: b"2"})
    with pytest.raises(DataError, match="x.bin': '.*evil' leads out of the folder.*fetch it from another place"):
        unpack(archive, tmp_path / "in/out")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("info, why", [
    (member("link", tarfile.SYMTYPE, "/etc/passwd"), "links to '/etc/passwd', which is no file of the archive"),
    (member("link", tarfile.SYMTYPE, "../outside"), "links to '../outside'"),
    (member("link", tarfile.LNKTYPE, "../outside"), "links to '../outside'"),
    (member("top/link", tarfile.SYMTYPE, "."), "which is no file"),
    (member("null", tarfile.CHRTYPE), "is a device"),
    (member("pipe", tarfile.FIFOTYPE), "is a device")])
def test_links_out_and_devices_are_refused(tmp_path, info, why):
    (tmp_path / "outside").write_text("secret")
    with pytest.raises(DataError, match=why):
        unpack(tar(tmp_path / "a.tar", FILES, "w", info), tmp_path / "out")
    assert not (tmp_path / "out" / info.name).exists()


def test_links_within_become_copies(tmp_path):
    links = [member("top/again", tarfile.SYMTYPE, "sub/b.bin"), member("hard", tarfile.LNKTYPE, "top/a.txt")]
    unpack(tar(tmp_path / "a.tgz", FILES, "w:gz", *links), tmp_path / "out")
    assert content(tmp_path / "out") == {**FILES, "top/again": bytes(5000), "hard": FILES["top/a.txt"]}
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="'link' is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("make", [lambda path: tar(path, mode="w:gz"), lambda path: tar(path), zipped])
@pytest.mark.parametrize("keep", [0, 20, 0.7])
def test_broken_archives_are_named(tmp_path, make, keep):
    whole = make(tmp_path / "whole").read_bytes()
    archive = tmp_path / "cut.tgz"
    archive.write_bytes(whole[:int(keep * len(whole)) if isinstance(keep, float) else keep])
    if make is not zipped and keep == 0.7 and b"top/" in whole:
        archive.write_bytes(whole[:3000])  # a bare tar is cut within a file, not in its padding
    with pytest.raises(DataError, match="cut.tgz' is broken or no archive.*fetch it again"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(DataError, match="missing"):
        unpack(tmp_path / "gone", tmp_path / "out")


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 100})())
    for make in (tar, zipped):
        with pytest.raises(DataError, match="unpacked a.bin needs .* where 100 bytes are free"):
            unpack(make(tmp_path / "a.bin"), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("other_disk", [False, True])
def test_move_leaves_what_is_there(tmp_path, monkeypatch, other_disk):
    unpack(tar(tmp_path / "a.tar"), tmp_path / "out")
    (tmp_path / "place/sub").mkdir(parents=True)
    (tmp_path / "place/a.txt").write_text("the user's own")
    if other_disk:
        real = os.replace

        def replace(source, target):
            if ".part" not in str(source):
                raise OSError(18, "Invalid cross-device link")
            real(source, target)

        monkeypatch.setattr(os, "replace", replace)
    move(tmp_path / "out/top", tmp_path / "place")
    assert content(tmp_path / "place") == {"a.txt": b"the user's own", "sub/b.bin": bytes(5000), "empty": b""}


def test_folder_with_finds_the_uppermost(tmp_path):
    (tmp_path / "TrainVal/VOCdevkit/VOC2011/JPEGImages").mkdir(parents=True)
    assert folder_with("JPEGImages", tmp_path) == tmp_path / "TrainVal/VOCdevkit/VOC2011"
    assert folder_with("TrainVal", tmp_path) == tmp_path
    with pytest.raises(DataError, match="has no 'cls' in it"):
        folder_with("cls", tmp_path)

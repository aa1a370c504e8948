"""Data sets brought to their places: miniature archives in each set's form, from local folders and a local server."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import miniatures
import numpy as np
import pytest
from file_server import serving

import startup
from data import __main__ as cli
from data import get as getter
from data import id_lists, sets, sources
from data.id_lists import IdList
from data.pascal import seg11valid
from data.whole import DataError, write_text


def tarred(path, folder, inside, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as out:
        out.add(folder, inside)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """A folder with all archives, as their hosts have them."""
    made, out = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("hosts")
    voc = miniatures.voc(made)
    (voc / "ImageSets/Segmentation/seg11valid.txt").unlink()  # no devkit has it
    tarred(out / "VOCtrainval_25-May-2011.tar", voc, "TrainVal/VOCdevkit/VOC2011")
    sbdd = miniatures.sbdd(made)
    (sbdd / "inst").mkdir()
    (sbdd / "inst/2008_000002.mat").write_bytes((sbdd / "cls/2008_000002.mat").read_bytes())
    tarred(out / "benchmark.tgz", sbdd, "benchmark_RELEASE/dataset")  # the bare tar under the name of a .tgz
    context = miniatures.context(made)
    tarred(out / "trainval.tar.gz", context / "trainval", "trainval", "w:gz")
    for name in ("labels.txt", "59_labels.txt", "33_labels.txt"):
        shutil.copy(context / name, out)
    tarred(out / "VOCtrainval_03-May-2010.tar", made / "data/pascal/VOC2010", "VOCdevkit/VOC2010")
    nyud = miniatures.nyud(made)
    for split in ("train", "val", "trainval", "test"):
        (nyud / f"{split}.txt").rename(out / f"nyud-{split}.txt")
    tarred(out / "nyud.tar.gz", nyud, "nyud", "w:gz")
    siftflow = miniatures.siftflow(made)
    for split in ("trainval", "test"):
        (siftflow / f"{split}.txt").rename(out / f"sift-flow-{split}.txt")
    with zipfile.ZipFile(out / "SiftFlowDataset.zip", "w") as zipped:
        for path in sorted(siftflow.rglob("*.*")):
            zipped.write(path, Path("SiftFlowDataset") / path.relative_to(siftflow))
    (made / "synset_words.txt").write_text("n01440764 tench, Tinca tinca\n")
    with tarfile.open(out / "caffe_ilsvrc12.tar.gz", "w:gz") as ilsvrc:
        ilsvrc.add(made / "synset_words.txt", "./synset_words.txt")
        ilsvrc.add(made / "synset_words.txt", "./imagenet_mean.binaryproto")
    return out


@pytest.fixture
def small(hosts, monkeypatch):
    """The registry with the miniatures' checksums and lists, and a mirror that has them."""
    def changed(package):
        path = hosts / package.download.name
        if not path.exists():
            return package
        sums = (f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}",) if package.download.checksums else ()
        return dataclasses.replace(package, download=dataclasses.replace(package.download, checksums=sums))

    for name, row in list(sources.SOURCES.items()):
        packages = tuple(changed(package) for package in row.packages)
        monkeypatch.setitem(sources.SOURCES, name, dataclasses.replace(row, packages=packages))
    for name, folder in (("nyud", "nyud"), ("siftflow", "sift-flow")):
        for split in id_lists.SPLITS[name]:
            ids = (hosts / f"{folder}-{split}.txt").read_text().split()
            known = IdList(len(ids), seg11valid.digest(ids), seg11valid.digest(sorted(ids)))
            monkeypatch.setitem(id_lists.SPLITS[name], split, known)
    monkeypatch.setattr(seg11valid, "DIGEST", seg11valid.digest(["2007_000057", "2007_000063"]))
    monkeypatch.setattr(id_lists, "RELEASE", "http://nobody.invalid")
    monkeypatch.setenv("FCN_MIRROR", str(hosts))


def run(capsys, *words):
    code = startup.run(lambda: cli.main([str(word) for word in words]))
    return code, capsys.readouterr()


@pytest.mark.parametrize("names, row", [
    (("voc", "sbd"), "voc"), (("context",), "pascalcontext"), (("context",), "pascalcontext33"), (("nyud",), "nyud"),
    (("siftflow",), "siftflow")])
def test_sets_are_whole_after_get(small, tmp_path, capsys, names, row):
    for name in names:
        code, said = run(capsys, "get", name, "--root", tmp_path)
        assert code == 0, said.err
        assert "licence: " in said.out and "bytes from file://" in said.out.replace("kB", "bytes")
    assert sets.missing(row, root=tmp_path) == []
    assert not list((tmp_path / "data/downloads").glob("*.unpacked"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    code, said = run(capsys, "get", names[-1], "--root", tmp_path)  # again: nothing is done
    assert code == 0 and "there already" in said.out and "unpack" not in said.err
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_ilsvrc_says_where_the_photographs_are(small, tmp_path, capsys):
    code, said = run(capsys, "get", "ilsvrc", "--root", tmp_path)
    assert code == 0 and "image-net.org" in said.out and "account" in said.out
    assert (tmp_path / "data/ilsvrc12/synset_words.txt").read_text().startswith("n01440764")


def test_seg11valid_is_made_when_both_are_there(small, tmp_path, capsys):
    assert "needs both VOC and SBD: `python -m data get sbd`" in run(capsys, "get", "voc", "--root", tmp_path)[1].out
    assert "seg11valid.txt: made of VOC's val.txt" in run(capsys, "get", "sbd", "--root", tmp_path)[1].out
    made = tmp_path / "data/pascal/VOC2011/ImageSets/Segmentation/seg11valid.txt"
    assert made.read_text() == "2007_000057\n2007_000063\n"


def test_removed_archives_are_not_fetched_again_and_own_files_stay(small, tmp_path, capsys):
    run(capsys, "get", "voc", "--root", tmp_path)
    shutil.rmtree(tmp_path / "data/downloads")
    code, said = run(capsys, "get", "voc", "--root", tmp_path)
    assert code == 0 and "from file:" not in said.out
    folder = tmp_path / "data/pascal/VOC2011"
    write_text(folder / "ImageSets/Segmentation/train.txt", "mine\n")
    (folder / "JPEGImages/2007_000033.jpg").unlink()
    assert run(capsys, "get", "voc", "--root", tmp_path, "--again")[0] == 0
    assert (folder / "JPEGImages/2007_000033.jpg").exists()
    assert (folder / "ImageSets/Segmentation/train.txt").read_text() == "mine\n"


def test_a_disk_that_is_full_while_unpacking_loses_nothing(small, tmp_path, capsys, monkeypatch):
    from data import archives

    real, left = archives.write_whole, [5]

    def full(path, write):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device", str(path))
        real(path, write)

    with monkeypatch.context() as patch:
        patch.setattr(archives, "write_whole", full)
        code, said = run(capsys, "get", "voc", "--root", tmp_path)
    assert code == 1 and "free some space and repeat the command, finished files stay" in said.err
    assert len(list((tmp_path / "data/downloads/VOCtrainval_25-May-2011.tar.unpacked").rglob("*.*"))) == 5
    monkeypatch.delenv("FCN_MIRROR")  # the archive is there, too
    assert run(capsys, "get", "voc", "--root", tmp_path)[0] == 0
    assert len(list((tmp_path / "data/pascal/VOC2011/JPEGImages").iterdir())) == 6


def test_users_own_files_take_the_place_of_downloads(small, hosts, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FCN_MIRROR")
    renamed = tmp_path / "my voc.tar"
    shutil.copy(hosts / "VOCtrainval_25-May-2011.tar", renamed)
    assert run(capsys, "get", "voc", "--from", renamed, "--root", tmp_path)[0] == 0
    wanted = ["VOCtrainval_03-May-2010.tar", "trainval.tar.gz", "labels.txt", "59_labels.txt", "33_labels.txt"]
    words = [word for name in wanted for word in ("--from", hosts / name)]
    assert run(capsys, "get", "context", *words, "--root", tmp_path)[0] == 0
    assert (hosts / "labels.txt").exists()  # what is the user's stays where it is
    code, said = run(capsys, "get", "context", "--from", renamed, "--root", tmp_path / "other")
    assert code == 1 and "my voc.tar: want files called trainval.tar.gz, labels.txt" in said.err


def test_hosts_that_are_gone_are_named(small, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FCN_MIRROR")
    with serving(files={}) as server:
        row = sources.SOURCES["sbd"]
        urls = (server.url("one/benchmark.tgz"), server.url("two/benchmark.tgz"))
        download = dataclasses.replace(row.packages[0].download, urls=urls)
        package = dataclasses.replace(row.packages[0], download=download)
        monkeypatch.setitem(sources.SOURCES, "sbd", dataclasses.replace(row, packages=(package,)))
        code, said = run(capsys, "get", "sbd", "--root", tmp_path)
    last = said.err.splitlines()[-1]
    assert code == 1 and last.startswith("error: cannot fetch benchmark.tgz") and "--from FILE" in last
    assert all(f"{url}: the server says 404" in last for url in urls)


@pytest.mark.parametrize("wrong", ["cut", "lacks a file"])
def test_nothing_of_a_wrong_archive_stays_beside_the_right_one(small, hosts, tmp_path, capsys, wrong):
    right = hosts / "caffe_ilsvrc12.tar.gz"
    bad = tmp_path / right.name
    with tarfile.open(bad, "w") as tar:
        for name in ("synset_words.txt", "other.txt"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"bad"))
    if wrong == "cut":
        bad.write_bytes(bad.read_bytes()[:1300])
    code, said = run(capsys, "get", "ilsvrc", "--from", bad, "--root", tmp_path)
    assert code == 1 and "remove it" in said.err
    assert not [path for path in tmp_path.rglob("*.txt") if path.read_bytes() == b"bad"]
    (tmp_path / "data/downloads" / right.name).unlink()
    run(capsys, "get", "ilsvrc", "--from", right, "--root", tmp_path)
    words = (tmp_path / "data/ilsvrc12/synset_words.txt").read_bytes()
    assert words != b"bad" and not (tmp_path / "data/ilsvrc12/other.txt").exists()


def test_list_that_cannot_be_fetched_is_to_be_put_there(small, hosts, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FCN_MIRROR")
    monkeypatch.setattr("data.id_lists.RELEASE", (tmp_path / "nowhere").as_uri())
    archive = tmp_path / "SiftFlowDataset.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for folder in ("Images", "SemanticLabels", "GeoLabels"):
            zipped.writestr(f"{folder}/one", "1")
    code, said = run(capsys, "get", "siftflow", "--from", archive, "--root", tmp_path)
    line = next(line for line in said.out.splitlines() if "cannot fetch sift-flow-test.txt" in line)
    assert code == 1 and "put it there as test.txt" in line and "--from" not in line


def test_wrong_archive_and_unknown_name(small, hosts, tmp_path, capsys):
    code, said = run(capsys, "get", "nyud", "--from", hosts / "caffe_ilsvrc12.tar.gz", "--root", tmp_path)
    assert code == 1 and "has no 'segmentation' in it; it is not the archive it should be" in said.err
    wrong = tmp_path / "data/downloads/nyud.tar.gz"
    assert wrong.exists() and "remove it" in said.err and not wrong.with_name(f"{wrong.name}.unpacked").exists()
    code, said = run(capsys, "get", "nyud", "--from", hosts / "nyud.tar.gz", "--root", tmp_path)
    assert code == 1 and "is there already, and is another file" in said.err
    wrong.unlink()  # and what was recorded of it does not stand against the right one
    code, said = run(capsys, "get", "nyud", "--from", hosts / "nyud.tar.gz", "--root", tmp_path)
    assert "has sha256" not in said.err and (tmp_path / "data/nyud/segmentation/img_5001.mat").exists()
    code, said = run(capsys, "get", "coco", "--root", tmp_path)
    assert code == 1 and said.err == ("error: there is no 'coco' to get; known are: voc, sbd, context, nyud, nyud-mat, "
                                      "siftflow, ilsvrc\n")


# --- lists ----------------------------------------------------------------------------------


def test_nyud_lists_from_splits_mat_when_the_release_is_gone(small, hosts, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FCN_MIRROR")
    archive = tmp_path / "nyud.tar.gz"
    shutil.copy(hosts / "nyud.tar.gz", archive)
    code, said = run(capsys, "get", "nyud", "--from", archive, "--root", tmp_path)
    assert code == 1 and "lists are missing" in said.err and "get nyud-mat" in said.err
    folder = tmp_path / "data/nyud"
    miniatures.save_mat(folder / "splits.mat", trainNdxs=np.array([[34], [1], [12], [23]]),
                        testNdxs=np.array([[45], [56]]))
    code, said = run(capsys, "get", "nyud", "--root", tmp_path)
    assert code == 0 and "trainval.txt: made of splits.mat" in said.out
    assert (folder / "trainval.txt").read_text().split() == ["5001", "5012", "5023", "5034"]
    assert (folder / "test.txt").read_text().split() == ["5045", "5056"]


def test_splits_mat_without_its_field_is_named(tmp_path):
    miniatures.save_mat(tmp_path / "data/nyud/splits.mat", testNdxs=np.array([[1]]))
    with pytest.raises(DataError, match=r"splits.mat' has no readable field 'trainNdxs'"):
        list(id_lists.of_splits_mat(tmp_path / "data/nyud/splits.mat", tmp_path / "data/nyud"))


def test_siftflow_trainval_is_what_test_has_not(small, hosts, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FCN_MIRROR")
    miniatures.siftflow(tmp_path)
    folder = tmp_path / "data/sift-flow"
    (folder / "trainval.txt").unlink()
    labels = next((folder / "SemanticLabels").iterdir())
    shutil.copy(labels / "coast_bea1.mat", labels / "street_urb506.mat")  # without annotation
    assert run(capsys, "get", "siftflow", "--root", tmp_path)[0] == 0
    assert (folder / "trainval.txt").read_text().split() == ["coast_bea1", "coast_bea2", "coast_bea3", "coast_bea4"]
    for name in ("trainval.txt", "test.txt"):
        (folder / name).unlink()
    code, said = run(capsys, "get", "siftflow", "--root", tmp_path)
    assert code == 1 and "put the release's test.txt" in said.err


def test_a_list_that_is_not_the_releases_is_not_used(small, hosts, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(id_lists.SPLITS["siftflow"], "test", IdList(200, "0" * 16, "0" * 16))
    code, said = run(capsys, "get", "siftflow", "--root", tmp_path)
    assert code == 0 or "lists are missing" in said.err
    assert "sift-flow-test.txt" in said.out and "NOT the release's 200 ids; not used" in said.out
    assert not (tmp_path / "data/sift-flow/test.txt").exists()


# --- the registry ---------------------------------------------------------------------------


def test_registry_is_whole():
    assert list(sources.SOURCES) == ["voc", "sbd", "context", "nyud", "nyud-mat", "siftflow", "ilsvrc"]
    packages = [package for row in sources.SOURCES.values() for package in row.packages]
    for package in packages:
        assert package.download.urls and package.download.licence and package.proofs
        assert all(url.startswith(("http://", "https://")) for url in package.download.urls)
    names = [package.download.name for package in packages]
    assert len(set(names)) == len(names)
    assert sources.SOURCES["nyud-mat"].packages[0].download.size == 2_972_037_809
    assert set(getter.COMPLETE) <= set(sources.SOURCES)
    needed = {need.place for row in sets.SETS.values() for need in row.needs if "data/shapes" not in need.place}
    brought = {package.to for package in packages}
    assert all(any(place.startswith(f"{to}/") for to in brought) for place in needed)


def test_downloads_are_ignored_by_git():
    root = Path(__file__).resolve().parent.parent
    listed = (root / ".gitignore").read_text().splitlines()
    assert "/data/downloads/" in listed and os.path.isdir(root / "data")

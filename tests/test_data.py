"""The data sets: their rows, what is missing of them, the command line, the list seg11valid."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data import __main__ as data_cli
from data import sets, whole
from data.pascal import seg11valid
from data.shapes import generate as shapes
from data.shapes.objects import OBJECTS

ROOT = Path(__file__).resolve().parent.parent
FEW = shapes.Counts(train=6, seg11valid=3, classifier_train=8, classifier_val=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A small embedded set."""
    out = tmp_path_factory.mktemp("shapes")
    shapes.generate(out, FEW, workers=1, quiet=True)
    return out


# --- the rows -------------------------------------------------------------------------------


def test_rows_say_what_the_nets_need():
    voc, ours = sets.SETS["voc"], sets.SETS["shapes"]
    assert (len(voc.classes), voc.classes[0], voc.classes[20]) == (21, "background", "tvmonitor")
    assert voc.mean_bgr == (104.00699, 116.66877, 122.67892) and voc.scale == 1
    assert ours.classes == ("background", *OBJECTS)
    assert ours.mean_bgr == (128, 128, 128) and ours.scale * 60 == 1
    for row in (voc, ours):
        assert {"train", "seg11valid"} <= {split.name for split in row.splits}
    assert all(row.ignore_label == 255 for row in sets.SETS.values())
    with pytest.raises(AttributeError):
        voc.scale = 2  # type: ignore[misc]


@pytest.mark.parametrize(("name", "counts", "means", "splits"), [
    ("voc", {"score": 21}, {"color": (104.00699, 116.66877, 122.67892)}, ["train", "seg11valid"]),
    ("pascalcontext", {"score": 60}, {"color": (104.007, 116.669, 122.679)}, ["train", "val"]),
    ("pascalcontext33", {"score": 34}, {"color": (104.007, 116.669, 122.679)}, ["train", "val"]),
    ("nyud", {"score": 40}, {"color": (116.190, 97.203, 92.318), "hha": (132.431, 94.076, 118.477),
                             "depth": (7.844,)}, ["train", "val", "trainval", "test"]),
    ("siftflow", {"score_sem": 33, "score_geo": 3}, {"color": (114.578, 115.294, 108.353)}, ["trainval", "test"])])
def test_golden_sets_of_the_papers(name, counts, means, splits):
    row = sets.SETS[name]
    assert {head.score: len(head.classes) for head in row.heads} == counts
    assert all(len(set(head.classes)) == len(head.classes) for head in row.heads)
    assert row.means == means and [split.name for split in row.splits] == splits and row.scale == 1


def test_golden_classes_stand_where_the_release_has_them():
    context, nyud, sift = (sets.SETS[name].heads for name in ("pascalcontext", "nyud", "siftflow"))
    assert context[0].classes[:2] == ("background", "aeroplane") and context[0].classes[59] == "wood"
    assert context[0].classes[42] == "curtain" and nyud[0].classes[19] == "floor mat"
    assert [sift[0].classes[k] for k in (8, 10, 15)] == ["cow", "desert", "moon"]  # absent from the test split
    assert sift[1].classes == ("sky", "horizontal", "vertical")
    assert [(head.suffix, head.label, head.loss) for head in sift] == [("_sem", "sem", "loss"),
                                                                       ("_geo", "geo", "loss_geo")]


def test_hha_is_wanted_only_where_a_net_takes_it(tmp_path):
    places = {kinds: [need.place for need in sets.missing("nyud", root=tmp_path, kinds=kinds)]
              for kinds in (("color",), ("color", "hha"))}
    assert "data/nyud/data/hha" in places["color", "hha"] and "data/nyud/data/hha" not in places["color",]
    assert "data/nyud/data/images" in places["color",]


def place_shapes(made: Path, root: Path) -> None:
    """Put a small set where the rows expect it."""
    (root / "data").mkdir()
    os.symlink(made, root / "data/shapes")


def test_require_returns_the_row_of_a_whole_set(made, tmp_path):
    place_shapes(made, tmp_path)
    assert sets.require("shapes", root=tmp_path) is sets.SETS["shapes"]


def test_require_names_file_origin_and_place(tmp_path):
    with pytest.raises(sets.DataError) as caught:
        sets.require("voc", root=tmp_path)
    said = str(caught.value)
    for want in (
        str(tmp_path),
        "data/sbdd/dataset/train.txt",
        "benchmark.tgz",
        "VOCtrainval_25-May-2011.tar",
        "md5 6c3384ef61512963050cb5d687e5bf1e",
        "82b4d87ceb2ed10f6038a1cba92111cb",
        "move TrainVal/VOCdevkit/VOC2011 to data/pascal/VOC2011",
        "python -m data.pascal.seg11valid",
    ):
        assert want in said
    with pytest.raises(sets.DataError, match="generate"):
        sets.require("shapes", root=tmp_path)
    with pytest.raises(sets.DataError, match="'imagenet' is not known; known are: nyud, pascal.*, voc"):
        sets.require("imagenet")


def test_require_names_an_image_or_label_that_is_gone(tmp_path):
    shapes.generate(tmp_path / "data/shapes", FEW, workers=1, quiet=True)
    folder = tmp_path / "data/shapes/dataset/SegmentationClass"
    (folder / "valid_00001.png").unlink()
    (folder / "valid_00002.png").unlink()
    message = "SegmentationClass/valid_00001.png and 1 more files of split 'seg11valid'"
    with pytest.raises(sets.DataError, match=message):
        sets.require("shapes", root=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"", "is empty"), (b"a\nb c\n", "line 2: got 'b c'"), (b"\xff\xfe\x00", "not a text file")],
)
def test_broken_list_is_named(tmp_path, text, message):
    (tmp_path / "train.txt").write_bytes(text)
    with pytest.raises(sets.DataError, match=message):
        sets.read_ids(tmp_path / "train.txt")


# --- the command line -----------------------------------------------------------------------


def test_check_and_list(made, tmp_path, capsys):
    place_shapes(made, tmp_path)
    assert data_cli.main(["check", "shapes", "--root", str(tmp_path)]) == 0
    assert "split 'seg11valid' whole, 3 images" in capsys.readouterr().out
    assert data_cli.main(["check", "voc", "--root", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "missing data/pascal/VOC2011/JPEGImages" in captured.out
    assert captured.err.startswith("voc: 6 missing in")
    assert data_cli.main(["check", "context33", "--root", str(tmp_path)]) == 1  # get's names, and verify's, will do
    assert capsys.readouterr().err.startswith("pascalcontext33: 6 missing in")
    assert data_cli.main(["list"]) == 0
    assert "21 classes" in capsys.readouterr().out


def test_unknown_set_is_one_line_without_traceback():
    command = [sys.executable, "-m", "data", "check", "imagenet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "known are: nyud, pascal" in done.stderr


# --- seg11valid -----------------------------------------------------------------------------


@pytest.fixture
def lists(tmp_path) -> tuple[Path, Path]:
    """Synthetic lists of VOC and SBD."""
    voc, sbdd = tmp_path / "VOC2011", tmp_path / "dataset"
    whole.write_text(voc / seg11valid.LISTS / "val.txt", "2007_3\n2008_1\n2007_1\n2007_2\n")
    whole.write_text(sbdd / "train.txt", "2007_2\n2009_9\n")
    return voc, sbdd


def test_seg11valid_is_val_without_sbd_train(lists, monkeypatch):
    ids = ["2007_1", "2007_3", "2008_1"]
    expected = hashlib.sha256(b"2007_1\n2007_3\n2008_1").hexdigest()[:16]
    monkeypatch.setattr(seg11valid, "DIGEST", expected)
    path = seg11valid.make(*lists)
    assert path == lists[0] / "ImageSets/Segmentation/seg11valid.txt"
    assert sets.read_ids(path) == ids


def test_seg11valid_refuses_another_list_unless_told(lists, capsys):
    with pytest.raises(sets.DataError, match="has 3 ids.*want 736, 33d3d44294e02741.*--subset"):
        seg11valid.make(*lists)
    assert not (lists[0] / seg11valid.LISTS / "seg11valid.txt").exists()
    words = ["--voc-dir", str(lists[0]), "--sbdd-dir", str(lists[1]), "--subset"]
    assert seg11valid.main(words) == 0
    assert "3 ids, NOT the release's list" in capsys.readouterr().out


def test_seg11valid_names_a_missing_list(lists):
    (lists[1] / "train.txt").unlink()
    with pytest.raises(sets.DataError, match="dataset/train.txt' is missing.*data check voc"):
        seg11valid.make(*lists)

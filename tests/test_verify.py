"""`data verify` on miniatures in every set's form, on each thing that can be wrong with them, and on real labels."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import miniatures
import numpy as np
import pytest
from PIL import Image

import startup
from data import __main__ as cli
from data import verify as verifier
from data.verify import baseline, verify
from data.whole import DataError

REAL = Path(__file__).resolve().parent.parent.parent / "shared/data/VOC2011"
MAKERS = {"voc": miniatures.voc, "sbd": miniatures.sbdd, "context": miniatures.context, "context33": miniatures.context,
          "nyud": miniatures.nyud, "siftflow": miniatures.siftflow}


def run(capsys, *words):
    code = startup.run(lambda: cli.main(["verify", *(str(word) for word in words), "--jobs", "1"]))
    return code, capsys.readouterr()


@pytest.mark.parametrize("name", MAKERS)
def test_whole_sets_are_counted(tmp_path, capsys, name):
    MAKERS[name](tmp_path)
    code, said = run(capsys, name, "--root", tmp_path)
    assert code == 0, said.out + said.err
    first, second = verifier.FORMS[name].splits
    assert f"{name} {first}: 4 ids, digest " in said.out and f"{name} {second}: 2 ids, digest " in said.out
    files = {"nyud": "color, {0} depth, {0} hha, {0} label", "siftflow": "data, {0} sem, {0} geo"}
    form = "files read: {0} " + files.get(name, "data, {0} label")
    assert form.format(4) in said.out and form.format(2) in said.out
    if name in ("voc", "nyud", "siftflow"):
        assert re.search(r"NOT the release's (736|654|200) ids", said.out)


def test_lists_that_are_parts_of_others_are_judged_too(tmp_path, capsys):
    miniatures.nyud(tmp_path)
    said = run(capsys, "nyud", "--root", tmp_path)[1].out
    assert "nyud train: 3 ids" in said and "nyud val: 1 ids" in said


def test_pixels_are_those_of_the_label_files(tmp_path):
    folder = miniatures.voc(tmp_path)
    counts = np.zeros(256, int)
    for name in (folder / "ImageSets/Segmentation/train.txt").read_text().split():
        with Image.open(folder / f"SegmentationClass/{name}.png") as image:
            counts += np.bincount(np.asarray(image).ravel(), minlength=256)
    found = verify("voc", "train", root=tmp_path)
    assert found.pixels["label"].tolist() == counts.tolist() and counts[255] and not found.faults
    for workers in (1, 2):
        assert verify("voc", "train", folder=folder, workers=workers).files == {"data": 4, "label": 4}


def test_processes_find_the_same(tmp_path, monkeypatch):
    def spread(work, items, workers):  # as processes would: sent there, done in any order
        assert workers == 2 and len(items) == 2
        yield from map(pickle.loads(pickle.dumps(work)), reversed(items))

    folder = miniatures.voc(tmp_path)
    (folder / "SegmentationClass/2007_000033.png").unlink()
    one = verify("voc", "train", root=tmp_path)
    for name, value in (("FEW", 0), ("AT_ONCE", 2), ("spread", spread)):
        monkeypatch.setattr(verifier, name, value)
    two = verify("voc", "train", root=tmp_path, workers=2)
    assert one.faults == two.faults and one.files == two.files == {"data": 4, "label": 3}
    assert one.pixels["label"].tolist() == two.pixels["label"].tolist()


def test_everything_wrong_is_named_and_nothing_hides_the_rest(tmp_path, capsys):
    folder = miniatures.voc(tmp_path)
    ids = (folder / "ImageSets/Segmentation/train.txt").read_text().split()
    images, labels = folder / "JPEGImages", folder / "SegmentationClass"
    (images / f"{ids[0]}.jpg").write_bytes((images / f"{ids[0]}.jpg").read_bytes()[:200])
    (labels / f"{ids[1]}.png").unlink()
    miniatures.save_palette(labels / f"{ids[2]}.png", np.zeros((7, 9), np.uint8))
    Image.fromarray(np.full((42, 50), 21, np.uint8)).save(labels / f"{ids[3]}.png")
    with open(folder / "ImageSets/Segmentation/train.txt", "a") as lines:
        lines.write(f"2099_000001\n{ids[0]}\n")
    code, said = run(capsys, "voc", "--root", tmp_path, "--split", "train")
    wrong = [line for line in said.out.splitlines() if line.startswith("wrong: ")]
    for what in (f"the list has '{ids[0]}' 2 times", f"{ids[0]}.jpg' cannot be read", f"{ids[1]}.png' is missing",
                 f"{ids[2]}.png' has 9 x 7 pixels, its image", f"{ids[3]}.png' has", "2099_000001.jpg' is missing",
                 "2099_000001.png' is missing"):
        assert any(what in line for line in wrong), what
    assert code == 1 and "voc: 8 wrong; remove broken files and run `python -m data get voc --again`" in said.err


@pytest.mark.parametrize(("name", "remedy"), [("context33", "data get context --again"),
                                              ("shapes", "data.shapes.generate")])
def test_remedy_is_a_command_that_there_is(tmp_path, capsys, name, remedy):
    code, said = run(capsys, name, "--root", tmp_path)
    assert code == 1 and f"run `python -m {remedy}`" in said.err
    assert "`python -m data check NAME` says what comes from where" in said.out


def test_missing_mat_field_and_missing_list_are_named(tmp_path, capsys):
    folder = miniatures.sbdd(tmp_path)
    miniatures.save_mat(folder / "cls/2008_000002.mat", other=np.zeros((2, 2)))
    (folder / "val.txt").unlink()
    code, said = run(capsys, "sbd", "--root", tmp_path)
    assert code == 1
    assert "2008_000002.mat' has no GTcls.Segmentation" in said.out and "val.txt' is missing" in said.out


def test_one_pixel_and_nothing_but_void(tmp_path, capsys):
    folder = tmp_path / "data/pascal/VOC2011"
    miniatures.save_jpeg(folder / "JPEGImages/dot.jpg", np.zeros((1, 1, 3), np.uint8))
    miniatures.save_palette(folder / "SegmentationClass/dot.png", np.full((1, 1), 255, np.uint8))
    miniatures.write_lines(folder / "ImageSets/Segmentation/train.txt", ["dot"])
    code, said = run(capsys, "voc", "--root", tmp_path, "--split", "train")
    assert code == 0 and "label: 1 pixels, 1 void" in said.out and "never there: background, aeroplane" in said.out
    assert "dot.png' is 255 (ignored) in every pixel" in said.out and "accuracy" not in said.out


def test_class_that_never_occurs_is_told(tmp_path, capsys):
    folder = miniatures.voc(tmp_path, n=3)
    miniatures.save_palette(folder / "SegmentationClass/2007_000033.png", np.full((40, 50), 15, np.uint8))
    said = run(capsys, "voc", "--root", tmp_path, "--split", "train")[1].out
    absent = re.search("never there: (.*)", said).group(1).split(", ")
    assert "cow" in absent and "person" not in absent and len(absent) == 20
    assert "'person' for every pixel: accuracy 1.00000, mean IU 1.00000" in said


def test_unknown_name_and_missing_set_are_one_line(tmp_path, capsys):
    code, said = run(capsys, "coco")
    assert code == 1 and said.err.startswith("error: data set 'coco' cannot be verified; known are: voc, sbd, context")
    assert run(capsys, "siftflow", "--root", tmp_path)[0] == 1
    with pytest.raises(DataError):
        verify("coco", "train")


def test_baseline_leaves_absent_classes_out():
    assert baseline(np.array([60, 0, 30, 10])) == (0, 0.6, pytest.approx(0.2))
    assert np.isnan(baseline(np.zeros(3, int))[1])


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no photographs in {REAL}")
def test_real_labels_hold_what_is_known_of_them(capsys):
    code, said = run(capsys, "voc", "--dir", REAL, "--split", "seg11valid")
    assert code == 0 and "files read: 101 data, 101 label" in said.out
    assert "label: 18,198,260 pixels, 999,781 void" in said.out
    assert re.search(r"0 background +12,517,160 ", said.out)
    assert "'background' for every pixel: accuracy 0.72781, mean IU 0.03466" in said.out

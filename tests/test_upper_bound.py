"""The upper bound of IU by stride: rules on labels worked out by hand, the command, the published figures."""

import json
from pathlib import Path

import miniatures
import numpy as np
import pytest

from nets import NetError
from scoring import upper_bound
from scoring.upper_bound import coarse, filled

REAL = Path(__file__).resolve().parent.parent.parent / "shared/data/VOC2011"


def test_rules_on_a_row_worked_out_by_hand():
    found = coarse(np.array([[7, 7, 7, 3, 3, 3, 3, 3, 7]]), 3)
    assert found["nearest"].tolist() == [[7, 7, 7, 3, 3, 3, 3, 3, 3]]
    assert found["majority"].tolist() == [[7, 7, 7, 3, 3, 3, 3, 3, 3]]
    assert found["bilinear"].tolist() == [[7, 7, 7, 3, 3, 3, 3, 3, 3]]
    row = np.array([[0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]])  # shares of class 1: 3/4, 1/2, 0
    found = coarse(row, 4)
    assert found["nearest"].tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]]
    assert found["majority"].tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]]
    assert found["bilinear"].tolist() == [[1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]]  # 3/4 at 1.5 falls to 1/2 at 5.5


def test_a_factor_of_1_changes_nothing_and_one_beyond_the_picture_leaves_one_class():
    label = np.random.RandomState(0).randint(0, 5, (9, 14))
    assert all((found == label).all() for found in coarse(label, 1).values())
    assert all(len(np.unique(found)) == 1 for found in coarse(label, 128).values())


def test_void_takes_the_nearest_class_and_does_not_count():
    label = np.array([[1, 255, 255, 2]])
    assert filled(label).tolist() == [[1, 1, 2, 2]]
    found = upper_bound.upper_bound([label, np.full((2, 2), 255)], 3, [1, 2])
    assert found[1]["nearest"]["mean_iu"] == found[2]["majority"]["mean_iu"] == 1


def test_command_walks_a_split_by_its_labels_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = miniatures.voc(tmp_path)
    for image in (folder / "JPEGImages").iterdir():
        image.unlink()
    assert upper_bound.main(["--voc-dir", str(folder), "--factor", "4", "1", "--out", "bound.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "split seg11valid, 2 labels" in lines[0] and lines[-2].split()[:4] == ["1", "1.0000", "1.0000", "1.0000"]
    assert json.loads(Path("bound.json").read_text())["scores"]["1"]["nearest"]["overall_accuracy"] == 1
    with pytest.raises(NetError, match="nope.txt' is missing; there are seg11valid.txt, train.txt, val.txt"):
        upper_bound.main(["--voc-dir", str(folder), "--split", "nope"])
    with pytest.raises(NetError, match="takes no nyud_dir, but voc_dir"):
        upper_bound.main(["--nyud-dir", str(folder)])


@pytest.mark.skipif(not REAL.is_dir(), reason="the 101 real validation images are not here")
def test_published_figures_lie_between_the_rules_on_real_labels(capsys):
    assert upper_bound.main(["--voc-dir", str(REAL), "--factor", "32"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert len(rows) == 1
    for _, nearest, _, bilinear, published in rows:  # of another 1,000 or so images of the same year
        assert float(nearest) < float(published) < float(bilinear)

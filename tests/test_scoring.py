"""What scoring has beyond the release: absent classes, background left out, two heads, boundary bands, comparing."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tiny_project
from PIL import Image
from tiny_project import BLACK, BLUE, RED

import caffe
import score
from nets import NetError
from nets.record import Head, load_record, save_record
from scoring.boundary import BoundaryBands, boundary_pixels, distance_to_boundary
from scoring.compare import compare, load_result
from scoring.confusion import other_scores, scores
from scoring.pictures import draw_confusion

TRAP = [[3, 0, 1], [1, 2, 0], [0, 0, 0]]  # class 2 is never in the truth, but predicted once


def test_a_class_that_is_only_predicted_lowers_mean_iu_unless_absent_classes_are_left_out():
    assert scores(np.array(TRAP))["mean_iu"] == pytest.approx((3 / 5 + 2 / 3 + 0) / 3)  # 0.422
    present = other_scores(np.array(TRAP), ("sky", "sea", "moon"))["present"]
    assert present["mean_iu"] == pytest.approx((3 / 5 + 2 / 3) / 2)  # 0.633
    assert round(scores(np.array(TRAP))["mean_iu"], 3) == 0.422 and round(present["mean_iu"], 3) == 0.633
    for key in ("overall_accuracy", "mean_accuracy", "fwavacc"):  # these have no such trap
        assert present[key] == scores(np.array(TRAP))[key]


def test_background_is_left_out_of_the_means_or_counted_as_void():
    hist = np.array([[10, 2, 0], [1, 6, 1], [1, 0, 3]])
    ways = other_scores(hist, ("background", "a", "b"))
    assert ways["without_background"] == pytest.approx(dict(
        overall_accuracy=9 / 12, mean_accuracy=(6 / 8 + 3 / 4) / 2, mean_iu=(6 / 10 + 3 / 5) / 2,
        fwavacc=8 / 12 * 6 / 10 + 4 / 12 * 3 / 5))
    assert ways["background_ignored"]["mean_iu"] == pytest.approx((6 / 8 + 3 / 5) / 2)  # 2 on background forgiven
    assert ways["background_ignored"]["overall_accuracy"] == pytest.approx(9 / 12)


def test_a_set_without_background_has_no_scores_without_it():
    assert list(other_scores(np.eye(2), ("sky", "sea"))) == ["present"]


def test_boundary_pixels_lie_on_both_sides_of_a_change_and_void_is_a_value_too():
    label = np.array([[0, 0, 0, 1, 1],
                      [0, 0, 0, 1, 1],
                      [0, 0, 0, 255, 1]])
    assert boundary_pixels(label).astype(int).tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert distance_to_boundary(label)[0].tolist() == [2, 1, 0, 0, 1]
    assert np.isinf(distance_to_boundary(np.zeros((2, 3)))).all()


def test_bands_count_the_pixels_near_a_boundary_alone():
    label, prediction = np.array([[0, 0, 0, 0, 1, 1, 255]]), np.array([[1, 0, 0, 1, 1, 1, 0]])
    bands = BoundaryBands([3, 1], 2)
    bands(None, label, prediction)
    assert bands.bands[1].tolist() == [[0, 1], [0, 2]]  # columns 3 and 4, and 5 beside void
    assert bands.bands[3].tolist() == [[2, 1], [0, 2]]  # columns 1 to 5
    bands(None, np.zeros((1, 7), int), prediction)  # no boundary: nothing is near one
    assert bands.bands[3].sum() == 5
    with pytest.raises(ValueError, match="widths .0., want whole numbers of pixels from 1 up"):
        BoundaryBands([0], 2)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two images of the three colours; 3 of 4 and 1 of 2 counted pixels right."""
    monkeypatch.chdir(tmp_path)
    tiny_project.make_net(tmp_path)
    tiny_project.make_data(tmp_path, a=([[BLACK, RED], [BLUE, BLUE]], [[0, 1], [2, 0]]),
                           b=([[RED, RED, RED]], [[1, 2, 255]]))
    caffe.set_mode_cpu()
    return tmp_path


TWO_TOPS = """
layer { name: "geo" type: "Python" top: "unused" top: "geo"
  python_param { module: "voc_layers" layer: "VOCSegDataLayer"
    param_str: "{'voc_dir': 'data', 'split': 'seg11valid', 'mean': (0, 0, 0)}" } }
layer { name: "score_geo" type: "Convolution" bottom: "data" top: "score_geo"
  convolution_param { num_output: 3 kernel_size: 1 bias_filler { type: "constant" } } }
layer { name: "loss_geo" type: "SoftmaxWithLoss" bottom: "score_geo" bottom: "geo" top: "loss_geo"
  loss_param { ignore_label: 255 normalize: true } }
"""


def two_heads(project, *classes):
    """Give the tiny net a second head, which answers class 0 everywhere."""
    weights = project / "models/tiny/tiny.caffemodel"
    val = project / "models/tiny/val.prototxt"
    val.write_text(val.read_text() + TWO_TOPS)
    record = load_record(weights)
    object.__setattr__(record, "heads", (record.heads[0], Head(classes, "score_geo", "geo", "loss_geo")))
    save_record(record, weights)


def test_every_head_is_scored_in_one_pass_and_both_ways_are_printed(project, capsys):
    two_heads(project, "sky", "horizontal", "vertical")
    assert score.main(["--save", "seen", "--confusion"]) == 0
    out = capsys.readouterr().out
    assert "head score (3 classes)" in out and "head score_geo (3 classes)" in out
    assert len(re.findall(r"^classes in the truth only", out, re.M)) == 2
    assert len(re.findall(r"^without class background", out, re.M)) == 1  # the second has none
    result = json.loads((project / "results/tiny.json").read_text())
    other, = result["other_heads"]
    assert result["head"] == "score" and other["head"] == "score_geo"
    assert result["hist"] == [[1, 0, 1], [0, 2, 0], [0, 1, 1]]
    assert other["hist"] == [[2, 0, 0], [2, 0, 0], [2, 0, 0]] and other["mean_iu"] == pytest.approx(1 / 9)
    assert other["loss"] == pytest.approx(np.log(3), rel=1e-5) and list(other["class_iu"])[0] == "sky"
    for head in ("label", "geo"):
        assert (project / f"seen/{head}/a.png").exists()
        with Image.open(f"results/tiny_confusion_{head}.png") as picture:
            assert picture.mode == "RGBA" and min(picture.size) > 300


def test_a_head_that_the_net_does_not_have_is_named(project):
    two_heads(project, "sky", "horizontal", "vertical")
    val = project / "models/tiny/val.prototxt"
    val.write_text(val.read_text().replace("score_geo", "score_tree"))
    with pytest.raises(NetError, match="net 'tiny': no blob 'score_geo', which its record names; it has data, "):
        score.main([])


def test_a_head_of_other_classes_is_named(project):
    two_heads(project, "sky", "ground")
    with pytest.raises(NetError, match="3 scores a pixel in 'score_geo', 2 classes in the record"):
        score.main([])


def test_a_net_with_a_test_phase_in_place_of_val_is_scored_on_its_own_split(project, capsys):
    val = Path("models/tiny/val.prototxt")
    val.with_name("test.prototxt").write_text(val.read_text().replace("seg11valid", "test"))
    val.unlink()
    lists = Path("data/ImageSets/Segmentation")
    (lists / "test.txt").write_text("a\n")
    assert score.main([]) == 0
    assert "split test: 1 images" in capsys.readouterr().out and Path("results/tiny.json").exists()
    assert score.main(["--split", "seg11valid"]) == 0  # not the net's own: another file
    assert Path("results/tiny-seg11valid-tiny.json").exists()


def test_the_folder_of_the_data_can_be_another_one(project):
    Path("data").rename("elsewhere")
    assert score.main(["--voc-dir", "elsewhere"]) == 0
    with pytest.raises(NetError, match="its data layer takes no nyud_dir, but voc_dir"):
        score.main(["--nyud-dir", "elsewhere"])
    with pytest.raises(NetError, match="the list of ids '.*data/ImageSets/.*seg11valid.txt' is missing; check voc_dir"):
        score.main([])


def test_boundary_scores_come_with_their_widths(project, capsys):
    assert score.main(["--boundary", "1", "8"]) == 0
    result = json.loads(Path("results/tiny.json").read_text())
    assert list(result["boundary"]) == ["1", "8"]  # all pixels of these pictures lie at a boundary
    assert result["boundary"]["8"]["mean_iu"] == pytest.approx(result["mean_iu"])
    assert "within 1 px of a boundary" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        score.main(["--boundary", "0"])


def result(**changes):
    names = ("background", "cat", "dog")
    value = {"net": "one", "split": "val", "images": 2, "overall_accuracy": 0.9, "mean_accuracy": 0.5, "mean_iu": 0.5,
             "fwavacc": 0.8, "class_iu": dict(zip(names, (0.9, 0.4, 0.2))), "weights": "w", "git": "abc"}
    return {**value, **changes}


def write(name, content):
    path = Path("results", f"{name}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_two_results_are_compared_with_the_largest_change_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("one", result())
    write("two", result(net="two", mean_iu=0.55, class_iu=dict(background=0.91, cat=None, dog=0.5)))
    assert score.main(["--compare", "one", "results/two.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("A  net one, w") and lines[2] == "split val, 2 images"
    assert any(re.match(r"mean IU +0\.5000 +0\.5500 +\+0\.0500$", line) for line in lines)
    rows = [line.split() for line in lines[-3:]]
    assert rows == [["dog", "0.2000", "0.5000", "+0.3000"], ["background", "0.9000", "0.9100", "+0.0100"],
                    ["cat", "0.4000", "-", "-"]]


def test_heads_are_compared_one_by_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = result(head="score_sem", other_heads=[result(head="score_geo")])
    write("one", both)
    text = compare("one", "one")
    assert "head score_sem" in text and "head score_geo" in text and text.count("mean IU ") == 2
    write("two", result())
    with pytest.raises(NetError, match=r"'one' has 3 \+ 3 classes, 'one' 3; want the same names"):
        compare("one", "two")


@pytest.mark.parametrize(("other", "message"), [
    (result(split="train"), "compare: split val in 'one', train in 'one'; want the same images"),
    (result(images=3), "compare: images 2 in 'one', 3 in 'one'"),
    (result(class_iu=dict(background=1, cat=1, cow=1)), "only one of them knows cow, dog; want the same names"),
    ("{", "result 'results/two.json': not JSON"),
    ("[]", "two.json': not a result of score.py; want net, split"),
    (result(class_iu=3), "not a result of score.py"), (result(mean_iu="high"), "not a result of score.py"),
    (result(other_heads=7), "not a result of score.py"),
    (None, "result 'results/two.json': No such file or directory; results here: one; `python score.py --net NAME`"),
])
def test_results_that_cannot_be_compared_are_refused(tmp_path, monkeypatch, other, message):
    monkeypatch.chdir(tmp_path)
    write("one", result())
    if other is not None:
        write("two", other)
    with pytest.raises(NetError, match=re.escape(message)):
        compare("one", "two")


def test_what_score_writes_can_be_compared(project):
    assert score.main(["--boundary", "2"]) == 0
    assert load_result("tiny")["split"] == "seg11valid"
    assert "mean IU, boundary 2 px" in compare("tiny", "tiny")


def test_a_confusion_matrix_of_60_classes_is_a_readable_picture(tmp_path):
    names, hist = [f"class {k}" for k in range(60)], 200 * np.eye(60, dtype=int)
    hist[:, 0] += 20
    draw_confusion(hist, names, tmp_path / "all.png", "a net")
    with Image.open(tmp_path / "all.png") as picture:
        assert 1500 < min(picture.size) < 2500  # 60 lines of text need some 20 pixels each
        pixels = np.asarray(picture.convert("RGB"))
    assert len(np.unique(pixels[::3, ::3].reshape(-1, 3), axis=0)) > 20 and not list(tmp_path.glob(".*"))
    hist[50:] = hist[:, 50:] = 0  # classes that occur nowhere take no room
    draw_confusion(hist, names, tmp_path / "some.png")
    with Image.open(tmp_path / "some.png") as picture:
        assert picture.size[1] < pixels.shape[0] - 200
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_confusion(np.zeros((3, 3)), names[:3], tmp_path / "none.png")

REAL = Path(__file__).resolve().parent.parent.parent / "shared/data/VOC2011"


@pytest.mark.skipif(not REAL.is_dir(), reason="the 101 real validation images are not here")
def test_all_background_on_the_101_real_labels_gives_the_known_figures():
    from voc_layers import VOCSegDataLayer

    layer = VOCSegDataLayer.opened(repr(dict(voc_dir=str(REAL), split="seg11valid", mean=(0, 0, 0))))
    hist, pixels = np.zeros((21, 21), np.int64), 0
    for name in layer.indices:
        label = layer.load_label(name).ravel()
        hist += score.fast_hist(label, np.zeros(label.size, np.int64), 21)
        pixels += label.size
    assert (len(layer.indices), pixels, hist[0, 0], pixels - hist.sum()) == (101, 18_198_260, 12_517_160, 999_781)
    found = scores(hist)
    assert round(found["overall_accuracy"], 5) == 0.72781 and round(found["mean_iu"], 5) == 0.03466
    assert other_scores(hist, ["background", *"abcdefghijklmnopqrst"])["without_background"]["mean_iu"] == 0

"""Metrics against matrices worked out by hand, the release's lines, the command on a tiny net."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import tiny_project
from PIL import Image
from tiny_project import BLACK, BLUE, RED

import caffe
import score

LINE = r"^>>> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ "


def test_fast_hist_counts_truth_by_row_and_leaves_ignored_pixels_out():
    truth, prediction = np.array([0, 0, 1, 2, 255, -1]), np.array([0, 1, 1, 0, 2, 0])
    assert score.fast_hist(truth, prediction, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_fast_hist_of_uint8_labels_does_not_overflow():
    truth, prediction = np.full(3, 20, np.uint8), np.full(3, 19, np.uint8)
    hist = score.fast_hist(truth, prediction, 21)
    assert hist[20, 19] == 3 and hist.sum() == 3


def test_scores_of_a_matrix_worked_out_by_hand():
    found = score.scores(np.array([[6, 2], [1, 1]]))
    assert found == pytest.approx(dict(
        overall_accuracy=7 / 10, mean_accuracy=(6 / 8 + 1 / 2) / 2, mean_iu=(6 / 9 + 1 / 4) / 2,
        fwavacc=0.8 * 6 / 9 + 0.2 * 1 / 4), abs=1e-12)


def test_a_class_nowhere_is_left_out_one_only_predicted_counts_as_zero():
    found = score.scores(np.array([[6, 2, 0], [0, 0, 0], [0, 0, 0]]))
    assert found["mean_iu"] == pytest.approx((6 / 8 + 0) / 2)  # class 1 is predicted, class 2 nowhere
    assert found["mean_accuracy"] == pytest.approx(6 / 8)
    assert found["fwavacc"] == pytest.approx(6 / 8)


def test_scores_without_any_pixel_are_nan_and_silent():
    assert all(math.isnan(value) for value in score.scores(np.zeros((3, 3))).values())


def test_fingerprint_of_an_uninitialised_net_on_seg11valid():
    """Everything background, with the background's share of seg11valid: figures users' logs show."""
    hist = np.zeros((21, 21))
    hist[:, 0] = [733180] + [13341] * 20
    found = score.scores(hist)
    assert found["overall_accuracy"] == pytest.approx(0.733180, abs=1e-6)
    assert found["mean_accuracy"] == pytest.approx(0.047619, abs=1e-6)
    assert found["mean_iu"] == pytest.approx(0.0349133, abs=1e-7)
    assert found["fwavacc"] == pytest.approx(0.537553, abs=1e-6)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two images: 3 of 4 and 1 of 2 counted pixels right; one pixel ignored. Gives the folder."""
    monkeypatch.chdir(tmp_path)
    tiny_project.make_net(tmp_path)
    tiny_project.make_data(tmp_path,
                           a=([[BLACK, RED], [BLUE, BLUE]], [[0, 1], [2, 0]]),
                           b=([[RED, RED, RED]], [[1, 2, 255]]))
    caffe.set_mode_cpu()
    return tmp_path


HIST = [[1, 0, 1], [0, 2, 0], [0, 1, 1]]


def open_net():
    return caffe.Net("models/tiny/val.prototxt", caffe.TEST, weights="models/tiny/tiny.caffemodel")


def test_compute_hist_saves_predictions_and_gives_the_mean_loss(project):
    (project / "seen").mkdir()  # an existing folder is fine
    hist, loss = score.compute_hist(open_net(), "seen", ["a", "b"])
    assert hist.tolist() == HIST
    assert loss > 0.3 and np.isfinite(loss)
    with Image.open("seen/a.png") as image:
        assert image.mode == "P" and np.asarray(image).tolist() == [[0, 1], [2, 2]]
        assert image.getpalette()[3:6] == [128, 0, 0]


def test_do_seg_tests_prints_the_releases_lines(project, capsys):
    hist = score.do_seg_tests(open_net(), 4000, "seen-{}", ["a", "b"])
    assert hist.tolist() == HIST
    assert (project / "seen-4000" / "b.png").exists()
    lines = capsys.readouterr().out.splitlines()
    words = ["loss", "overall accuracy", "mean accuracy", "mean IU", "fwavacc"]
    assert len(lines) == len(words)
    for line, word in zip(lines, words):
        assert re.match(LINE + f"Iteration 4000 {word} [0-9.]+$", line)
    values = [float(line.split()[-1]) for line in lines[1:]]
    assert values == pytest.approx([4 / 6, (1 / 2 + 1 + 1 / 2) / 3, (1 / 2 + 2 / 3 + 1 / 3) / 3,
                                    (2 * 1 / 2 + 2 * 2 / 3 + 2 * 1 / 3) / 6])


class FakeSolver:
    """What seg_tests uses of a solver: iter, net, test_nets."""

    def __init__(self):
        self.iter, self.net = 12, open_net()
        empty = caffe.Net("models/tiny/val.prototxt", caffe.TEST)
        self.test_nets = [empty]


def test_seg_tests_scores_the_training_weights_and_shows_every_pass(project, capsys):
    solver, seen = FakeSolver(), []
    hist, loss = score.seg_tests(solver, False, ["a", "b"],
                                 watch=lambda net, truth, prediction: seen.append(prediction.shape))
    assert hist.tolist() == HIST and loss > 0
    assert seen == [(2, 2), (1, 3)]
    first = capsys.readouterr().out.splitlines()[0]
    assert re.match(LINE + "Begin seg tests$", first)


def open_net_without_loss():
    text = (tiny_project.VAL).split('layer { name: "loss"')[0]
    with open("no_loss.prototxt", "w") as stream:
        stream.write(text)
    return caffe.Net("no_loss.prototxt", caffe.TEST, weights="models/tiny/tiny.caffemodel")


def test_scoring_refuses_a_label_that_is_no_class_and_names_the_image(project):
    Image.fromarray(np.array([[9, 0, 0]], np.uint8)).save("data/SegmentationClass/b.png")
    with pytest.raises(ValueError, match=r"'b': label 9, want 0 to 2 or 255"):
        score.compute_hist(open_net_without_loss(), None, ["a", "b"])


def test_what_a_layer_objects_to_comes_with_the_image(project):
    (project / "data/SegmentationClass/b.png").unlink()
    with pytest.raises(ValueError, match="scoring 'b': .*b.png' is missing"):
        score.compute_hist(open_net(), None, ["a", "b"])


def test_a_net_without_loss_is_scored_and_its_loss_is_nan(project):
    hist, loss = score.compute_hist(open_net_without_loss(), None, ["a", "b"])
    assert hist.tolist() == HIST and math.isnan(loss)


def test_scoring_names_the_blobs_there_are(project):
    with pytest.raises(ValueError, match=r"no blob 'score_sem'; it has data, label, score"):
        score.compute_hist(open_net(), None, ["a"], layer="score_sem")


def test_command_writes_scores_with_their_origin(project, capsys):
    assert score.main(["--save", "seen"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^net tiny .*, split seg11valid: 2 images$", out, re.M)
    assert re.search(r"^mean IU +0\.5000$", out, re.M)
    assert re.search(r"^red +33\.33% +50\.00% +1\.0000 +0\.6667$", out, re.M)
    assert "2 images, 7 pixels, 14.29% of them ignored" in out
    result = json.loads((project / "results/tiny.json").read_text())
    assert result["hist"] == HIST and result["images"] == 2 and result["iteration"] == 7
    assert result["mean_iu"] == pytest.approx(0.5) and result["class_iu"]["blue"] == pytest.approx(1 / 3)
    assert len(result["weights_sha256"]) == 64 and result["device"] == "cpu, fp32"
    assert (project / "seen/b.png").exists()


def test_command_leaves_the_published_result_alone_for_other_weights(project):
    other = project / "models/tiny/train_iter_3.caffemodel"
    other.write_bytes((project / "models/tiny/tiny.caffemodel").read_bytes())
    assert score.main(["--weights", str(other)]) == 0
    assert [p.name for p in (project / "results").iterdir()] == ["tiny-seg11valid-train_iter_3.json"]


def test_a_training_split_is_scored_in_file_order(project):
    lists = project / "data/ImageSets/Segmentation"
    (lists / "train.txt").write_text("a\nb\n")
    assert score.main(["--split", "train", "--out", "x.json"]) == 0
    assert json.loads((project / "x.json").read_text())["hist"] == HIST


@pytest.mark.filterwarnings("ignore:.*is 255 .ignored. in every pixel")
def test_a_label_all_255_gives_loss_0_and_a_warning_with_its_name(project, capsys):
    Image.fromarray(np.full((2, 2), 255, np.uint8)).save("data/SegmentationClass/a.png")
    hist, loss = score.compute_hist(open_net(), None, ["a"])
    assert hist.sum() == 0 and loss == 0
    assert score.main([]) == 0
    assert re.search(r"warning: 1 of 2 labels have no pixel that counts \(all 255\): a",
                     capsys.readouterr().err)


def test_a_dead_net_is_noticed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny_project.make_net(tmp_path, dead=True)
    tiny_project.make_data(tmp_path, a=([[BLACK, RED]], [[0, 1]]))
    assert score.main([]) == 0
    err = capsys.readouterr().err
    assert "warning: all weights of the net are zero" in err
    assert "every pixel of the split was given class 0" in err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--split", "nope"], "there are seg11valid.txt"), (["--out", "models"], "--out 'models' is a folder"),
    (["--net", "nope"], "net 'nope': unknown; trained here: tiny"),
    (["--weights", "nope.caffemodel"], "no such file; there are: "),
])
def test_unknown_names_are_answered_with_those_there_are(project, arguments, message):
    with pytest.raises(ValueError, match=message):
        score.main(arguments)


def test_an_empty_project_says_how_to_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(ValueError, match="no trained net in 'models'; train one"):
        score.main([])


def test_a_record_of_other_classes_is_refused(project):
    path = project / "models/tiny/tiny.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "classes": ["a", "b"]}))
    with pytest.raises(ValueError, match="3 scores a pixel in 'score', 2 classes in the record"):
        score.main([])


def test_ids_are_read_line_by_line_as_the_data_layer_reads_them(project, capsys):
    listing = Path("data/ImageSets/Segmentation/seg11valid.txt")
    first = listing.read_text().split()[0]
    for folder, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        Path("data", folder, f"two words.{ending}").write_bytes(Path("data", folder, f"{first}.{ending}").read_bytes())
    listing.write_bytes(b"\xef\xbb\xbftwo words\r\n\r\n")
    assert score.main(["--save", "seen"]) == 0
    assert "seg11valid: 1 images" in capsys.readouterr().out and Path("seen/two words.png").exists()


@pytest.mark.parametrize(("content", "message"), [
    (b"\xff\xfea\x00", "seg11valid.txt' cannot be read as text"),
    (b" \n", "seg11valid.txt' is empty; it wants one item a line")])
def test_a_list_that_is_none_is_named(project, content, message):
    Path("data/ImageSets/Segmentation/seg11valid.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        score.main([])


@pytest.mark.parametrize(("content", "message"), [
    (None, "val.prototxt': cannot be read .No such file or directory.; correct it, or write the zoo's again"),
    (b"\xff\xd8", "val.prototxt': got a file that is not text, want a NetParameter"),
    (b"layer {\n  nme: 'x'\n}", "val.prototxt', line 2: not a NetParameter: .*nme"),
])
def test_a_broken_val_net_is_named_with_its_line(project, content, message):
    path = Path("models/tiny/val.prototxt")
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        score.main([])


def test_data_are_found_from_another_folder(project, monkeypatch, tmp_path_factory):
    from nets import choice
    from scoring import scored_net

    monkeypatch.setattr(choice, "ROOT", project)
    monkeypatch.setattr(scored_net, "ROOT", project)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert score.main([]) == 0

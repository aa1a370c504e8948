"""From two folders to a net: weights, plan, conversion, the whole command, and what stops it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_images import halves, make_pairs, paint
from PIL import Image
from train_project import make_weights

import startup
import train
from nets.choice import choose
from nets.googlenet import GoogLeNet
from nets.prototxt import write_prototxt
from nets.record import load_record
from nets.squeezenet import SqueezeNet
from nets.vgg16 import Vgg16
from nets.zoo import SLIM, SLIM_ALEXNET, SLIM_GOOGLENET, emit
from own import OwnError, convert, run
from own.home import Home
from own.inspect import Request, inspect
from own.plan import stages_of, within
from own.weights import NONE, Start, find_start, fit, read_weights, recognise

EMBEDDED = Path("models/shapes-vgg16/shapes-vgg16-fcn.caffemodel")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder is a project with the embedded classifier, of random weights, and no other net."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.setattr(run, "_SECONDS", 0.0)
    monkeypatch.setattr("solvers.loop.draw_curve", lambda *drawn: None)
    weights_of("shapes-vgg16-fcn", EMBEDDED)
    return tmp_path


def weights_of(name, path):
    """Random weights for a net of the zoo."""
    prototxt = Path("prototxts", f"{name}.prototxt")
    write_prototxt(emit(name, "deploy"), prototxt)
    make_weights(path, prototxt)
    return path


def folders(root=Path(), count=5):
    return make_pairs(root, {f"p{i}": paint(halves(1 + i % 2), {1: (255, 0, 0), 2: (0, 0, 255)}) for i in range(count)})


def command(capsys, *arguments):
    """Run train.py in this process; gives exit code, stdout, stderr's lines without bars."""
    capsys.readouterr()
    code = startup.run(lambda: train.main(list(map(str, arguments))))
    said = capsys.readouterr()
    err = [line for line in said.err.splitlines() if "it/s" not in line and "pair/s" not in line]
    return code, said.out, "\n".join(err)


def request(**more):
    return Request(Path("images"), Path("labels"), **more)


# -- weights -------------------------------------------------------------------------------------------------


def test_best_weights_that_are_here(project):
    best = find_start(None, gpu=False)
    assert best.path == str(EMBEDDED) and best.slim
    squeezenet = weights_of("voc-fcn-squeezenet", Path("models/ilsvrc-nets/squeezenet_v1.0.caffemodel"))
    want = Start(SqueezeNet(), "SqueezeNet, trained on ILSVRC", str(squeezenet), stride=8)
    assert find_start(None, gpu=False) == want
    assert find_start("shapes", gpu=True).mean_bgr == (128, 128, 128)
    assert find_start(NONE, gpu=False).trunk.weight_filler == {"type": "msra"}
    with pytest.raises(OwnError, match="'gone.caffemodel': no such file"):
        find_start("gone.caffemodel", gpu=False)
    EMBEDDED.unlink()
    squeezenet.unlink()
    with pytest.raises(OwnError, match="no initial weights here.*VGG_ILSVRC_16.*`make shapes-vgg16`"):
        find_start(None, gpu=False)


def test_trunks_are_told_by_their_layers(project, tmp_path):
    start = recognise(str(weights_of("shapes-fcn16s", tmp_path / "a.caffemodel")), "")
    assert (start.trunk, start.stride, start.scale) == (SLIM, 16, 1 / 60)
    for name, trunk in (("shapes-alexnet", SLIM_ALEXNET), ("shapes-fcn-googlenet", SLIM_GOOGLENET)):
        start = recognise(str(weights_of(name, tmp_path / "b.caffemodel")), "")
        assert start.trunk == trunk and start.slim and start.stride == (32 if "fcn" in name else None)
    with pytest.raises(OwnError, match="not a caffemodel|no layer with parameters"):
        recognise(str(Path("prototxts/shapes-fcn16s.prototxt")), "")
    Path("odd.prototxt").write_text('layer { name: "x" type: "Input" top: "x" '
                                    'input_param { shape { dim: 1 dim: 2 } } }\n'
                                    'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" '
                                    'inner_product_param { num_output: 3 } }\n')
    make_weights(tmp_path / "odd.caffemodel", Path("odd.prototxt"))
    with pytest.raises(OwnError, match=r"their layers \(ip, ...\) are of no trunk known here"):
        recognise(str(tmp_path / "odd.caffemodel"), "")


def test_classifier_is_cast_and_scores_of_other_classes_start_at_zero(project, tmp_path):
    write_prototxt(emit("shapes-fcn8s", "deploy"), tmp_path / "net.prototxt")
    text = (tmp_path / "net.prototxt").read_text()
    (tmp_path / "net.prototxt").write_text(re.sub(r"num_output: 9\b", "num_output: 4", text))
    classifier = weights_of("shapes-vgg16", tmp_path / "classifier.caffemodel")
    lines = fit(recognise(str(classifier), ""), tmp_path / "net.prototxt", tmp_path / "init.caffemodel")
    given, made = read_weights(classifier), read_weights(tmp_path / "init.caffemodel")
    assert np.array_equal(made["fc6"][0].ravel(), given["fc6"][0].ravel()) and made["fc6"][0].shape == (256, 64, 7, 7)
    assert any("fc6: " in line for line in lines) and any("left out" in line and "fc8" in line for line in lines)
    fcn = weights_of("shapes-fcn8s", tmp_path / "fcn.caffemodel")
    lines = fit(recognise(str(fcn), ""), tmp_path / "net.prototxt", tmp_path / "init.caffemodel")
    assert "score_fr: starts at zero (the initial weights have 9 outputs, want 4)" in lines
    assert not read_weights(tmp_path / "init.caffemodel")["score_fr"][0].any()
    (tmp_path / "net.prototxt").write_text(text.replace("num_output: 256", "num_output: 128"))
    with pytest.raises(OwnError, match="layer 'fc6' has 256 outputs, want 128"):
        fit(recognise(str(fcn), ""), tmp_path / "net.prototxt", tmp_path / "init.caffemodel")


# -- plan ------------------------------------------------------------------------------------------------------


def test_stages():
    slim, wide = Start(SLIM, "slim", "x"), Start(Vgg16(), "wide", "x")
    assert [(s.name, s.recipe.max_iter, s.recipe.base_lr) for s in stages_of(slim, "8s", 1000, 5, 0)] == [
        ("32s", 300, 0.008), ("16s", 250, 0.006), ("8s", 450, 0.004)]
    assert [stage.name for stage in stages_of(wide, "16s", 10, 5, 0)] == ["32s", "16s"]
    assert [stage.name for stage in stages_of(slim, "8s-atonce", 10, 5, 0)] == ["8s-atonce"]
    assert [stage.name for stage in stages_of(Start(SqueezeNet(), "", "x"), "8s", 10, 5, 0)] == ["8s"]
    assert [stage.name for stage in stages_of(Start(SLIM, "", "x", stride=8), "8s", 10, 5, 0)] == ["8s"]
    with pytest.raises(OwnError, match="SqueezeNet has one head"):
        stages_of(Start(SqueezeNet(), "", "x"), "32s", 10, 5, 0)
    googlenet = Start(GoogLeNet(), "", "x")
    assert [stage.name for stage in stages_of(googlenet, None, 10, 5, 0)] == ["32s"]
    with pytest.raises(OwnError, match="GoogLeNet has no skips here"):
        stages_of(googlenet, "8s", 10, 5, 0)
    with pytest.raises(OwnError, match="--net '4s'; want one of"):
        stages_of(slim, "4s", 10, 5, 0)
    assert within(5, 0.05, 10, 3) == int((270 - 12 * 10 * 0.02) / 0.05)


# -- conversion --------------------------------------------------------------------------------------------------


def test_large_images_are_made_smaller_and_labels_by_the_nearest_pixel(project):
    make_pairs(Path(), {name: halves(2, size=(80, 100)) for name in "abc"})
    home = Home("own")
    checked = inspect(request(), home)
    convert.convert(checked.looks, checked.table, checked.splits, home.data, max_side=50)
    made, shown = home.data / "SegmentationClass/a.png", home.data / "JPEGImages/a.jpg"
    with Image.open(made) as label, Image.open(shown) as image:
        assert label.size == image.size == (50, 40) and label.mode == "P"
        assert np.array_equal(np.asarray(label), halves(1, size=(40, 50)))  # value 2 became class 1
    before = (home.data / "SegmentationClass/a.png").stat().st_mtime_ns
    convert.convert(checked.looks, checked.table, checked.splits, home.data, max_side=50)
    assert (home.data / "SegmentationClass/a.png").stat().st_mtime_ns == before
    convert.convert(checked.looks, checked.table, checked.splits, home.data)
    assert (home.data / "JPEGImages/a.jpg").resolve() == Path("images/a.jpg").resolve()
    Path("labels/b.png").unlink()
    with pytest.raises(OwnError, match="b.png': No such file.*bring it back"):
        convert.convert(checked.looks, checked.table, checked.splits, home.data)


# -- the command ---------------------------------------------------------------------------------------------------


def test_from_two_folders_to_a_net_and_on_again(project, capsys):
    images, labels = folders()
    options = ("--images", images, "--labels", labels, "--max-iter", 6)
    code, out, err = command(capsys, *options)
    assert code == 0, err
    assert "initial weights: the embedded classifier" in out and "python infer.py images --net own" in out
    assert "4 images to train on are few" in err and "score_fr: starts at zero" in out
    weights = Path("models/own/own.caffemodel")
    record = load_record(weights)
    assert record.classes == ("background", "class1", "class2") and record.net == "own" and record.scale == 1 / 60
    assert choose("own").weights == str(weights) and "mean_iu" in record.scores
    page = Path("models/own/report.html").read_text()
    assert page.count("data:image/") >= 2 
    assert not re.search(r'(src|href)="(?!data:)', page) and "4 images to train on are few" in page
    assert sorted(path.name for path in Path("models/own").glob("*s")) == ["16s", "32s", "8s"]
    written, made = weights.read_bytes(), Path("models/own/8s/snapshot/train_iter_2.caffemodel").stat().st_mtime_ns
    code, out, _ = command(capsys, *options)
    assert code == 0 and "going on from iteration 2" in out and weights.read_bytes() == written
    assert Path("models/own/8s/snapshot/train_iter_2.caffemodel").stat().st_mtime_ns == made
    code, _, err = command(capsys, *options, "--net", "32s")
    assert code == 1 and "net: was None, is '32s'" in err and "choose another --name" in err
    (images / "p0.jpg").unlink()
    code, _, err = command(capsys, *options)
    assert code == 1 and "pairs: was" in err and weights.read_bytes() == written


def test_edited_table_stays_and_is_used(project, capsys):
    images, labels = folders()
    assert command(capsys, "--images", images, "--labels", labels, "--check")[0] == 0
    table = Path("models/own/classes.txt")
    assert "data:image/png" in Path("models/own/check.html").read_text()
    assert not Path("models/own/.training.json").exists()
    edited = table.read_text().replace("class1", "lamp").replace("class2", "vase")
    table.write_text(edited)
    code, out, _ = command(capsys, "--images", images, "--labels", labels, "--classes", table, "--check")
    assert code == 0 and "lamp" in out and table.read_text() == edited
    code, out, _ = command(capsys, "--images", images, "--labels", labels, "--check")
    assert "classes (models/own/classes.proposed.txt)" in out and table.read_text() == edited


def test_pairs_that_cannot_be_used_stop_it_unless_left_out(project, capsys):
    images, labels = folders()
    (labels / "p1.png").write_bytes(b"half")
    options = ("--images", images, "--labels", labels, "--max-iter", 3, "--net", "32s", "--init", "none")
    code, out, err = command(capsys, *options)
    assert code == 1 and "p1.png': cannot be read" in err and "1 of 5 pairs cannot be used" in err
    assert not Path("models/own/data").exists()
    code, out, err = command(capsys, *options, "--leave-out")
    assert code == 0 and "random weights" in out and "4 pairs can be used: 3 train, 1 val" in out
    assert load_record("models/own/own.caffemodel").mean_bgr != (128, 128, 128)


def test_image_that_vanishes_while_training_is_named(project, capsys, monkeypatch):
    images, labels = folders()
    write = run._write

    def gone(*arguments):
        if arguments[-1].name == "32s":
            for image in images.glob("*.jpg"):
                image.rename(image.with_suffix(".away"))
        return write(*arguments)

    monkeypatch.setattr(run, "_write", gone)
    code, _, err = command(capsys, "--images", images, "--labels", labels, "--max-iter", 3)
    assert code == 1 and "p0.jpg' has vanished while it was being trained on; bring it back" in err
    for image in images.glob("*.away"):
        image.rename(image.with_suffix(".jpg"))
    monkeypatch.setattr(run, "_write", write)
    assert command(capsys, "--images", images, "--labels", labels, "--max-iter", 3)[0] == 0


def test_batches_of_images_of_different_sizes_and_windows(project, capsys):
    images, labels = make_pairs(Path(), {f"p{i}": halves(1, size=(16 + 8 * i, 30 - 4 * i)) for i in range(4)})
    code, _, err = command(capsys, "--images", images, "--labels", labels, "--max-iter", 2, "--net", "32s",
                           "--batch", 2, "--crop", 20, "--jitter", 4)
    assert code == 0, err
    text = Path("models/own/train.prototxt").read_text().replace("\\", "")
    assert "'batch': 2" in text and "'crop': (20, 20)" in text and "'jitter': 4" in text
    assert "batch" not in Path("models/own/val.prototxt").read_text()


def test_images_of_one_pixel_train(project, capsys):
    images, labels = make_pairs(Path(), {f"p{i}": np.array([[i % 2]], np.uint8) for i in range(4)})
    code, _, err = command(capsys, "--images", images, "--labels", labels, "--max-iter", 3, "--net", "32s")
    assert code == 0 and "the smallest 1 x 1" in err, err


@pytest.mark.parametrize("options, message", [
    (("--images", "", "--labels", "labels"), "--images: no name given"),
    (("--images", "images", "--labels", "labels", "--max-iter", "x"), "--max-iter: x; want a whole number from 1 up"),
    (("--images", "images", "--labels", "labels", "--minutes", "nan"), "--minutes: nan; want a number above 0")])
def test_slips_of_the_pen_on_the_command_line(options, message, capsys):
    with pytest.raises(SystemExit):
        train.main(list(options))
    assert message in capsys.readouterr().err


def test_net_that_there_is_not_keeps_no_name(project, capsys):
    images, labels = folders(Path("my images"))
    options = ("--images", images, "--labels", labels, "--max-iter", 1, "--net")
    assert command(capsys, *options, "4s")[0] == 1
    code, out, err = command(capsys, *options, "32s")
    assert code == 0, err
    assert "python infer.py 'my images/images' --net own" in out


def test_nets_of_others_are_not_overwritten(project, capsys):
    images, labels = folders()
    Path("models/mine").mkdir()
    Path("models/mine/deploy.prototxt").write_text("")
    for name, message in (("mine", "not made of own images"), ("voc-x", "no beginning that a data set has"),
                          ("../x", "want letters")):
        code, _, err = command(capsys, "--images", images, "--labels", labels, "--name", name)
        assert code == 1 and message in err
    shutil.rmtree("models/mine")

"""infer.py and score.py on slim nets of every data set, over the miniatures in each set's own file format."""

import json
from pathlib import Path

import miniatures
import numpy as np
import pytest
from bvlc import ROOT, run_bvlc
from PIL import Image

import caffe
import infer
import score
from data.sets import SETS
from inference.inputs import as_input
from nets import NetError
from nets.prototxt import write_prototxt
from nets.record import Input
from nets.zoo import ZOO, slimmed
from vis import class_palette, make_palette

MAKERS = {"voc": miniatures.voc, "pascalcontext": miniatures.context, "nyud": miniatures.nyud,
          "siftflow": miniatures.siftflow}
HHA_MEAN = (132.431, 94.076, 118.477)


def make_net(root: Path, name: str) -> Path:
    """Write a slim net of the zoo with random weights into models/, without a record; gives its weights."""
    row, folder = slimmed(ZOO[name]), root / "models" / name
    folder.mkdir(parents=True)
    for phase in row.phases:
        write_prototxt(row.build(phase, {}).to_proto(), folder / f"{phase}.prototxt")
    net, rng = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST), np.random.RandomState(3)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.normal(0, 0.1, blob.data.shape)
    path = folder / f"{name}.caffemodel"
    net.save(str(path))
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, all commands of which run in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # infer.main sets it
    caffe.set_mode_cpu()
    return tmp_path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def nyud_files(project):
    """Colour, HHA and depth of the first item."""
    folder = miniatures.nyud(project) / "data"
    return [str(folder / kind / "img_5001.png") for kind in ("images", "hha", "depth")]


def test_inputs_are_made_as_the_nyud_data_layer_makes_them(project):
    colour, hha, depth = map(pixels, nyud_files(project))
    mean = Input("data", "hha", HHA_MEAN)
    np.testing.assert_array_equal(  # in the file's order of channels, not turned round as colour is
        as_input(hha, mean), (hha.astype(np.float64) - HHA_MEAN).astype(np.float32).transpose(2, 0, 1))
    np.testing.assert_array_equal(
        as_input(colour, Input("data", "color", (1, 2, 3)))[0], colour[:, :, 2].astype(np.float32) - 1)
    spec = Input("depth", "depth", (7.844,))
    holes = np.array([[0, 2550], [np.inf, np.nan]])
    np.testing.assert_allclose(as_input(holes, spec), [[[0, np.log(2550) - 7.844], [0, 0]]], atol=1e-6)
    assert as_input(depth, spec).shape == (1, *depth.shape) and np.isfinite(as_input(depth, spec)).all()
    with pytest.raises(NetError, match="1 means, want 3"):
        Input("data", "hha", (7.844,))


@pytest.mark.parametrize(("name", "given"), [("nyud-fcn32s-color", ()), ("nyud-fcn32s-color-d", ("--depth", 2)),
                                             ("nyud-fcn32s-color-hha", ("--hha", 1))])
def test_nyud_nets_take_photographs_with_what_else_they_read(project, name, given):
    files = nyud_files(project)
    make_net(project, name)
    words = [files[word] if isinstance(word, int) else word for word in given]
    assert infer.main([files[0], *words]) == 0
    assert pixels("output/img_5001_label.png").shape == miniatures.NYUD_SIZE
    if given:  # a folder with a file of the image's name does as well, at any size for the net
        label = pixels("output/img_5001_label.png")
        assert infer.main([files[0], words[0], str(Path(words[1]).parent), "--out", "again"]) == 0
        np.testing.assert_array_equal(pixels("again/img_5001_label.png"), label)
        assert infer.main([files[0], *words, "--max-side", "40"]) == 0


def test_a_net_that_reads_hha_alone_takes_the_images_for_it_or_shows_it_on_photographs(project, capsys):
    colour, hha, _ = nyud_files(project)
    make_net(project, "nyud-fcn32s-hha")
    assert infer.main([hha, "--out", "plain"]) == 0
    assert "it reads HHA (disparity, height and angle as one picture), and takes the images" in capsys.readouterr().out
    with pytest.raises(NetError, match="reads HHA .*, no depth; leave --depth out"):
        infer.main([hha, "--depth", hha])
    assert infer.main([colour, "--hha", hha, "--out", "over"]) == 0
    np.testing.assert_array_equal(pixels("plain/img_5001_label.png"), pixels("over/img_5001_label.png"))
    np.testing.assert_array_equal(pixels("over/img_5001_panel.png")[:42, :56], pixels(colour))


def test_what_is_missing_for_a_net_of_two_inputs_is_said(project, capsys):
    colour, hha, depth = nyud_files(project)
    make_net(project, "nyud-fcn32s-color-hha")
    with pytest.raises(NetError, match="reads a photograph and HHA .*; give --hha FILE, or a folder"):
        infer.main([colour])
    other = Path(colour).with_name("img_5012.png")
    (project / "empty").mkdir()
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save("small.png")
    for words, message in (([colour, "--hha", "nowhere.png"], "its hha 'nowhere.png' is no file or folder"),
                           ([colour, "--hha", "empty"], "no hha of this name in 'empty'; bring img_5001.png there"),
                           ([colour, "--hha", "small.png"], "'small.png': 5 x 5 pixels, its image"),
                           ([colour, "--hha", depth], "want HHA (disparity, height and angle as one picture); convert"),
                           ([colour, str(other), "--hha", hha], "for the hha of several images; give --hha a folder")):
        assert infer.main(words) == 1
        assert message in capsys.readouterr().err


def test_sift_flow_nets_write_both_label_maps_in_colours_without_background(project, capsys):
    folder = miniatures.siftflow(project)
    make_net(project, "siftflow-fcn8s")
    image = folder / "Images" / miniatures.SCENES / "coast_bea1.jpg"
    assert infer.main([str(image), "--scores"]) == 0
    out = capsys.readouterr().out
    assert "it knows 33 classes: awning, " in out and "it knows 3 classes: sky, horizontal, vertical" in out
    for ending, classes in (("_label.png", 33), ("_geo_label.png", 3)):
        with Image.open(f"output/coast_bea1{ending}") as label:
            assert label.size == (40, 40) and np.asarray(label).max() < classes
            assert label.getpalette()[:6] == [128, 0, 0, 0, 128, 0]  # black stands for background, which there is none
    found = np.load("output/coast_bea1_scores.npz")
    assert found["probability"].shape == (33, 40, 40) and found["probability_geo"].shape == (3, 40, 40)
    assert found["classes_geo"].tolist() == ["sky", "horizontal", "vertical"]


def test_the_palette_of_a_set_without_background_begins_with_the_first_colour():
    assert class_palette(("background", "cat")).tolist() == make_palette(256).tolist()
    colours = class_palette(("wall", "floor"))
    assert colours[:2].tolist() == make_palette(3)[1:].tolist() and colours[255].tolist() == [224, 224, 192]


@pytest.mark.parametrize(("name", "split", "heads"), [
    ("voc-fcn8s", "seg11valid", [21]), ("pascalcontext-fcn32s", "val", [60]), ("pascalcontext33-fcn32s", "val", [34]),
    ("nyud-fcn32s-color-d", "test", [40]), ("nyud-fcn32s-color-hha", "test", [40]),
    ("siftflow-fcn16s", "test", [33, 3])])
def test_nets_of_every_set_are_scored_on_their_own_split(project, capsys, name, split, heads):
    MAKERS[name.split("-")[0].rstrip("3")](project)
    make_net(project, name)
    assert score.main(["--boundary", "3"]) == 0
    out = capsys.readouterr().out
    assert f"split {split}: 2 images" in out and out.count("classes in the truth only") == len(heads)
    result = json.loads((project / f"results/{name}.json").read_text())
    figures = [result, *result.get("other_heads", [])]
    assert [len(one["class_iu"]) for one in figures] == heads
    for one in figures:
        assert sum(map(sum, one["hist"])) > 0 and 0 <= one["mean_iu"] <= one["present"]["mean_iu"] <= 1
        assert ("without_background" in one) == ("background" in one["class_iu"])
        assert np.isfinite(one["loss"]) and "3" in one["boundary"]


def test_a_masked_net_sees_the_mean_where_things_are(project):
    miniatures.voc(project)
    make_net(project, "voc-fcn32s")
    assert score.main([]) == 0 and score.main(["--mask", "foreground", "--out", "masked.json"]) == 0
    plain, masked = (json.loads(Path(name).read_text()) for name in ("results/voc-fcn32s.json", "masked.json"))
    assert masked["mask"] == "foreground" and masked["hist"] != plain["hist"]
    assert np.sum(masked["hist"], 1).tolist() == np.sum(plain["hist"], 1).tolist()  # the truth stays


def test_a_training_keeps_the_score_of_every_head_and_pictures_of_the_first(project):
    from solvers.scoring import Segmentation

    class Solver:
        iter = 4

    miniatures.siftflow(project)
    weights = make_net(project, "siftflow-fcn32s")
    Solver.net = caffe.Net("models/siftflow-fcn32s/deploy.prototxt", caffe.TEST, weights=str(weights))
    test = "models/siftflow-fcn32s/test.prototxt"
    Solver.test_nets = [caffe.Net(test, caffe.TEST)]
    scorer = Segmentation(test, SETS["siftflow"].heads)
    found = scorer(Solver, lambda: None)
    assert scorer.key in found and {"geo_mean_iu", "geo_val_loss", "val_loss"} <= set(found)
    image, truth, prediction = scorer.rows[1]
    assert len(scorer.rows) == 2 and image.shape == (40, 40, 3) and truth.shape == prediction.shape == (40, 40)
    assert score.main([]) == 0  # the command finds the same
    result = json.loads(Path("results/siftflow-fcn32s.json").read_text())
    assert found["mean_iu"] == result["mean_iu"] and found["geo_mean_iu"] == result["other_heads"][0]["mean_iu"]


@pytest.mark.parametrize("name", ["siftflow-fcn32s", "nyud-fcn32s-color-d"])
def test_genuine_caffe_scores_and_infers_the_same(project, name):
    MAKERS[name.split("-")[0]](project)
    make_net(project, name)
    image = next(iter(sorted((project / "data").rglob("*/coast_bea1.jpg"))), None)
    files = [str(image)] if image else [nyud_files(project)[0], "--depth", nyud_files(project)[2]]
    theirs = run_bvlc(f"""
        import json, os
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'layers')!r}]
        os.chdir({str(project)!r})
        import infer, score
        from PIL import Image
        assert score.main(["--out", "theirs.json", "--boundary", "2", "--confusion"]) == 0
        assert infer.main([*{files!r}, "--out", "theirs"]) == 0
        out["hist"] = json.load(open("theirs.json"))["hist"]
        out["label"] = np.asarray(Image.open(sorted(f"theirs/{{f}}" for f in os.listdir("theirs")
                                                    if f.endswith("_label.png"))[-1]))
        """)
    assert score.main([]) == 0 and infer.main(files) == 0
    ours = json.loads(Path(f"results/{name}.json").read_text())["hist"]
    label = pixels(sorted(Path("output").glob("*_label.png"))[-1])
    assert np.abs(theirs["hist"] - ours).sum() <= 0.002 * np.sum(ours)  # scores that are as good as equal may tie
    assert (theirs["label"] != label).mean() <= 0.002

"""The command on a tiny net worked out by hand: every kind of picture, names, refusals."""

import errno
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tiny_project
from PIL import Image
from tiny_project import BLACK, BLUE, RED

import caffe
import infer
import score
import startup
from inference import memory, photos
from nets.choice import choose, trained

ROOT = Path(__file__).resolve().parent.parent
SCENE = [[BLACK, RED, RED], [BLUE, RED, RED]]
LABEL = [[0, 1, 1], [2, 1, 1]]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Leave out lines of Caffe's own."""
    monkeypatch.setenv("GLOG_minloglevel", "2")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # main sets it
    tiny_project.make_net(tmp_path)
    caffe.set_mode_cpu()
    return tmp_path


def save(rows, path, mode="RGB", **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(rows, np.uint8)).convert(mode).save(path, **options)


def label_of(path):
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image).tolist()


def test_one_image_gives_label_overlay_and_panel_and_names_what_it_found(project, capsys):
    save(SCENE, "x.png")
    assert infer.main(["x.png"]) == 0
    assert label_of("output/x_label.png") == LABEL
    with Image.open("output/x_overlay.png") as image:
        overlay = np.asarray(image.convert("RGB"))
    assert overlay[0, 0].tolist() == [0, 0, 0]
    assert overlay[0, 1].tolist() == [191, 0, 0]  # (255 + 128) / 2, cut
    with Image.open("output/x_panel.png") as image:
        assert image.width >= 3 * 3 and image.height > 2
        assert np.asarray(image.convert("RGB"))[0, 1].tolist() == [255, 0, 0]
    assert sorted(p.name for p in (project / "output").iterdir()) == [
        "x_label.png", "x_overlay.png", "x_panel.png"]
    out = capsys.readouterr().out
    assert "net tiny (models/tiny/tiny.caffemodel), mean IU 0.500 in validation" in out
    assert "it knows 3 classes: background, red, blue" in out
    assert "x.png: 3x2" in out and "red 66.7 %, background 16.7 %, blue 16.7 %" in out
    assert "voc-fcn8s" not in out  # this is not the embedded net


def test_preprocessing_is_bgr_minus_mean_times_scale():
    made = infer.preprocess(np.array([[[250, 120, 7]]], np.uint8), (104.00699, 116.66877, 122.67892), 0.5)
    want = np.array([7 - 104.00699, 120 - 116.66877, 250 - 122.67892]).astype(np.float32) / 2
    assert made.dtype == np.float32 and made.shape == (3, 1, 1)
    assert made.ravel().tolist() == want.tolist()


@pytest.mark.parametrize(("mode", "options"), [
    ("RGB", {}), ("RGBA", {}), ("P", {}), ("CMYK", {"format": "TIFF"})])
def test_every_colour_mode_is_read_as_its_colours(project, mode, options):
    save(SCENE, "x.png", mode, **options)
    assert infer.main(["x.png"]) == 0
    assert label_of("output/x_label.png") == LABEL


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_images_are_read_as_grey(project, mode):
    grey = [[[0, 0, 0], [255, 255, 255]]]
    save(grey, "x.png", mode)
    assert photos.read_photo(Path("x.png"))[0].tolist() == grey


def test_sixteen_bits_become_eight(project):
    Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16)).save("x.png")
    assert photos.read_photo(Path("x.png"))[0][0, :, 0].tolist() == [0, 0, 1, 255]


def test_a_palette_with_transparency_is_read_without_a_warning(project):
    image = Image.fromarray(np.array(SCENE, np.uint8)).convert("P")
    image.save("x.png", transparency=bytes([0, 128, 255]))
    assert infer.main(["x.png"]) == 0
    assert label_of("output/x_label.png") == LABEL


@pytest.mark.parametrize(("turn", "label"), [
    (1, LABEL), (3, [[1, 1, 2], [1, 1, 0]]), (6, [[2, 0], [1, 1], [1, 1]]), (8, [[1, 1], [1, 1], [0, 2]])])
def test_exif_turns_are_obeyed(project, turn, label):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.array(SCENE, np.uint8)).save("x.png", exif=exif)
    assert infer.main(["x.png"]) == 0
    assert label_of("output/x_label.png") == label
    assert photos.image_size(Path("x.png")) == np.array(label).shape


@pytest.mark.parametrize("size", [(1, 1), (3000, 20), (20, 3000)])
def test_any_size_gives_a_label_map_of_its_size(project, size):
    Image.new("RGB", size, RED).save("x.png")
    assert infer.main(["x.png"]) == 0
    label = np.array(label_of("output/x_label.png"))
    assert label.shape == size[::-1] and (label == 1).all()


def test_scores_are_probabilities(project):
    save(SCENE, "x.png")
    assert infer.main(["x.png", "--scores"]) == 0
    with np.load("output/x_scores.npz") as found:
        probability, classes = found["probability"], found["classes"]
    assert classes.tolist() == ["background", "red", "blue"]
    assert probability.shape == (3, 2, 3) and probability.dtype == np.float32
    assert probability.sum(0) == pytest.approx(np.ones((2, 3)), abs=1e-6)
    powers = np.exp([0, 1.55, -1])  # a red pixel
    assert probability[:, 0, 1] == pytest.approx(powers / powers.sum(), abs=1e-6)


def test_max_side_makes_the_net_see_less_and_keeps_the_label_size(project, capsys):
    image = np.zeros((30, 40, 3), np.uint8)
    image[:, 20:] = RED
    Image.fromarray(image).save("x.png")
    assert infer.main(["x.png", "--max-side", "20"]) == 0
    label = np.array(label_of("output/x_label.png"))
    assert label.shape == (30, 40)
    assert (label[:, :18] == 0).all() and (label[:, 22:] == 1).all()
    assert "40x30 (net: 20x15)" in capsys.readouterr().out


def test_enlarge_label_takes_the_nearest_pixel():
    assert photos.enlarge_label(np.array([[1, 2]]), 2, 4).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert photos.enlarge_label(np.array([[1, 2, 3]]), 1, 1).tolist() == [[2]]


def test_folders_and_equal_stems_do_not_overwrite_each_other(project):
    save([[RED]], "a/x.png")
    save([[BLUE]], "b/x.png")
    save([[BLACK]], "b/x.bmp")
    Path("b/notes.txt").write_text("not an image")
    assert infer.main(["a", "b", "a/x.png"]) == 0
    labels = {name: label_of(f"output/{name}_label.png") for name in ("x", "x-2", "x-3")}
    assert labels == {"x": [[1]], "x-2": [[0]], "x-3": [[2]]}
    assert len(list(Path("output").iterdir())) == 9


def test_the_input_is_never_overwritten(project):
    save([[RED]], "output/x.png")
    save([[BLUE]], "output/x_label.png")
    before = Path("output/x_label.png").read_bytes()
    assert infer.main(["output/x.png", "output/x_label.png"]) == 0
    assert Path("output/x_label.png").read_bytes() == before
    assert label_of("output/x-2_label.png") == [[1]]
    with pytest.raises(ValueError, match="folder of results"):
        infer.main(["output"])


def test_a_bad_image_among_good_ones_is_reported_and_the_others_are_done(project, capsys):
    save([[RED]], "good.png")
    Path("empty.jpg").write_bytes(b"")
    Path("words.png").write_text("no picture")
    noise = np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save("whole.jpg")
    Path("cut.jpg").write_bytes(Path("whole.jpg").read_bytes()[:900])
    Image.fromarray(np.zeros((2, 2), np.float32)).save("float.tif")
    assert infer.main(["empty.jpg", "words.png", "cut.jpg", "float.tif", "good.png"]) == 1
    seen = capsys.readouterr()
    assert label_of("output/good_label.png") == [[1]]
    assert "1 of 5 images done" in seen.out
    errors = [line for line in seen.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 4
    assert errors[0] == "error: 'empty.jpg': not an image, or of a kind that is not known here"
    assert "'cut.jpg': cannot be read as an image" in errors[2]
    assert "'float.tif': mode F; want" in errors[3]


@pytest.mark.parametrize(("arguments", "message"), [
    (["nope.jpg"], "'nope.jpg': no such file or folder"),
    (["x.png", "--net", "nope"], "net 'nope': unknown; trained here: tiny"),
    (["x.png", "--weights", "nope.caffemodel"], "no such file; there are: "),
    (["hollow"], "no images in this folder"),
])
def test_wrong_arguments_are_answered_with_what_there_is(project, arguments, message):
    save([[RED]], "x.png")
    Path("hollow").mkdir()
    with pytest.raises(ValueError, match=message):
        infer.main(arguments)


def test_an_image_for_which_memory_would_not_do_is_refused_with_a_remedy(project, monkeypatch, capsys):
    Image.new("RGB", (400, 100), RED).save("x.png")
    net = caffe.Net("models/tiny/deploy.prototxt", caffe.TEST)
    needed = memory.forward_bytes(net)
    monkeypatch.setattr(infer, "free_bytes", lambda gpu: needed(50, 200) + infer.PAINTED * 400 * 100)
    assert infer.main(["x.png"]) == 1
    assert "400 x 100 pixels need about" in (err := capsys.readouterr().err)
    assert err.strip().endswith("--max-side 200 would do") or "--max-side 201 would do" in err
    assert infer.main(["x.png", "--max-side", "200"]) == 0
    assert np.array(label_of("output/x_label.png")).shape == (100, 400)


def huge_png(path, width, height):
    """The header of a PNG of this size and a few of its pixels."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
                           + chunk(b"IEND", b""))


def test_a_huge_png_is_refused_by_its_header(project, capsys):
    huge_png("x.png", 2**31 - 1, 2**31 - 1)
    assert infer.main(["x.png"]) == 1
    assert f"error: 'x.png': {2**31 - 1} x {2**31 - 1} pixels need" in capsys.readouterr().err


def test_memory_that_runs_out_all_the_same_names_the_image(project, monkeypatch, capsys):
    def full(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    save([[RED]], "x.png")
    monkeypatch.setattr(infer, "read_scene", full)
    assert infer.main(["x.png"]) == 1
    assert "error: 'x.png': out of memory; --max-side N would need less\n" in capsys.readouterr().err


def test_a_pipe_is_refused_before_it_is_waited_for(project):
    os.mkfifo("x.jpg")
    with pytest.raises(photos.PhotoError, match="'x.jpg': not a file that can be read again"):
        infer.main(["x.jpg"])


def test_names_that_leave_no_room_for_an_ending_are_cut(project):
    for first in "ab":
        save([[RED]], "ü" * 124 + f"{first}.png")
    save([[RED]], "b.png")
    assert infer.main(sorted(map(str, Path().glob("*.png")))) == 0
    assert sorted(path.name for path in Path("output").glob("*_label.png")) == [
        "b_label.png", "ü" * 100 + "-2_label.png", "ü" * 100 + "_label.png"]


def test_a_name_that_is_no_text_does_not_stop_the_others(project):
    for name in (b"\xff\xfe.png", b"y.png"):
        save([[RED]], os.fsdecode(name))
    done = run_command(project, os.fsdecode(b"\xff\xfe.png"), "y.png", PYTHONIOENCODING="ascii:strict")
    assert (done.returncode, done.stderr) == (0, "") and "2 of 2 images done" in done.stdout
    assert "\\udcff\\udcfe.png: 1x1" in done.stdout




def test_estimate_counts_the_blobs_of_a_padded_net_exactly(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("""
        layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
        layer { name: "c" type: "Convolution" bottom: "data" top: "c"
                convolution_param { num_output: 4 kernel_size: 3 pad: 100 weight_filler { type: "xavier" } } }
        layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
    """)
    net = caffe.Net(str(path), caffe.TEST)
    needed = memory.forward_bytes(net)
    assert tuple(net.blobs["data"].shape) == (1, 3, 9, 9)
    c = 4 * (64 + 198) * (640 + 198)
    floats = 3 * 64 * 640 + c + c // 4 + 2 * c
    assert needed(64, 640) == pytest.approx(4 * (floats + 4 * 3 * 9 + 4) + 60 * 64 * 640, rel=1e-9)
    assert needed(40000, 40000) == float("inf")  # more elements than Caffe's blobs can have


def test_a_dead_net_is_noticed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny_project.make_net(tmp_path, dead=True)
    save(SCENE, "x.png")
    assert infer.main(["x.png"]) == 0
    assert "warning: all weights of the net are zero" in capsys.readouterr().err


def test_a_diverged_net_is_an_error_not_a_picture(project, capsys):
    net = caffe.Net("models/tiny/deploy.prototxt", caffe.TEST, weights="models/tiny/tiny.caffemodel")
    net.params["score"][0].data[...] = 3e38  # 155 / 100 of it is more than float32 has
    net.save("models/tiny/tiny.caffemodel")
    save(SCENE, "x.png")
    assert infer.main(["x.png"]) == 1
    assert "scores are not finite" in capsys.readouterr().err
    assert not list(Path("output").iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("command", [infer, score])
def test_weights_that_are_no_numbers_are_refused(project, capsys, command, value):
    net = caffe.Net("models/tiny/deploy.prototxt", caffe.TEST, weights="models/tiny/tiny.caffemodel")
    net.params["score"][1].data[2] = value
    net.save("models/tiny/tiny.caffemodel")
    save(SCENE, "x.png")
    tiny_project.make_data(project, a=([[(0, 0, 0)]], [[0]]))
    assert startup.run(lambda: command.main(["x.png"] if command is infer else [])) == 1
    assert capsys.readouterr().err == (
        "error: net 'tiny': weights 'models/tiny/tiny.caffemodel' hold NaN or infinity in score, want numbers: the "
        "training that made them diverged; choose an earlier snapshot, or other weights\n")
    assert not Path("output").exists() and not Path("results").exists()


@pytest.mark.parametrize("command", [infer, score])
def test_weights_of_another_net_are_refused(project, capsys, command):
    text = tiny_project.DEPLOY.replace('"score"', '"other"')
    Path("other.prototxt").write_text(text)
    caffe.Net("other.prototxt", caffe.TEST).save("other.caffemodel")
    save(SCENE, "x.png")
    tiny_project.make_data(project, a=([[(0, 0, 0)]], [[0]]))
    given = ["--net", "tiny", "--weights", "other.caffemodel"]
    assert startup.run(lambda: command.main([*given, "x.png"] if command is infer else given)) == 1
    assert capsys.readouterr().err == (
        "error: net 'tiny': weights 'other.caffemodel' have none of its layers (score): they are another net's, and it "
        "would run on what its fillers drew; give the caffemodel that belongs to this net\n")
    assert not Path("output").exists() and not Path("results").exists()


def test_the_embedded_net_comes_last_and_says_how_to_get_the_voc_weights(project, capsys):
    save(SCENE, "x.png")
    tiny_project.make_net(project, name="shapes-fcn8s", mean_iu=0.9)
    tiny_project.make_net(project, name="tiny2", mean_iu=0.6)
    assert infer.main(["x.png"]) == 0
    out = capsys.readouterr().out
    assert "net tiny2 " in out and "other nets here (--net): tiny, shapes-fcn8s" in out
    assert infer.main(["x.png", "--net", "shapes-fcn8s"]) == 0
    assert "make weights-voc-fcn8s" in capsys.readouterr().out


def test_weights_from_elsewhere_take_mean_and_classes_of_their_data_set(project):
    weights = tiny_project.make_net(project, name="voc-tiny")
    weights.with_suffix(".json").unlink()
    for record in (choose("voc-tiny"), choose("voc-tiny", "models/tiny/../voc-tiny/voc-tiny.caffemodel")):
        assert len(record.classes) == 21 and record.classes[15] == "person"
        assert record.mean_bgr == (104.00699, 116.66877, 122.67892) and record.scale == 1
    assert [record.net for record in trained()] == ["tiny", "voc-tiny"]
    weights.rename("moved.caffemodel")
    with pytest.raises(ValueError, match="no record 'moved.json' beside them, so say which net"):
        choose(None, "moved.caffemodel")
    with pytest.raises(ValueError, match="net 'voc-tiny': no weights .* train it"):
        choose("voc-tiny")


COMPILED = startup._is_compiled(Path(caffe.__file__).parent)


@pytest.mark.skipif(COMPILED, reason="a compiled Caffe aborts the process on files like these")
@pytest.mark.parametrize(("file", "change", "message"), [
    ("tiny.caffemodel", lambda old: old[:len(old) // 2], "cut off"),
    ("tiny.caffemodel", lambda old: b"", "empty"),
    ("tiny.caffemodel", lambda old: b"\x89PNG\r\n\x1a\n" + bytes(50), "caffemodel"),
    ("deploy.prototxt", lambda old: old.replace(b"num_output", b"num_outputs"), "line 5"),
    ("deploy.prototxt", lambda old: old[:-5], "The file ends early"),
    ("deploy.prototxt", lambda old: b"\xff\xd8\xff\xe0", "deploy.prototxt: this is a JPEG image"),
    ("deploy.prototxt", lambda old: b"", "deploy.prototxt: the file is empty"),
    ("deploy.prototxt", lambda old: old.replace(b'"Convolution"', b'"Convolutoin"'), "Unknown layer type"),
    ("deploy.prototxt", lambda old: old.replace(b'bottom: "data"', b'bottom: "date"'), "date"),
    ("deploy.prototxt", lambda old: old.replace(b"num_output: 3", b"num_output: 4"), "shape mismatch"),
    ("deploy.prototxt", lambda old: old.replace(b"kernel_size: 1", b"kernel_size: 1 pad: 1"), "check the net's Crop"),
    ("tiny.json", lambda old: old[:-9], "not JSON"),
])
def test_a_broken_file_of_the_net_is_one_line_and_a_code(project, capsys, file, change, message):
    path = Path("models/tiny", file)
    path.write_bytes(change(path.read_bytes()))
    save([[RED]], "x.png")
    assert startup.run(lambda: infer.main(["x.png", "--net", "tiny"])) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not list(project.glob("output/*"))


def test_a_full_disk_is_one_line_and_leaves_no_half_file(project, monkeypatch, capsys):
    save([[RED]], "x.png")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "output/x_label.png")

    monkeypatch.setattr(os, "replace", full)
    assert startup.run(lambda: infer.main(["x.png"])) == 1
    assert "error: output/x_label.png: No space left on device" in capsys.readouterr().err
    assert not list(project.glob("output/*")) and not list(project.glob("output/.*"))


def test_a_broken_neighbour_does_not_stop_a_net_asked_for(project):
    tiny_project.make_net(project, name="other")
    Path("models/other/other.json").write_text("{")
    Path("models/other/deploy.prototxt").write_bytes(b"\xff")
    assert choose("tiny").net == "tiny"




def test_a_snapshot_takes_the_record_of_its_net(project):
    snapshot = project / "models/tiny/snapshot/train_iter_3.caffemodel"
    snapshot.parent.mkdir()
    snapshot.write_bytes(Path("models/tiny/tiny.caffemodel").read_bytes())
    record = choose(None, str(snapshot))
    assert (record.net, record.classes, record.scores) == ("tiny", tiny_project.CLASSES, {})
    assert record.weights == str(snapshot)


def run_command(cwd, *arguments, **variables):
    path = os.pathsep.join([*map(str, sys.path), str(ROOT)])
    return subprocess.run([sys.executable, str(ROOT / "infer.py"), *arguments], cwd=cwd, text=True,
                          capture_output=True, env={**os.environ, "PYTHONPATH": path, **variables})


def test_command_line_gives_one_line_and_a_code(project):
    Path("models/tiny/tiny.json").write_text(json.dumps({"net": "tiny"}))
    save([[RED]], "x.png")
    done = run_command(project, "x.png")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: record 'models/tiny/tiny.json': ")


def test_command_line_from_start_to_end(project):
    save(SCENE, "x.png")
    done = run_command(project, "x.png", "--out", "seen")
    assert (done.returncode, done.stderr) == (0, "")
    assert label_of("seen/x_label.png") == LABEL

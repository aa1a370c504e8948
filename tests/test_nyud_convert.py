"""NYUDv2 from a small file in the exact form of NYU's own: MATLAB 7.3, axes reversed, classes to be mapped."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

import startup
from data.__main__ import main
from data.nyud.convert import convert
from data.nyud.labeled_mat import names_of, opened, read_mapping

NAMES = ["wall", "floor", "cabinet", "bed", "chair", "book", "electrical outlet"]
MAPPING = [1, 2, 3, 4, 5, 23, 40]
FRAMES = 3


def text_cell(file, name, texts):
    """A MATLAB cell array of texts: references to arrays of character codes."""
    group = file.require_group("#refs#")
    refs = []
    for text in texts:
        stored = group.create_dataset(f"{name}{len(group)}", data=np.array([[ord(c)] for c in text], np.uint16))
        refs.append(stored.ref)
    file.create_dataset(name, data=np.array([refs], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)  # (1, n)


def frames():
    """What the frames show, rows first: RGB, metres, classes of the file."""
    rng = np.random.RandomState(0)
    image = rng.randint(0, 256, (FRAMES, 12, 16, 3)).astype(np.uint8).repeat(40, 1).repeat(40, 2)
    depth = (1 + (np.arange(480) // 40)[:, None] / 7 + (np.arange(640) // 40) / 13 + np.arange(FRAMES)[:, None, None])
    depth = depth.astype("f4")
    depth[1, 100, 100], depth[1, 101, 100], depth[1, 102, 100] = np.nan, np.inf, 0
    label = rng.randint(0, len(NAMES) + 1, (FRAMES, 12, 16)).astype(np.uint16).repeat(40, 1).repeat(40, 2)
    return image, depth, label


def write_labeled(path, leave_out=(), **change):
    image, depth, label = frames()
    fields = {"images": image.transpose(0, 3, 2, 1), "depths": depth.transpose(0, 2, 1),
              "labels": label.transpose(0, 2, 1), **change}
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in fields.items():
            if name not in leave_out:
                file.create_dataset(name, data=values, compression=1)
        if "names" not in leave_out:
            text_cell(file, "names", NAMES)
    with open(path, "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def write_mapping(path, names=NAMES, values=MAPPING):
    cell = np.empty((1, len(names)), object)
    cell[0] = names
    scipy.io.savemat(path, {"mapClass": np.array([values], float), "allClassName": cell})
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """NYU's files, in a folder of their own."""
    folder = tmp_path_factory.mktemp("nyu")
    write_labeled(folder / "labeled.mat")
    write_mapping(folder / "map.mat")
    scipy.io.savemat(folder / "splits.mat", {"trainNdxs": np.array([[3], [1]]), "testNdxs": np.array([[2]])})
    return folder


def words_for(source, out, *more):
    return ["convert", "nyud", "--mat", str(source / "labeled.mat"), "--mapping", str(source / "map.mat"),
            "--splits", str(source / "splits.mat"), "--out", str(out), "--jobs", "1", *more]


def run(words, capsys):
    code = startup.run(lambda: main(words))
    said = capsys.readouterr()
    return code, said.out, [line for line in said.err.splitlines() if line.startswith("error")]


def test_literal_frames_come_out_as_the_data_layer_reads_them(source, tmp_path, capsys):
    code, out, errors = run(words_for(source, tmp_path), capsys)
    assert (code, errors) == (0, []) and "3 frames, 3 of them converted now" in out
    image, depth, label = frames()
    for n in range(FRAMES):
        name = f"img_{5001 + n}"
        with Image.open(tmp_path / f"data/images/{name}.png") as picture:
            assert picture.mode == "RGB" and (np.array(picture) == image[n, 45:470, 40:600]).all()
        with Image.open(tmp_path / f"data/depth/{name}.png") as picture:
            got = np.array(picture)
            assert picture.mode == "I;16" and got.dtype == np.uint16 and got.shape == (425, 560)
        want = np.nan_to_num(depth[n, 45:470, 40:600], nan=0, posinf=0)
        assert np.abs(got - 1000 * want).max() <= 0.51  # millimetres; missing stays 0
        seen = scipy.io.loadmat(tmp_path / f"segmentation/{name}.mat")["segmentation"]
        assert seen.dtype == np.uint8 and (seen == np.array([0, *MAPPING])[label[n, 45:470, 40:600]]).all()
    assert (tmp_path / "trainval.txt").read_text() == "5001\n5003\n" and (tmp_path / "test.txt").read_text() == "5002\n"


def test_the_data_layer_reads_what_was_converted(source, tmp_path, capsys):
    import caffe
    from caffe import layers as L

    assert run(words_for(source, tmp_path), capsys)[0] == 0
    n = caffe.NetSpec()
    n.color, n.depth, n.label = L.Python(module="nyud_layers", layer="NYUDSegDataLayer", ntop=3, param_str=str(dict(
        nyud_dir=str(tmp_path), split="test", tops=["color", "depth", "label"], seed=1)))
    (tmp_path / "net.prototxt").write_text(str(n.to_proto()))
    image, _, label = frames()
    label = np.array([0, *MAPPING], np.uint8)[label[1, 45:470, 40:600]]
    depth = Image.open(tmp_path / "data/depth/img_5002.png")
    millimetres = np.array(depth)
    millimetres[millimetres == 0] = 1000
    Image.fromarray(millimetres).save(tmp_path / "data/depth/img_5002.png")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.forward()
    color = image[1, 45:470, 40:600, ::-1].astype(np.float32) - np.array((116.190, 97.203, 92.318), np.float32)
    assert np.allclose(net.blobs["color"].data[0], color.transpose(2, 0, 1), atol=1e-4)
    assert np.allclose(net.blobs["depth"].data[0, 0], np.log(millimetres) - 7.844, atol=1e-4)
    assert (net.blobs["label"].data[0, 0] == (label - 1).astype(np.uint8)).all()


def test_a_second_run_makes_only_what_is_missing(source, tmp_path, capsys):
    assert convert(source / "labeled.mat", source / "map.mat", tmp_path, workers=2) == (3, 3)
    half, gone = tmp_path / "data/images/img_5001.png", tmp_path / "segmentation/img_5003.mat"
    want = half.read_bytes()
    half.write_bytes(want[:-20])
    gone.unlink()
    kept = (tmp_path / "data/depth/img_5002.png").stat().st_mtime_ns
    assert convert(source / "labeled.mat", source / "map.mat", tmp_path) == (3, 2)
    assert half.read_bytes() == want and gone.exists()
    assert (tmp_path / "data/depth/img_5002.png").stat().st_mtime_ns == kept


def test_another_mapping_makes_other_labels(source, tmp_path):
    convert(source / "labeled.mat", source / "map.mat", tmp_path)
    text = tmp_path / "map.txt"
    text.write_text("\n".join(["7"] * len(NAMES)))
    assert convert(source / "labeled.mat", text, tmp_path) == (3, 3)
    seen = scipy.io.loadmat(tmp_path / "segmentation/img_5001.mat")["segmentation"]
    assert set(np.unique(seen)) == {0, 7}


def test_mappings_of_every_form_say_the_same(source, tmp_path):
    (tmp_path / "map.txt").write_text(" ".join(map(str, MAPPING)))
    with h5py.File(tmp_path / "new.mat", "w") as file:
        file["mapClass"] = np.array([MAPPING], float).T
        text_cell(file, "allClassName", NAMES)
    with opened(source / "labeled.mat") as file:
        assert names_of(file) == NAMES
    for path in (source / "map.mat", tmp_path / "map.txt", tmp_path / "new.mat"):
        table = read_mapping(path, NAMES)
        assert table.dtype == np.uint8 and table.tolist() == [0, *MAPPING]


@pytest.mark.parametrize("field", ["images", "depths", "labels", "names"])
def test_a_missing_field_is_named(tmp_path, source, capsys, field):
    mat = write_labeled(tmp_path / "labeled.mat", leave_out=(field,), images=np.zeros((1, 3, 640, 480), np.uint8),
                        depths=np.zeros((1, 640, 480), "f4"), labels=np.zeros((1, 640, 480), np.uint16))
    code, _, errors = run(words_for(source, tmp_path / "out", "--mat", str(mat)), capsys)
    assert code == 1 and len(errors) == 1 and f"has no field {field};" in errors[0]
    assert not (tmp_path / "out").exists()


def faults(folder, source):
    """Each fault of the files: the options, and what must be said."""
    small = write_labeled(folder / "small.mat", images=np.zeros((1, 3, 64, 48), np.uint8))
    cut = folder / "cut.mat"
    cut.write_bytes((source / "labeled.mat").read_bytes()[:200000])
    (folder / "no.mat").write_bytes(b"<html>404</html>" * 20)
    scipy.io.savemat(folder / "other.mat", {"x": 1})
    write_mapping(folder / "swapped.mat", [NAMES[1], NAMES[0], *NAMES[2:]])
    (folder / "few.txt").write_text("1 2 3")
    (folder / "high.txt").write_text("1 2 3 4 5 6 41")
    (folder / "words.txt").write_text("wall floor")
    (folder / "empty.txt").write_text("")
    return {
        ("--mat", small): "images has shape (1, 3, 64, 48), want (1, 3, 640, 480)",
        ("--mat", cut): "fetch it again",
        ("--mat", folder / "no.mat"): "cannot be read as MATLAB 7.3",
        ("--mat", folder / "gone.mat"): "is not there; `python -m data get nyud-mat`",
        ("--mapping", folder / "gone.mat"): "is not there; give --mapping FILE: Gupta's classMapping40.mat",
        ("--mapping", folder / "no.mat"): "cannot be read as a .mat file",
        ("--mapping", folder / "other.mat"): "has no field mapClass",
        ("--mapping", folder / "swapped.mat"): "first at number 1 (['floor'] and ['wall'])",
        ("--mapping", folder / "few.txt"): "got 3 numbers from 1 to 3, want 7",
        ("--mapping", folder / "high.txt"): "from 1 to 41",
        ("--mapping", folder / "words.txt"): "want one whole number a line",
        ("--mapping", folder / "empty.txt"): "is empty",
        ("--splits", folder / "gone.mat"): "--splits",
    }


def test_faults_are_one_line_and_nothing_is_written(source, tmp_path, capsys):
    for (option, path), want in faults(tmp_path, source).items():
        code, _, errors = run(words_for(source, tmp_path / "out", option, str(path)), capsys)
        assert code == 1 and len(errors) == 1 and want in errors[0], (option, path.name, errors)
        assert not (tmp_path / "out").exists()


def test_without_a_mapping_both_ways_are_told(source, tmp_path, capsys):
    words = ["convert", "nyud", "--mat", str(source / "labeled.mat"), "--out", str(tmp_path / "out")]
    code, _, errors = run(words, capsys)
    assert code == 1 and len(errors) == 1
    for part in ("has 7 classes, the nets want 40", "--mapping FILE", "classMapping40.mat", "nyud.tar.gz",
                 "python -m data get nyud"):
        assert part in errors[0]


def test_a_bad_frame_does_not_stop_the_others(source, tmp_path, capsys):
    depth, label = frames()[1].transpose(0, 2, 1).copy(), frames()[2].transpose(0, 2, 1).copy()
    depth[0, 300, 300], label[2, 300, 300] = 99.0, 800
    mat = write_labeled(tmp_path / "labeled.mat", depths=depth, labels=label)
    code, _, errors = run(words_for(source, tmp_path / "out", "--mat", str(mat)), capsys)
    assert code == 1 and len(errors) == 1 and "2 of 3 images failed, the others are done" in errors[0]
    assert "frame 1: depth from" in errors[0] and "frame 3: label 800" in errors[0]
    assert (tmp_path / "out/segmentation/img_5002.mat").exists()

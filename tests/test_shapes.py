"""The embedded data set: what its pictures show, and its files through kills and faults."""

from __future__ import annotations

import functools
import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import startup
from data import processes, sets, whole
from data.shapes import generate as shapes
from data.shapes.objects import draw_object
from data.shapes.scene import SIZES, draw_scene, draw_single

ROOT = Path(__file__).resolve().parent.parent
FEW = shapes.Counts(train=6, seg11valid=3, classifier_train=8, classifier_val=4)
FEW_WORDS = ["--train", "6", "--val", "3", "--classifier", "8", "4"]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative name."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def start(*words: str) -> subprocess.Popen:
    """Start a module of the toolkit from the root of the checkout."""
    command = [sys.executable, "-m", *words]
    pipe = subprocess.PIPE
    hears = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background hears no Ctrl-C
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=hears)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A small set, drawn in this process."""
    out = tmp_path_factory.mktemp("shapes")
    assert shapes.generate(out, FEW, workers=1, quiet=True) == sum(FEW)
    return out


# --- the pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "index", "digest"),
    [
        ("train", 0, "933b734ddcbb3c36"),
        ("train", 7, "2066029ba56dac6f"),
        ("train", 1499, "815d170f28e41288"),
        ("seg11valid", 199, "feec97ad9a475876"),
    ],
)
def test_golden_label_map_is_the_same_on_every_machine(split, index, digest):
    label = draw_scene(split, index).label
    assert label.shape == SIZES[index % 3][::-1]
    assert hashlib.sha256(label.tobytes()).hexdigest()[:16] == digest


def test_scenes_have_objects_a_border_and_mostly_background():
    labels = [draw_scene("train", index).label for index in range(24)]
    pixels = np.concatenate([label.ravel() for label in labels])
    assert set(np.unique(pixels)) == {*range(9), 255}
    assert 0.55 < (pixels == 0).mean() < 0.75
    assert 0.04 < (pixels == 255).mean() < 0.08
    assert all(len(set(np.unique(label)) - {0, 255}) >= 1 for label in labels)


def test_border_is_two_pixels_wide_and_parts_every_object_from_the_rest():
    label = draw_scene("train", 0).label.astype(int)
    for a, b in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
        assert not ((a != b) & (a == 0) & (b != 255)).any()
        assert not ((a != b) & (b == 0) & (a != 255)).any()
    near = np.zeros(label.shape, bool)  # within two pixels of an object
    rows, columns = np.nonzero((label > 0) & (label < 255))
    for y in range(-2, 3):
        for x in range(-2, 3):
            row = np.clip(rows + y, 0, label.shape[0] - 1)
            near[row, np.clip(columns + x, 0, label.shape[1] - 1)] = True
    assert near[label == 255].all()


def runs(row: np.ndarray) -> list[int]:
    """Lengths of the stretches of True in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
    return list(edges[1::2] - edges[::2])


@pytest.mark.parametrize("radius", [40.0, 64.0, 95.0])
@pytest.mark.parametrize(
    ("name", "at"), [("ring", 0.0), ("cross", -0.4), ("stool", 0.15), ("sign", 0.7)]
)
def test_thin_parts_are_three_to_eight_pixels(name, at, radius):
    cover = np.asarray(draw_object(name, radius, 0.0, random.Random(3)).cover) >= 128
    widths = runs(cover[cover.shape[0] // 2 + round(at * radius)])
    assert len(widths) == {"ring": 2, "cross": 1, "stool": 4, "sign": 1}[name]
    assert all(3 <= width <= 8.5 for width in widths), widths


def test_classifier_pictures_take_turns_and_show_their_class():
    singles = [draw_single("classifier_train", index) for index in range(10)]
    assert [number for _, number in singles] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert {picture.size for picture, _ in singles} == {(224, 224)}
    first, other = np.asarray(singles[0][0]), np.asarray(singles[8][0])
    assert (first != other).mean() > 0.5


# --- the files ------------------------------------------------------------------------------


def test_layout_palette_and_lists(made):
    assert sorted(path.name for path in made.iterdir()) == [".complete", "classifier", "dataset"]
    lists = made / "dataset/ImageSets/Segmentation"
    assert sets.read_ids(lists / "train.txt") == [f"train_{k:05d}" for k in range(6)]
    assert sets.read_ids(lists / "seg11valid.txt") == [f"valid_{k:05d}" for k in range(3)]
    lines = (made / "classifier/val.txt").read_text().splitlines()
    assert lines == [f"val_{k:05d}.jpg {k}" for k in range(4)]
    for name in sets.read_ids(lists / "train.txt"):
        with Image.open(made / f"dataset/JPEGImages/{name}.jpg") as image:
            assert (image.mode, image.format) == ("RGB", "JPEG")
        with Image.open(made / f"dataset/SegmentationClass/{name}.png") as label:
            assert label.mode == "P" and label.size == image.size and label.size in SIZES
            assert np.isin(np.asarray(label), [*range(9), 255]).all()
    palette = np.array(label.getpalette(), np.uint8).reshape(-1, 3)
    assert palette[[0, 1, 2, 8, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [64, 0, 0], [224, 224, 192],
    ]  # fmt: skip


def test_files_do_not_depend_on_the_number_of_processes(made, tmp_path):
    more = shapes.Counts(train=30, seg11valid=3, classifier_train=8, classifier_val=4)
    shapes.generate(tmp_path, more, workers=2, quiet=True)
    two, one = files_of(tmp_path), files_of(made)
    pictures = [name for name in one if name.endswith((".jpg", ".png"))]
    assert len(pictures) == 2 * 9 + 12
    assert all(two[name] == one[name] for name in pictures)


def test_second_run_draws_only_what_is_missing_or_cut_off(tmp_path):
    shapes.generate(tmp_path, FEW, workers=1, quiet=True)
    before = files_of(tmp_path)
    assert shapes.generate(tmp_path, FEW, workers=1, quiet=True) == 0
    gone = tmp_path / "dataset/JPEGImages/train_00002.jpg"
    half = tmp_path / "dataset/SegmentationClass/train_00004.png"
    empty = tmp_path / "classifier/images/val_00001.jpg"
    gone.unlink()
    half.write_bytes(half.read_bytes()[:-20])
    empty.write_bytes(b"")
    (tmp_path / "classifier/images/.train_00000.jpg.999999999.part").write_bytes(b"half")
    assert shapes.generate(tmp_path, FEW, workers=1, quiet=True) == 3
    assert files_of(tmp_path) == before


def test_another_version_is_drawn_anew_and_other_counts_are_not(tmp_path, monkeypatch):
    shapes.generate(tmp_path, FEW, workers=1, quiet=True)
    assert shapes.generate(tmp_path, FEW._replace(train=8), workers=1, quiet=True) == 2
    assert len(sets.read_ids(tmp_path / "dataset/ImageSets/Segmentation/train.txt")) == 8
    monkeypatch.setattr(shapes, "VERSION", shapes.VERSION + 1)
    assert shapes.generate(tmp_path, FEW, workers=1, quiet=True) == sum(FEW)


def wait_for(folder: Path, count: int) -> None:
    """Wait until a generator has put some pictures in place."""
    for _ in range(400):
        if len(list(folder.rglob("*.jpg"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the generator did not start")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_stopped_run_leaves_whole_files_and_goes_on(tmp_path, made, sent):
    words = ["--out", str(tmp_path), "--jobs", "2", "--quiet", "--train", "400", *FEW_WORDS[2:]]
    with start("data.shapes.generate", *words) as process:
        wait_for(tmp_path, 3)
        process.send_signal(sent)
        _, said = process.communicate(timeout=20)
    assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    if sent == signal.SIGINT:  # after SIGKILL Python's own resource tracker may speak
        assert len(said.splitlines()) == 1, said
    assert not (tmp_path / ".complete").exists()
    pictures = list(tmp_path.rglob("*.jpg")) + list(tmp_path.rglob("*.png"))
    assert all(whole.is_whole(path) for path in pictures if not path.name.startswith("."))
    shapes.generate(tmp_path, FEW, workers=1, quiet=True)
    kept, want = files_of(tmp_path), files_of(made)
    assert all(kept[name] == want[name] for name in want)


def test_workers_are_deaf_to_ctrl_c_from_their_start():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with processes.deaf_to_ctrl_c():
        code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
        said = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True).stdout
    assert said == "True\n" and signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


@pytest.fixture
def hears_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_workers_start_is_not_lost(hears_ctrl_c):
    reached = False
    with pytest.raises(KeyboardInterrupt), processes.deaf_to_ctrl_c():
        signal.raise_signal(signal.SIGINT)  # to this thread
        reached = True
    assert reached


def test_full_disk_leaves_the_old_file_and_no_part(tmp_path):
    def fill(file):
        file.write(b"new")
        raise OSError(28, "No space left on device")

    path = tmp_path / "list.txt"
    whole.write_text(path, "old")
    with pytest.raises(OSError, match="No space left") as caught:
        whole.write_whole(path, fill)
    assert caught.value.filename == str(path)
    assert files_of(tmp_path) == {"list.txt": b"old"}


def test_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    words = ["--out", str(tmp_path / "file"), "--jobs", "1", *FEW_WORDS]
    assert startup.run(lambda: shapes.main(words)) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and str(tmp_path / "file") in said[0]

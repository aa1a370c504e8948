"""Training: every recipe for two iterations, killed runs, Ctrl-C, and what is missing or wrong."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from train_project import make_project, make_weights, shortened

import caffe
import startup
from nets.record import load_record, save_record
from solvers import SolveError, loop, needs, solve
from solvers.recipes import RECIPES

NAME = "shapes-fcn32s"
MODEL = Path("models") / NAME


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Leave out lines of Caffe's own."""
    monkeypatch.setenv("GLOG_minloglevel", "2")


def enter_project(root, monkeypatch):
    """Make a project in which shapes-fcn32s, without dropout, trains for 6 iterations, the current folder."""
    monkeypatch.chdir(root)
    make_project(root, NAME)
    train = MODEL / "train.prototxt"
    train.write_text(train.read_text().replace("dropout_ratio: 0.1", "dropout_ratio: 0.0"))
    monkeypatch.setitem(RECIPES, NAME, shortened(NAME))
    monkeypatch.setattr(loop, "draw_curve", lambda *drawn: None)  # the smoke tests draw


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder is such a project."""
    enter_project(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What such a training has made at its end."""
    root = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        enter_project(root, patch)
        patch.setenv("GLOG_minloglevel", "2")
        solve.train(NAME)
    return root / "models"


@pytest.fixture
def trained(project, unbroken):
    """The current folder is a project in which it has been trained."""
    shutil.copytree(unbroken, "models", dirs_exist_ok=True)
    return MODEL / f"{NAME}.caffemodel"


def command(capsys, *arguments):
    """Run `python -m solvers.solve` in this process; gives the exit code and what it wrote to stderr."""
    capsys.readouterr()
    code = startup.run(lambda: solve.main(list(arguments)))
    lines = capsys.readouterr().err.splitlines()
    return code, [line for line in lines if "it/s" not in line and "s/it" not in line and line.strip()]


def run_until(event):
    """Train in a process of its own, in which `event` (Python text) is done after the note of iteration 4."""
    program = textwrap.dedent(f"""
        import os, signal, sys
        import startup
        from train_project import shortened
        from solvers import recipes, run_folder, solve
        recipes.RECIPES["{NAME}"] = shortened("{NAME}")
        note = run_folder.RunFolder.note
        def noted(self, **row):
            note(self, **row)
            if row["iteration"] == 4:
                {event}
        run_folder.RunFolder.note = noted
        sys.exit(startup.run(lambda: solve.main(["{NAME}"])))
    """)
    root = Path(__file__).resolve().parent
    path = os.pathsep.join(map(str, (root, root.parent, root.parent / "python", root.parent / "layers")))
    env = {**os.environ, "PYTHONPATH": path, "GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, env=env, timeout=120)


def rows(model=MODEL):
    return [json.loads(line) for line in (model / "snapshot/journal.jsonl").read_text().splitlines()]


def losses(model=MODEL):
    return {row["iteration"]: row["loss"] for row in rows(model) if "loss" in row}


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and np.asarray(Image.open(path)).std() > 0


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].dataset in ("voc", "shapes")])
def test_smoke_two_iterations_of_two_tiny_images(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    row = make_project(tmp_path, name)
    weights = solve.train(name, max_iter=2)
    record = load_record(weights)
    assert weights.is_file() and (record.net, record.iteration) == (name, 2)
    classifier = row.score == "classification"
    assert set(record.scores) >= ({"accuracy", "val_loss"} if classifier else {"mean_iu", "overall_accuracy"})
    assert len(record.classes) == {"shapes": 9, "voc": 21}[row.dataset] - classifier
    assert is_png(weights.with_name("loss.png")) and (classifier or is_png(weights.with_name("val.png")))
    assert f"{name}: " in capsys.readouterr().out and not list(tmp_path.rglob("*.part"))


def test_killed_run_goes_on_with_the_next_image(project, unbroken, capsys):
    killed = run_until("os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.returncode == -signal.SIGKILL and sorted(losses()) == [2, 4] and not (MODEL / f"{NAME}.json").exists()
    (MODEL / "snapshot/train_iter_6.caffemodel.77.part").write_bytes(b"half")
    weights = solve.train(NAME)
    assert f"{NAME}: going on from iteration 4\n" in capsys.readouterr().out
    assert losses() == losses(unbroken / NAME)
    assert weights.read_bytes() == (unbroken / NAME / weights.name).read_bytes()
    assert not list((MODEL / "snapshot").glob("*.part"))


def test_killed_before_the_score_scores_first(project, monkeypatch):
    def killed(*arguments):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(solve.Segmentation, "__call__", killed)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="killed"):
                solve.train(NAME, max_iter=2)
    solve.train(NAME, max_iter=2)
    assert [sorted(row)[0] for row in rows()] == ["iteration", "fwavacc"] and sorted(losses()) == [2]


@pytest.mark.parametrize("kind", ["solverstate", "caffemodel"])
def test_half_snapshot_is_not_taken_for_a_whole_one(kind, trained, capsys):
    weights = trained.read_bytes()
    newest = MODEL / f"snapshot/train_iter_6.{kind}"
    newest.write_bytes(newest.read_bytes()[:1000])
    solve.train(NAME)
    seen = capsys.readouterr()
    assert "warning: shapes-fcn32s: the snapshot of iteration 6 is put aside: " in seen.err
    assert "going on from iteration 4" in seen.out
    assert trained.read_bytes() == weights and sorted(losses()) == [2, 4, 6]


@pytest.mark.parametrize(("name", "content"), [
    ("journal.jsonl", b"\xff\xfe\x00"), ("journal.jsonl", b"3\n"), ("journal.jsonl", b'{"loss": 1}\n'),
    ("run.json", b"\xff\xfe\x00")])
def test_a_broken_note_is_made_again(name, content, trained):
    (MODEL / "snapshot" / name).write_bytes(content)
    assert solve.train(NAME) == trained and rows()[-1]["iteration"] == 6 and "mean_iu" in rows()[-1]




def test_ctrl_c_saves_says_so_and_goes_on(project, capsys):
    stopped = run_until("os.kill(os.getpid(), signal.SIGINT)")
    lines = [line for line in stopped.stderr.splitlines() if line.startswith("error")]
    assert stopped.returncode == 130 and "Traceback" not in stopped.stderr
    assert lines == [f"error: {NAME}: stopped at iteration 4; the same command goes on from there"]
    assert (MODEL / "snapshot/train_iter_4.solverstate").exists() and not (MODEL / f"{NAME}.caffemodel").exists()
    assert command(capsys, NAME) == (0, []) and sorted(losses()) == [2, 4, 6]


def test_finished_run_only_publishes_again(trained):
    before, content = rows(), trained.read_bytes()
    trained.unlink()
    solve.train(NAME)
    assert rows() == before and trained.read_bytes() == content


def test_best_and_last_two_snapshots_are_kept(trained):
    best = load_record(trained).iteration
    there = sorted(path.name for path in (MODEL / "snapshot").glob("train_iter_*"))
    want = {f"train_iter_{n}.{kind}" for n in (4, 6) for kind in ("caffemodel", "solverstate")}
    assert there == sorted(want | {f"train_iter_{best}.caffemodel"})
    scores = {row["iteration"]: row["mean_iu"] for row in rows() if "mean_iu" in row}
    assert scores[best] == max(scores.values())


def test_changed_start_or_recipe_begins_anew_and_keeps_the_other(trained, monkeypatch, capsys):
    aside = MODEL / "snapshot.before"
    make_weights(Path("other.caffemodel"), MODEL / "deploy.prototxt", seed=1)
    solve.train(NAME, init="other.caffemodel")
    assert "beginning anew" in capsys.readouterr().out and (aside / "train_iter_6.caffemodel").exists()
    shutil.rmtree(aside)
    monkeypatch.setitem(RECIPES, NAME, shortened(NAME, base_lr=0.001))
    solve.train(NAME, init="other.caffemodel", max_iter=2)
    assert (aside / "train_iter_6.caffemodel").exists() and "going on" not in capsys.readouterr().out


def test_two_trainings_of_one_net_do_not_mix(trained, monkeypatch):
    def second(*arguments):
        with pytest.raises(SolveError, match="another process is training this net"):
            solve.train(NAME)
        raise RuntimeError("tried")

    monkeypatch.setattr(solve, "_publish", second)
    with pytest.raises(RuntimeError, match="tried"):
        solve.train(NAME)


def test_what_is_missing_or_wrong_is_one_line(project, capsys):
    init = Path(RECIPES[NAME].init)
    (project / "notes.caffemodel").write_text("this is no net")
    (project / "empty.caffemodel").write_bytes(b"")
    make_project(project / "voc", "voc-fcn-squeezenet")
    foreign = "voc/models/ilsvrc-nets/squeezenet_v1.0.caffemodel"
    net = caffe.Net(str(MODEL / "deploy.prototxt"), caffe.TEST, weights=str(init))
    net.params["conv3_1"][0].data.flat[7] = np.nan
    net.save("diverged.caffemodel")
    for arguments, message in [
            (["fcn2s"], "error: net 'fcn2s': no recipe; known are voc-fcn32s"),
            ([NAME, "--init", "gone.caffemodel"], "missing gone.caffemodel (the initial weights"),
            ([NAME, "--init", "notes.caffemodel"], "notes.caffemodel"),
            ([NAME, "--init", "empty.caffemodel"], "empty.caffemodel"),
            ([NAME, "--init", foreign], f"initial weights '{foreign}' have none of its layers (conv1_1, conv1_2"),
            ([NAME, "--init", "diverged.caffemodel"], "weights 'diverged.caffemodel' hold NaN or infinity in conv3_1"),
            ([NAME, "--voc-dir", "nowhere"], "'nowhere/ImageSets/Segmentation/train.txt' is missing"),
            ([NAME, "--max-iter", "0"], "max_iter 0; want a whole number from 1 up"),
            ([NAME, "--gpu", "64"], "error: --gpu 64: ")]:
        code, lines = command(capsys, *arguments)
        assert code == 1 and len(lines) == 1 and message in lines[0] and lines[0].startswith("error: ")
    init.unlink()
    shutil.rmtree("data")
    code, lines = command(capsys, NAME)
    assert code == 1 and len(lines) == 1 and f"missing {init}" not in lines[0]
    assert "missing models/shapes-vgg16/shapes-vgg16.caffemodel (`make shapes-vgg16` trains it)" in lines[0]
    assert "data/shapes/dataset/ImageSets/Segmentation/train.txt" in lines[0] and "data.shapes.generate" in lines[0]
    assert not list(MODEL.rglob("train_iter_*")) and not list(MODEL.glob("*.caffemodel"))


def test_voc_names_every_missing_file_its_origin_and_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, "voc-fcn32s")
    assert needs.main(["voc-fcn32s"]) == 0
    shutil.rmtree("data")
    shutil.rmtree("models/ilsvrc-nets")
    assert needs.main(["voc-fcn32s"]) == 1
    said = capsys.readouterr().err
    for part in ("models/ilsvrc-nets/VGG_ILSVRC_16_layers.caffemodel (get it from http://www.robots.ox.ac.uk/",
                 "missing data/sbdd/dataset/train.txt", "benchmark.tgz", "missing data/pascal/VOC2011/JPEGImages",
                 "VOCtrainval_25-May-2011.tar", "python -m data.pascal.seg11valid"):
        assert part in said
    assert said.startswith("error: net 'voc-fcn32s' cannot be trained in ") and "classifier" not in said


def test_full_disk_and_blocked_folder_are_one_line_and_what_was_there_stays(project, capsys):
    MODEL.joinpath("snapshot").write_text("a file where a folder should be")
    code, lines = command(capsys, NAME)
    assert code == 1 and len(lines) == 1 and "snapshot" in lines[0]
    MODEL.joinpath("snapshot").unlink()
    assert command(capsys, NAME, "--max-iter", "4")[0] == 0
    published = MODEL.joinpath(f"{NAME}.caffemodel").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # bytes; a snapshot does not fit
    try:
        code, lines = command(capsys, NAME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1 and len(lines) == 1 and "train_iter_2.caffemodel" in lines[0]
    assert MODEL.joinpath(f"{NAME}.caffemodel").read_bytes() == published and not list(MODEL.rglob("*.part"))
    assert command(capsys, NAME) == (0, [])


def test_weights_from_elsewhere_are_not_replaced(trained):
    weights = MODEL / f"{NAME}.caffemodel"
    before = weights.read_bytes()
    save_record(replace(load_record(weights), origin="http://host/released"), weights)
    with pytest.raises(SolveError, match="was not trained here .http://host/released., and training would replace it"):
        solve.train(NAME)
    assert weights.read_bytes() == before


def test_the_journals_loss_is_the_mean_of_the_iterations(project, monkeypatch):
    seen = []
    monkeypatch.setattr(loop.Loop, "_keep_loss", lambda self: seen.append(float(self.solver.net.blobs["loss"].data)))
    solve.train(NAME)
    assert list(losses().values()) == pytest.approx(np.reshape(seen, (3, 2)).mean(1), rel=1e-6)


def test_wild_loss_stops(project, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, NAME, shortened(NAME, base_lr=1e9, clip_gradients=None))
    with pytest.warns(RuntimeWarning, match="the loss is"):
        code, lines = command(capsys, NAME)
    assert code == 1 and len(lines) == 1 and "lower base_lr" in lines[0]


def test_label_of_a_class_the_net_does_not_have_names_its_file(project, capsys):
    path = Path("data/shapes/dataset/SegmentationClass/two.png")
    Image.fromarray(np.full((20, 24), 9, np.uint8)).save(path)
    code, lines = command(capsys, NAME)
    assert code == 1 and len(lines) == 1 and f"label '{path}' has values 9; it wants 0 to 8" in lines[0]

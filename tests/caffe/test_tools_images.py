"""classify.py, detect.py, draw_net.py and train.py, and the files under their old names."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.tools import classify, detect, draw_net, entry, together, train
from tests.caffe import tool_nets

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = """name: "see" input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4
  weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    caffe.set_random_seed(3)
    caffe.Net("deploy.prototxt", caffe.TEST).save("see.caffemodel")
    rng = np.random.RandomState(0)
    (tmp_path / "pictures").mkdir()
    for name in ("b.png", "a.png"):
        Image.fromarray(rng.randint(0, 256, (20, 30, 3)).astype(np.uint8)).save(tmp_path / "pictures" / name)
    return tmp_path


NET = ["--model_def", "deploy.prototxt", "--pretrained_model", "see.caffemodel"]


def test_classify_a_folder_is_what_the_classifier_gives(folder):
    np.save("mean.npy", np.array([104.0, 117.0, 123.0]))
    assert classify.main(["pictures", "out.npy", *NET, "--ext", "png", "--images_dim", "12,14", "--mean_file",
                          "mean.npy"]) == 0
    net = caffe.Classifier("deploy.prototxt", "see.caffemodel", image_dims=(12, 14), raw_scale=255,
                           mean=np.array([104.0, 117.0, 123.0]), channel_swap=(2, 1, 0))
    images = [caffe.io.load_image(f"pictures/{name}.png") for name in "ab"]
    np.testing.assert_array_equal(np.load("out.npy"), net.predict(images))


def test_classify_one_image_of_a_npy_and_a_binaryproto_mean(folder):
    mean = np.full((1, 3, 8, 8), 100, np.float32)
    caffe._caffe.files.caffemodel_writer.write_blob("mean.binaryproto", mean, legacy=True)
    np.save("in.npy", np.stack([caffe.io.load_image("pictures/a.png")]))
    options = [*NET, "--center_only", "--mean_file", "mean.binaryproto"]
    assert classify.main(["in.npy", "one.npy", *options]) == 0
    assert classify.main(["pictures/a.png", "two.npy", *options]) == 0
    np.testing.assert_array_equal(np.load("one.npy"), np.load("two.npy"))
    assert np.load("one.npy").shape == (1, 4)


@pytest.mark.parametrize("argv, words", [
    (["pictures", "o.npy", *NET], "ends in .jpg"), (["none.png", "o.npy", *NET], "none.png"),
    (["pictures/a.png", "o.npy", *NET, "--images_dim", "big"], "--images_dim big"),
    (["pictures/a.png", "o.npy", *NET, "--images_dim", "256"], "want height,width"),
    (["pictures/a.png", "o.npy", *NET, "--mean_file", "deploy.prototxt"], "deploy.prototxt"),
    (["pictures/a.png", "nowhere/o.npy", *NET], "nowhere/o.npy")])
def test_classify_says_what_is_wrong(folder, capsys, argv, words):
    assert classify.main(argv) == 1
    assert words in capsys.readouterr().err
    assert not Path("o.npy").exists()


def test_classify_refuses_pickles(folder, capsys):
    np.save("in.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert classify.main(["in.npy", "o.npy", *NET]) == 1
    assert "error:" in capsys.readouterr().err


def test_classify_wants_images_and_a_net_that_takes_them(folder, capsys):
    np.save("in.npy", np.zeros((2, 4)))
    assert classify.main(["in.npy", "o.npy", *NET]) == 1
    assert "got an array (2, 4), want images" in capsys.readouterr().err
    Path("deploy.prototxt").write_text("""layer { name: "d" type: "DummyData" top: "data" dummy_data_param {
        shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }""")
    for tool in (classify, detect):
        assert tool.main(["pictures/a.png", "o.csv", *NET]) == 1
        assert "has no input; want a deploy net" in capsys.readouterr().err


def windows_file(text):
    Path("windows.csv").write_text(text)
    return "windows.csv"


WINDOWS = "filename,ymin,xmin,ymax,xmax\npictures/a.png,1,2,11,12\npictures/a.png,0,0,20,30\npictures/b.png,3,3,9,9\n"


def test_detect_writes_a_row_a_window(folder):
    assert detect.main([windows_file(WINDOWS), "out.csv", *NET, "--crop_mode", "list", "--context_pad", "1"]) == 0
    net = caffe.Detector("deploy.prototxt", "see.caffemodel", raw_scale=255, channel_swap=(2, 1, 0), context_pad=1)
    want = net.detect_windows([("pictures/a.png", [(1, 2, 11, 12), (0, 0, 20, 30)]), ("pictures/b.png",
                                                                                    [(3, 3, 9, 9)])])
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"][-5] for row in rows] == ["a", "a", "b"] and rows[0]["ymax"] == "11"
    scores = np.array([[row[f"class{i}"] for i in range(4)] for row in rows], np.float32)
    np.testing.assert_array_equal(scores, np.stack([row["prediction"] for row in want]))


def test_d34_detections_in_hdf5(folder):
    assert detect.main([windows_file(WINDOWS), "out.h5", *NET, "--crop_mode", "list", "--context_pad", "0"]) == 0
    with h5py.File("out.h5") as found:
        assert found["window"][()].tolist() == [[1, 2, 11, 12], [0, 0, 20, 30], [3, 3, 9, 9]]
        assert found["filename"].asstr()[2] == "pictures/b.png" and found["prediction"].shape == (3, 4)


def test_context_as_wide_as_the_input_is_refused(folder, capsys):
    assert detect.main([windows_file(WINDOWS), "out.csv", *NET, "--crop_mode", "list"]) == 1  # 16 of 8 pixels
    assert "context_pad 16" in capsys.readouterr().err


@pytest.mark.parametrize("text, output, words", [
    ("filename,ymin\na.png,1\n", "o.csv", "xmin"), (WINDOWS.replace("11", "x"), "o.csv", "'x'"),
    (WINDOWS.splitlines()[0], "o.csv", "no windows in it"), (WINDOWS, "o.txt", "Unknown output file type")])
def test_detect_says_what_is_wrong(folder, capsys, text, output, words):
    assert detect.main([windows_file(text), output, *NET, "--crop_mode", "list", "--context_pad", "0"]) == 1
    assert words in capsys.readouterr().err


def test_detect_names_the_module_for_selective_search(folder, capsys):
    Path("list.txt").write_text("pictures/a.png\n")
    assert detect.main(["list.txt", "o.csv", *NET, "--context_pad", "1"]) == 1
    assert "selective_search_ijcv_with_python" in capsys.readouterr().err


def test_draw_net_as_a_dot_file(folder):
    assert draw_net.main(["deploy.prototxt", "net.dot", "--rankdir", "TB", "--phase", "TEST"]) == 0
    assert "rankdir=TB" in Path("net.dot").read_text() and "InnerProduct" in Path("net.dot").read_text()


def test_d35_train_ends_at_max_iter_and_saves(folder, capsys, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    tool_nets.write(folder, 4)
    assert train.main(["--solver", "solver.prototxt", "--timing"]) == 0
    log = capsys.readouterr().err
    assert "forw   1     conv : " in log and "back   1     conv : " in log and "Solving tiny" in log
    tool_nets.write(folder, 6)
    assert train.main(["--solver", "solver.prototxt", "--snapshot", "snap_iter_4.solverstate"]) == 0
    assert {path.name for path in folder.glob("*.solverstate")} == {"snap_iter_4.solverstate",
                                                                    "snap_iter_6.solverstate"}


def test_train_in_two_processes_on_the_cpu(folder, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tool_nets.write(folder, 2)
    assert train.main(["--solver", "solver.prototxt", "--cpu", "2", "--timing"]) == 0
    log = capfd.readouterr().err
    assert "Using 2 processes on the CPU" in log and log.count("Solving tiny") == 1 and "forw   1     conv : " in log
    assert {path.name for path in folder.glob("*.solverstate")} == {"snap_iter_2.solverstate"}


def test_train_on_gpus_that_are_not_there(folder, capsys, monkeypatch):
    tool_nets.write(folder)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for gpus in (["0", "1"], ["0,1"], ["all"]):
        assert train.main(["--solver", "solver.prototxt", "--gpus", *gpus]) == 1
        assert "no CUDA device on this machine" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train.main(["--solver", "solver.prototxt", "--cpu", "0"])
    assert "--cpu 0: want a number of processes from 1 up" in capsys.readouterr().err


def test_the_fault_or_death_of_one_process_ends_the_others(folder, capfd, monkeypatch):
    fork = multiprocessing.get_context("fork")  # starts sooner
    monkeypatch.setattr(together.multiprocessing, "get_context", lambda method: fork)
    assert train.main(["--solver", "none.prototxt", "--cpu", "2"]) == 1
    assert "error: Could not open file" in capfd.readouterr().err and not multiprocessing.active_children()
    assert entry.tool(lambda _: together.in_processes(_one_dies, 2))([]) == 1
    assert "the process of rank 1 was killed by signal 9; the others were terminated" in capfd.readouterr().err
    assert not multiprocessing.active_children()


def _one_dies(rank, count):
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(100)


OLD_NAMES = {**{f"python/{name}.py": name for name in ("classify", "detect", "draw_net", "train")},
             **{f"tools/extra/{name}.py": name for name in ("parse_log", "plot_training_log", "extract_seconds",
                                                            "resize_and_crop_images", "summarize")},
             "scripts/download_model_binary.py": "download_model_binary"}


@pytest.mark.parametrize("file", OLD_NAMES)
def test_old_names_lead_to_the_tools(file):
    assert f'startup.tool("{OLD_NAMES[file]}")' in (ROOT / file).read_text()
    assert (ROOT / "python" / "caffe" / "tools" / f"{OLD_NAMES[file]}.py").exists()


def test_an_old_name_runs_from_any_folder_with_any_python(folder):
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "extra" / "summarize.py"), "deploy.prototxt"],
                          capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["Input", "InnerProduct", "Softmax"]

"""`caffe train|test|time|device_query` and the form of its options."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import caffe
from caffe._caffe.solvers.solver import NONE, SNAPSHOT, STOP
from caffe.tools import benchmark, flags, flops, progress, signals
from caffe.tools.command import main
from tests.caffe import tool_nets

PYTHON = Path(__file__).resolve().parents[2] / "python"
FLAGS = [flags.Flag("solver", "", ""), flags.Flag("iterations", 50, ""), flags.Flag("gray", False, "")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("GLOG_minloglevel", "GLOG_log_dir", "GLOG_logtostderr"):
        monkeypatch.setenv(name, "0" if name == "GLOG_minloglevel" else "")
    tool_nets.write(tmp_path)
    return tmp_path


def fails(capsys, *argv):
    assert main(list(argv)) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


# -- options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["-solver", "a b", "-iterations", "7", "-gray"], ["--solver=a b", "--iterations=7",
                                  "--gray=true"], ["-gray=1", "-iterations=7", "--solver", "a b"]])
def test_options_have_one_dash_or_two_and_a_blank_or_an_equals_sign(argv):
    options = flags.parse(["word", *argv, "--", "-x"], FLAGS, "")
    assert (options.solver, options.iterations, options.gray, options.words) == ("a b", 7, True, ["word", "-x"])


def test_no_before_a_boolean_switches_it_off():
    assert flags.parse(["-gray", "-nogray"], FLAGS, "").gray is False


def test_values_may_begin_with_a_dash():
    assert flags.parse(["-iterations", "-1"], FLAGS, "").iterations == -1


@pytest.mark.parametrize("argv, words", [(["-sover", "x"], "'sover'; did you mean 'solver'"),
                                         (["-solver"], "missing its argument"),
                                         (["-iterations=many"], "illegal value 'many'"),
                                         (["-gray=maybe"], "illegal value 'maybe'")])
def test_wrong_options_are_named(argv, words):
    with pytest.raises(ValueError, match=words):
        flags.parse(argv, FLAGS, "")


def test_glogs_flags_go_to_its_environment(monkeypatch):
    flags.parse(["-logtostderr=1", "--minloglevel", "2"], FLAGS, "")
    assert (os.environ["GLOG_logtostderr"], os.environ["GLOG_minloglevel"]) == ("1", "2")


def test_help_lists_the_options(capsys):
    assert main(["-help"]) == 0
    out = capsys.readouterr().out
    assert "usage: caffe <command> <args>" in out and "-sighup_effect" in out


# -- train -------------------------------------------------------------------------------------------


def test_train_writes_what_bvlcs_log_reader_takes(capsys, folder):
    assert main(["train", "--solver=solver.prototxt"]) == 0
    log = capsys.readouterr().err
    assert re.search(r"^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \S+\] Solving tiny$", log, re.MULTILINE)
    # the patterns that BVLC's parse_log.py looks for
    assert re.findall(r"Train net output #(\d+): (\S+) = [\.\deE+-]+", log) == [("0", "loss")] * 3
    assert re.findall(r"Test net output #(\d+): (\S+) = [\.\deE+-]+", log) == [("0", "acc"), ("1", "loss")] * 2
    assert re.findall(r"lr = ([-+]?[0-9]*\.?[0-9]+(?:[eE]?[-+]?[0-9]+)?)", log) == ["0.01", "0.01", "0.01"]
    assert log.count("Optimization Done.") == 2  # Caffe: the solver says it, and the tool
    assert (folder / "snap_iter_6.caffemodel").exists() and (folder / "snap_iter_6.solverstate").exists()


def test_train_goes_on_from_a_snapshot_and_from_weights(capsys, folder):
    main(["train", "-solver", "solver.prototxt"])
    (folder / "solver.prototxt").write_text(tool_nets.SOLVER % (8, ""))
    capsys.readouterr()
    assert main(["train", "-solver", "solver.prototxt", "-snapshot", "snap_iter_6.solverstate"]) == 0
    log = capsys.readouterr().err
    assert "Resuming from snap_iter_6.solverstate" in log and "Iteration 6 " in log and "Iteration 4" not in log
    assert main(["train", "-solver", "solver.prototxt", "-weights", "snap_iter_6.caffemodel"]) == 0
    assert "Finetuning from snap_iter_6.caffemodel" in capsys.readouterr().err


def test_level_and_stage_reach_the_net(capsys, folder):
    more = 'layer { name: "late" type: "Silence" bottom: "pool" include { stage: "a" stage: "b" min_level: 2 } }\n'
    (folder / "net.prototxt").write_text(tool_nets.NET + more)
    main(["train", "-solver", "solver.prototxt", "-level", "2", "-stage", "a,b"])
    assert "Creating Layer late" in capsys.readouterr().err
    main(["train", "-solver", "solver.prototxt", "-level", "2", "-stage", "a"])
    assert "Creating Layer late" not in capsys.readouterr().err


@pytest.mark.parametrize("argv, words", [
    (["train"], "Need a solver definition to train."),
    (["train", "-solver", "s", "-snapshot", "a", "-weights", "b"], "but not both"),
    (["train", "-solver", "nowhere.prototxt"], "nowhere.prototxt"),
    (["train", "-solver", "solver.prototxt", "-sigint_effect", "die"], 'Invalid signal effect "die"'),
    (["train", "-solver", "solver.prototxt", "-snapshot", "nowhere.solverstate"], "nowhere.solverstate"),
    (["train", "-solver", "solver.prototxt", "-weights", "nowhere.caffemodel"], "nowhere.caffemodel"),
    (["test"], "Need a model definition to score."), (["test", "-model", "m"], "Need model weights to score."),
    (["time"], "Need a model definition to time."), (["time", "-model", "m", "-phase", "x"], '"TRAIN" or "TEST"'),
    (["time", "-model", "net.prototxt", "-iterations", "0"], "at least 1"),
    (["frobnicate"], "Unknown action: frobnicate"), ([], "want one command"), (["train", "test"], "want one command")])
def test_what_is_wrong_is_one_line(capsys, argv, words):
    assert words in fails(capsys, *argv)


@pytest.mark.parametrize("argv", [["train", "-solver", "solver.prototxt", "-gpu", "0"], ["device_query"],
                                  ["time", "-model", "net.prototxt", "-gpu", "all"]])
def test_no_gpu_is_no_quiet_cpu(capsys, argv, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "no CUDA device" in fails(capsys, *argv)


def test_a_solver_for_gpus_warns_and_goes_on(capsys, folder, monkeypatch):
    monkeypatch.delenv("CAFFE_STRICT_GPU", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(caffe._caffe.common._state, "warned", False)
    (folder / "solver.prototxt").write_text(tool_nets.SOLVER % (2, "solver_mode: GPU"))
    with pytest.warns(UserWarning, match="continuing on the CPU"):
        assert main(["train", "-solver", "solver.prototxt"]) == 0


# -- signals -----------------------------------------------------------------------------------------


def test_signals_snapshot_and_stop_and_a_terminal_shows_progress(folder):
    tool_nets.write(folder, max_iter=10_000_000, more="test_initialization: false")
    master, slave = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(PYTHON), "COLUMNS": "100", "GLOG_minloglevel": "0"}
    child = subprocess.Popen([sys.executable, "-m", "caffe", "train", "-solver", "solver.prototxt"], stderr=slave,
                             stdin=subprocess.DEVNULL, env=env)
    os.close(slave)
    seen = b""
    try:
        seen += _read_until(master, rb"Iteration 10 .*Iteration 40 ")
        child.send_signal(signal.SIGHUP)
        seen += _read_until(master, rb"Snapshotting solver state.*Iteration \d+ ")
        child.send_signal(signal.SIGINT)
        seen += _read_until(master, rb"Optimization Done")
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        os.close(master)
    assert b"Optimization stopped early." in seen
    assert len(list(folder.glob("snap_iter_*.solverstate"))) == 2
    assert re.search(rb"  0% \[\.+\] \d+/10000000, [\d.e+]+ iter/s, loss [\d.e-]+, [\dd :]+ left", seen)


def _read_until(terminal, pattern, seconds=60):
    seen, end = b"", time.monotonic() + seconds
    while not re.search(pattern, seen, re.DOTALL):
        assert time.monotonic() < end, seen[-2000:]
        seen += os.read(terminal, 1 << 16)
    return seen


def test_signals_count_once_and_are_given_back():
    before = signal.getsignal(signal.SIGINT)
    actions = signals.SignalActions("stop", "none")
    with actions.listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        assert [actions.requested() for _ in range(3)] == [STOP, NONE, NONE]
    assert signal.getsignal(signal.SIGINT) is before


def solver_with(requests, folder, max_iter=6):
    tool_nets.write(folder, max_iter)
    solver = caffe.get_solver("solver.prototxt")
    asked = iter(requests)
    solver.set_action_function(lambda: next(asked, NONE))
    return solver


def test_a_stop_between_iterations_saves_and_skips_the_last_test(folder, capsys):
    solver = solver_with([NONE] * 3 + [STOP], folder)  # two test batches, two iterations
    solver.solve()
    assert solver.iter == 2 and (folder / "snap_iter_2.solverstate").exists()
    assert "Optimization stopped early." in capsys.readouterr().err
    solver.step(1)  # and a later call trains again
    assert solver.iter == 3


def test_a_stop_within_a_test_is_obeyed_there(folder, capsys):
    solver = solver_with([SNAPSHOT, NONE, STOP], folder)
    solver.solve()
    assert solver.iter == 0 and (folder / "snap_iter_0.solverstate").exists()
    assert "Test interrupted." in capsys.readouterr().err


# -- test and time -----------------------------------------------------------------------------------


def test_test_prints_batches_and_means(capsys):
    main(["train", "-solver", "solver.prototxt"])
    capsys.readouterr()
    assert main(["test", "-model", "net.prototxt", "-weights", "snap_iter_6.caffemodel", "-iterations", "3"]) == 0
    log = capsys.readouterr().err
    batches = [float(value) for value in re.findall(r"Batch \d, loss = (\S+)", log)]
    assert len(batches) == 3 and "Running for 3 iterations." in log
    mean = float(re.search(r"\] Loss: (\S+)", log)[1])
    assert mean == pytest.approx(sum(batches) / 3, rel=1e-5)
    shown = re.search(r"\] loss = (\S+) \(\* 1 = (\S+) loss\)", log)
    assert float(shown[1]) == float(shown[2]) == pytest.approx(mean, rel=1e-5)


def test_time_prints_every_layer_and_what_it_computes(capsys):
    assert main(["time", "-model", "net.prototxt", "-iterations", "2"]) == 0
    out, log = capsys.readouterr()
    for name in ("in", "conv", "pool", "ip", "loss"):
        assert re.search(rf"\] +{name}\tforward: [\d.e-]+ ms\.", log)
        assert re.search(rf"\] +{name}\tbackward: [\d.e-]+ ms\.", log)
    for words in ("Average Forward pass: ", "Average Backward pass: ", "Average Forward-Backward: ", "Total Time: "):
        assert re.search(rf"\] {words}[\d.e+]+ ms\.", log)
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert rows["conv"][1] == "Convolution"
    # 8 filters of 3x3x3 and a bias, at 10x10 places of 4 images
    assert float(rows["conv"][5]) == pytest.approx((2 * 8 * 27 * 400 + 8 * 400) / 1e9, rel=1e-3)
    assert rows["all"][3] == "100.0%" and rows["all"][5] == "100.0%"


def test_d33_time_leaves_out_backward_of_what_a_training_leaves_out(folder, capsys):
    ran = []
    (folder / "net.prototxt").write_text(tool_nets.NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    for layer in net.layers:
        layer.backward = lambda *_, name=layer.name, run=layer.backward: (ran.append(name), run(*_))
    benchmark._measure(net, 1)
    assert ran == ["loss", "ip_ip_0_split", "ip", "pool", "conv"]  # neither data nor the accuracy


def test_flops_of_each_kind_by_hand(folder):
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 6 dim: 6 } } }
    layer { name: "group" type: "Convolution" bottom: "x" top: "g" convolution_param { num_output: 6 kernel_size: 3
      group: 2 stride: 2 bias_term: false } }
    layer { name: "up" type: "Deconvolution" bottom: "x" top: "u" convolution_param { num_output: 5 kernel_size: 4
      stride: 2 bias_term: false } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "i" inner_product_param { num_output: 7 } }
    layer { name: "pool" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_h: 2 kernel_w: 3 } }
    layer { name: "relu" type: "ReLU" bottom: "x" top: "r" }
    layer { name: "crop" type: "Crop" bottom: "u" bottom: "x" top: "c" }
    """
    (folder / "kinds.prototxt").write_text(text)
    net = caffe.Net("kinds.prototxt", caffe.TEST)
    found = {node.name: flops.flops(node.layer, node.bottoms, node.tops) for node in net.wiring.nodes}
    assert found["group"] == 2 * 2 * 6 * 2 * 9 * 4
    assert found["up"] == 2 * 2 * 4 * 5 * 16 * 36
    assert found["ip"] == 2 * 2 * 144 * 7 + 2 * 7
    assert found["pool"] == 2 * 4 * 5 * 4 * 6
    assert found["relu"] == 2 * 4 * 36
    assert found["crop"] == found["x"] == 0


def test_the_progress_line_is_taken_away_before_a_log_line(capsys):
    with progress.Progress(0, 10, shown=True) as line:
        line.update(5, "loss 1, ")
        caffe._caffe.log.info("a line", "x.cpp:1")
    shown, blank, log = capsys.readouterr().err.split("\r")
    assert shown.startswith(" 50% [##########..........] 5/10, ") and blank.strip() == "" and log.startswith("I")
    assert progress.clock(90061) == "1 d 1:01:01"

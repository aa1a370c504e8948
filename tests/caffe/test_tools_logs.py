"""parse_log.py, extract_seconds.py and plot_training_log.py on logs of this Caffe, of the genuine one, and bad ones."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe.tools import extract_seconds, parse_log, plot_training_log
from caffe.tools.command import main as caffe_main
from tests.caffe import tool_nets
from tests.reference import record_solver

# as BVLC's tools/extra documents it: the date without a year, the tables, the first rate taken from the second row
LOG = """Log file created at: 2015/12/31 23:59:00
I1231 23:59:58.000000  7 solver.cpp:280] Solving net
I1231 23:59:58.500000  7 solver.cpp:338] Iteration 0, Testing net (#0)
I1231 23:59:59.000000  7 solver.cpp:406]     Test net output #0: accuracy = 0.1
I1231 23:59:59.000000  7 solver.cpp:406]     Test net output #1: loss = 2.5 (* 1 = 2.5 loss)
I0101 00:00:00.250000  7 solver.cpp:229] Iteration 0, loss = 2.4
I0101 00:00:00.250000  7 solver.cpp:245]     Train net output #0: loss = 2.4 (* 1 = 2.4 loss)
I0101 00:00:00.250000  7 sgd_solver.cpp:106] Iteration 0, lr = 0.01
I0101 00:00:02.000000  7 solver.cpp:229] Iteration 100, loss = nan
I0101 00:00:02.000000  7 solver.cpp:245]     Train net output #0: loss = nan (* 1 = nan loss)
I0101 00:00:02.000000  7 sgd_solver.cpp:106] Iteration 100, lr = 1e-05
I0101 00:00:03.000000  7 solver.cpp:229] Iteration 200, loss = 1e-3
I0101 00:00:03.000000  7 solver.cpp:245]     Train net output #0: loss = 1e-3 (* 1 = 1e-3 loss)
I0101 00:00:03.000000  7 sgd_solver.cpp:106] Iteration 200, lr = 1e-05
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    Path("old.log").write_text(LOG)
    return tmp_path


@pytest.fixture
def our_log(folder, capsys):
    tool_nets.write(folder, 6)
    assert caffe_main(["train", "-solver", "solver.prototxt"]) == 0
    Path("our.log").write_text(capsys.readouterr().err.replace(": acc =", ": accuracy ="))
    return "our.log"


def error(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, lines
    return lines[0]


def table(name, delimiter=","):
    with open(name, newline="") as file:
        return [dict(row) for row in csv.DictReader(file, delimiter=delimiter)]


def test_tables_of_a_log_are_literal(folder, capsys):
    Path("out").mkdir()
    assert parse_log.main(["old.log", "out", "--verbose"]) == 0
    assert "Wrote out/old.log.train" in capsys.readouterr().out
    assert table("out/old.log.test") == [
        {"NumIters": "0.0", "Seconds": "1.0", "LearningRate": "nan", "accuracy": "0.1", "loss": "2.5"}]
    assert table("out/old.log.train") == [
        {"NumIters": "0.0", "Seconds": "2.25", "LearningRate": "0.01", "loss": "2.4"},
        {"NumIters": "100.0", "Seconds": "4.0", "LearningRate": "0.01", "loss": "nan"},
        {"NumIters": "200.0", "Seconds": "5.0", "LearningRate": "1e-05", "loss": "0.001"}]
    assert parse_log.main(["old.log", "out", "--delimiter", ";"]) == 0
    assert len(table("out/old.log.train", ";")) == 3


def test_a_log_of_ours_has_all_its_rows(our_log):
    assert parse_log.main([our_log, "."]) == 0
    train, test = table("our.log.train"), table("our.log.test")
    assert [row["NumIters"] for row in train] == ["0.0", "2.0", "4.0"]
    assert [row["NumIters"] for row in test] == ["0.0", "5.0"] and set(test[0]) >= {"accuracy", "loss"}
    assert all(math.isfinite(float(row["loss"])) and float(row["Seconds"]) >= 0 for row in train + test)
    assert {row["LearningRate"] for row in train} == {"0.01"}


def test_a_log_of_genuine_caffe_is_read(folder):
    with np.load(record_solver.RECORDED) as loaded:
        Path("genuine.log").write_text(str(loaded["log"]))
    train, test = parse_log.parse_log("genuine.log")
    assert train and test and all("loss" in row and math.isfinite(row["loss"]) for row in train)
    iterations = [row["NumIters"] for row in train]
    assert iterations == sorted(iterations) and all(row["Seconds"] >= 0 for row in train)


def test_seconds_of_each_line_with_an_iteration(folder):
    assert extract_seconds.main(["old.log", "seconds.txt"]) == 0
    assert [float(line) for line in Path("seconds.txt").read_text().split()] == [0.5, 2.25, 2.25, 4, 4, 5, 5]


@pytest.mark.parametrize("chart", range(8))
def test_every_chart_is_drawn(our_log, chart):
    pytest.importorskip("matplotlib")
    assert plot_training_log.main([str(chart), "chart.png", our_log] + ([our_log] if chart else [])) == 0
    with Image.open("chart.png") as image:
        assert image.format == "PNG" and image.width > 100


def test_lines_of_a_chart_are_those_of_the_log(folder):
    train, test = parse_log.parse_log("old.log")
    assert plot_training_log.series(train, "Train learning rate", "Iters") == ([0, 100, 200], [0.01, 0.01, 1e-05])
    assert plot_training_log.series(test, "Test accuracy", "Seconds") == ([1.0], [0.1])


@pytest.mark.parametrize("tool, argv, words", [
    (parse_log, ["none.log", "."], "none.log"), (parse_log, ["empty.log", "."], "no line says \"Solving\""),
    (parse_log, ["dates.log", "."], "no date as glog writes it"), (parse_log, ["days.log", "."], "days.log: "),
    (parse_log, ["old.log", "no/where"], "Could not write file no/where"),
    (parse_log, ["old.log", ".", "--delimiter", "ab"], "want one character"),
    (extract_seconds, ["none.log", "out"], "none.log"), (extract_seconds, ["empty.log", "out"], "Solving"),
    (plot_training_log, ["8", "out.png", "old.log"], "want 0 to 7"),
    (plot_training_log, ["0", "out.xyz", "old.log"], "no picture of that type"),
    (plot_training_log, ["6", "out.png", "empty.log"], "empty.log"),
    (plot_training_log, ["0", "out.png", "untested.log"], "no 'Test accuracy' in the log; its outputs are none")])
def test_what_is_wrong_is_one_line(folder, capsys, tool, argv, words):
    Path("empty.log").write_text("")
    Path("dates.log").write_text("Solving without a date\n")
    Path("days.log").write_text(LOG.replace("I0101", "I0230"))
    Path("untested.log").write_text("".join(line for line in LOG.splitlines(True) if "Test" not in line))
    before = sorted(folder.iterdir())
    assert tool.main(argv) == 1
    assert words in error(capsys)
    assert sorted(folder.iterdir()) == before

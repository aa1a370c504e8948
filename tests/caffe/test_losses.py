"""Losses that stay on the device: fetched together and late, the numbers are those of fetching each at once."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe import SolverError
from caffe._caffe import common
from caffe._caffe.solvers import losses
from caffe._caffe.solvers.losses import Losses

NET = """layer { name: "in" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 4 dim: 3 }
  shape { dim: 4 dim: 2 } data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2
  weight_filler { type: "gaussian" std: 1 } } }
layer { name: "log" type: "Power" bottom: "ip" top: "p" power_param { shift: 0.5 } }
layer { name: "one" type: "EuclideanLoss" bottom: "p" bottom: "y" top: "one" }
layer { name: "two" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "two" loss_weight: 0.3 }"""
FIXED = ('base_lr: 0.01 lr_policy: "fixed" random_seed: 4 average_loss: 3 iter_size: 2 max_iter: 9 display: 4 '
         'snapshot_prefix: "s" ')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)


@pytest.fixture
def stand_in(monkeypatch):
    """Return what makes blobs keep a device buffer apart, as for a GPU."""
    return lambda: monkeypatch.setattr(common._state, "device", torch.device("cpu"))


def solver(text=FIXED):
    Path("solver.prototxt").write_text('net: "net.prototxt" ' + text)
    return caffe.SGDSolver("solver.prototxt")


def follow(s):
    return [(s.step(n), s.smoothed_loss)[1] for n in (1, 2, 7, 5)]


def test_the_smoothed_loss_is_the_cpus_to_the_last_bit(stand_in):
    want = follow(solver())
    stand_in()
    assert follow(solver()) == want


@pytest.mark.parametrize("average", [1, 3])
def test_late_sums_are_those_of_the_moment(average):
    found = []
    for late in (False, True):
        one, rng = Losses(average), np.random.default_rng(1)
        for start in (0, 9):
            one.begin()
            for number in range(start, start + 9):
                values = rng.normal(size=(2, 3)).astype(np.float32)
                one.add([[torch.tensor(v) if late else float(v) for v in row] for row in values], number, start)
        passes = one.fetch()
        assert [number for number, _ in passes] == ([n for n in range(18) for _ in (0, 1)] if late else [])
        found.append(one.smoothed)
    assert found[0] == found[1] != 0


def test_no_pass_looks_at_a_loss_until_somebody_asks(stand_in, monkeypatch):
    stand_in()
    s = solver(FIXED.replace("display: 4", ""))
    fetched = []
    stack = torch.stack
    monkeypatch.setattr(torch, "stack", lambda tensors: fetched.append(len(tensors)) or stack(tensors))
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: pytest.fail("a loss was looked at"))
    s.step(5)
    s.step(1)
    assert fetched == []
    s.smoothed_loss  # noqa: B018
    s.smoothed_loss  # noqa: B018
    assert fetched == [6 * 2 * 2], "one transfer: iterations x iter_size x losses"


def test_what_waits_is_bounded(stand_in, monkeypatch):
    monkeypatch.setattr(losses, "MOST_WAITING", 4)
    stand_in()
    s = solver(FIXED.replace("display: 4", ""))
    s.step(11)
    assert len(s._losses._waiting) == 3


def test_the_lines_of_a_training_are_the_cpus(stand_in, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")

    def lines():
        solver(FIXED + "test_interval: 3 test_iter: 2 test_compute_loss: true").solve()
        return [line.split("] ")[1] for line in capfd.readouterr().err.splitlines()
                if " loss = " in line or "output #" in line or "Test loss" in line]

    want = [line for line in lines() if "iter/s" not in line]
    stand_in()
    assert [line for line in lines() if "iter/s" not in line] == want
    assert len(want) > 10


def test_a_loss_that_is_not_finite_is_told_when_it_is_looked_at(stand_in, recwarn):
    stand_in()
    s = solver(FIXED.replace("display: 4", ""))
    s.step(2)
    s.net.params["ip"][0].data[0, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        s.step(3)
    with pytest.warns(RuntimeWarning, match="iteration 2: the loss is nan; at iteration 5, when it was checked, "
                                            "parameter 0 of layer 'ip'") as said:
        s.snapshot()
    assert said[0].filename == __file__
    assert os.path.exists("s_iter_5.caffemodel")


def test_the_switch_looks_at_every_loss(stand_in, monkeypatch):
    monkeypatch.setenv("CAFFE_STOP_ON_NAN", "1")
    stand_in()
    s = solver()
    s.step(2)
    s.net.params["ip"][1].data[0] = np.nan
    with pytest.raises(SolverError, match="iteration 2: the loss is nan; parameter 1 of layer 'ip'"):
        s.step(3)
    assert s.iter == 2

"""What a training leaves behind that is killed, or that finds the disk full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import caffe
from caffe.tools.command import main

PYTHON = Path(__file__).resolve().parents[2] / "python"
NET = """name: "wide"
layer { name: "in" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 500 }
  data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 1000
  weight_filler { type: "constant" value: 0.1 } } }
layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 reduction_param { operation: MEAN } }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: %d snapshot: 1
snapshot_prefix: "s" snapshot_format: %s snapshot_after_train: false
"""

# Each try is a process of its own, killed where it stands: while a file is half written, or at any time.
KILLED = """
import glob, os, random, signal, sys, time
import caffe
solver = caffe.get_solver("solver.prototxt")
solver.step(1)  # one snapshot stands from the beginning
random.seed(1)
tries = 0
while len(glob.glob("*.part")) < 4 or len(glob.glob("*.solverstate*")) == len(glob.glob("*.solverstate*.part")):
    tries += 1
    child = os.fork()
    if not child:
        solver.solve()
        os._exit(1)
    left, seen, end = set(glob.glob("*.part")), set(), time.monotonic() + 20
    if random.random() < 0.7:
        count = random.randint(1, 4)  # it dies while it writes its first to fourth file
        while len(seen - left) < count and time.monotonic() < end:
            seen.update(glob.glob("*.part"))
    else:
        time.sleep(random.uniform(0, 0.1 * tries))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")
    return tmp_path


def write(max_iter, form="BINARYPROTO"):
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER % (max_iter, form))


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_killed_at_any_moment_only_whole_snapshots_stay(folder, form):
    write(1_000_000, form)
    env = {**os.environ, "PYTHONPATH": str(PYTHON), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    solver = caffe.get_solver("solver.prototxt")
    states = sorted(path for path in folder.iterdir() if ".solverstate" in path.name and path.suffix != ".part")
    assert states
    for state in states:
        solver.restore(str(state))
        assert f"_iter_{solver.iter}." in state.name
    for weights in (path for path in folder.iterdir() if ".caffemodel" in path.name and path.suffix != ".part"):
        caffe.Net("net.prototxt", caffe.TEST, weights=str(weights))


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_full_disk_stops_with_a_message_and_keeps_the_snapshots_before(folder, capsys, form):
    write(2, form)
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    before = {path.name: path.read_bytes() for path in folder.glob("s_iter_*")}
    assert len(before) == 4
    write(4, form)
    state = next(name for name in before if name.startswith("s_iter_2.solverstate"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))  # of the 2 MB that a file of the snapshot takes
    try:
        assert main(["train", "-solver", "solver.prototxt", "-snapshot", state]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Could not write file s_iter_3.caffemodel" in errors[0], errors
    assert "what was there before is unchanged" in errors[0]
    assert {path.name: path.read_bytes() for path in folder.glob("s_iter_*")} == before
    assert not list(folder.glob("*.part"))
    assert main(["train", "-solver", "solver.prototxt", "-snapshot", state]) == 0  # with space again, it goes on
    assert any(folder.glob("s_iter_4.solverstate*"))

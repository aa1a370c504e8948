"""Threads of convolutions: what the user says, else the physical cores of this process, shared out under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import caffe
from caffe._caffe import threads
from caffe.tools import command
from tests.caffe import tool_nets

PYTHON = Path(caffe.__file__).resolve().parent.parent
NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A file system with two sockets of two cores of two hyper-threads; the process may run on CPUs 0 to 6."""
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/cpuinfo", "\n\n".join(
        f"processor\t: {cpu}\nphysical id\t: {cpu % 4 // 2}\ncore id\t\t: {cpu % 2}\nflags\t: a b" for cpu in range(8)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(7)), raising=False)
    monkeypatch.setattr(threads, "_ROOT", tmp_path)
    return write


@pytest.mark.parametrize(("cpus", "count"), [(range(7), 4), ({0, 4}, 1), ({0, 1, 5}, 2), ({0, 2}, 2), ({9}, 1)])
def test_hyper_threads_are_no_cores_and_other_cpus_are_not_ours(machine, monkeypatch, cpus, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(cpus))
    assert threads.physical_cores() == count


def test_without_core_ids_every_cpu_is_a_core(machine):
    machine("proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 100\n\nprocessor\t: 1\nBogoMIPS\t: 100\n")
    assert threads.physical_cores() == 7


@pytest.mark.parametrize(("files", "count"), [
    ({"cpu.max": "max 100000"}, 4),
    ({"cpu.max": "150000 100000"}, 2),  # one and a half
    ({"a/b/cpu.max": "300000 100000", "a/cpu.max": "100000 100000"}, 1),  # that of a group above holds, too
    ({"cpu,cpuacct/c/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/c/cpu.cfs_period_us": "100000\n"}, 4),
    ({"cpu,cpuacct/cpu.cfs_quota_us": "20000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 1),
    ({"cpuset/cpu.cfs_quota_us": "20000\n", "cpuset/cpu.cfs_period_us": "100000\n"}, 4),  # another's
])
def test_quotas_of_control_groups_count(machine, files, count):
    machine("proc/self/cgroup", "5:cpuset:/\n3:cpu,cpuacct:/c\n0::/a/b\n")
    for name, text in files.items():
        machine(f"sys/fs/cgroup/{name}", text)
    assert threads.physical_cores() == count


def test_the_cores_are_taken_and_named(machine):
    torch.set_num_threads(1)
    assert caffe.choose_threads() == "4 threads (physical cores of this process)"
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("processes", "said"), [
    ("1", "4 threads (physical cores of this process)"), ("2", "2 threads (4 physical cores, 2 processes)"),
    ("8", "1 thread (4 physical cores, 8 processes)")])
def test_processes_that_torchrun_started_share_the_cores(machine, monkeypatch, processes, said):
    machine(f"proc/{os.getppid()}/environ", "HOME=/\0PATH=/bin\0")
    for name, value in (("OMP_NUM_THREADS", "1"), ("LOCAL_WORLD_SIZE", processes), ("TORCHELASTIC_RUN_ID", "x")):
        monkeypatch.setenv(name, value)  # the first one is torchrun's own
    assert caffe.choose_threads() == said


def test_what_the_user_says_holds(machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)  # what torch makes of it when it starts
    said = "1 thread (OMP_NUM_THREADS=1)"
    assert caffe.choose_threads() == said
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert caffe.choose_threads() == said  # what torchrun was started with cannot be read
    machine(f"proc/{os.getppid()}/environ", "HOME=/\0OMP_NUM_THREADS=1\0")
    assert caffe.choose_threads() == said and torch.get_num_threads() == 1


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
def test_torchruns_own_number_is_told_from_the_users(tmp_path):
    env = {key: value for key, value in os.environ.items() if key not in NAMES} | {"PYTHONPATH": str(PYTHON)}
    (tmp_path / "program.py").write_text(
        "import os\nfrom caffe._caffe import threads\n"
        "if os.environ['RANK'] == '0': print(os.environ['OMP_NUM_THREADS'], threads._is_torchruns())\n")
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
                           "--monitor_interval", "0.1", tmp_path / "program.py"],
                          env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["1", "True"], done.stderr[-2000:]


def test_tools_log_the_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setattr(threads, "choose", lambda: "3 threads (why)")
    tool_nets.write(tmp_path, 1)
    for options in (["train", "-solver=solver.prototxt"], ["time", "-model=net.prototxt", "-iterations=1"]):
        assert command.main(options) == 0
        assert capsys.readouterr().err.count("] Convolutions with 3 threads (why)\n") == 1, options


@pytest.mark.parametrize("value", ["0", "abc", "-1", "²"])
def test_a_number_that_the_libraries_ignore_is_not_named(machine, monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert caffe.choose_threads() == "4 threads (physical cores of this process)"

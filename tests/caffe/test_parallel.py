"""Several processes that train as one, in the words of BVLC's train.py: against one that takes all passes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe
from caffe._caffe import common
from caffe._caffe.solvers import process_group

ROOT = Path(__file__).resolve().parents[2]
NET = """
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param {{ source: "list.txt" batch_size: {batch} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 8 kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param {{ num_output: 500 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2" {shared}
  inner_product_param {{ num_output: 144 weight_filler {{ type: "xavier" }} }} }}
{more}
layer {{ name: "score" type: "Reshape" bottom: "{last}" top: "score"
  reshape_param {{ shape {{ dim: 0 dim: 4 dim: 6 dim: 6 }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
  loss_param {{ ignore_label: 255 normalize: true }} }}
"""
AGAIN = """
layer { name: "ip3" type: "InnerProduct" bottom: "ip2" top: "ip3" param { name: "w" }
  inner_product_param { num_output: 144 weight_filler { type: "xavier" } } }
layer { name: "ip4" type: "InnerProduct" bottom: "ip3" top: "ip4" param { name: "w" }
  inner_product_param { num_output: 144 weight_filler { type: "xavier" } } }
"""
SOLVER = ('net: "{name}.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 max_iter: 4 '
          'iter_size: {iter_size} random_seed: 3 snapshot_prefix: "{name}" snapshot: {snapshot} '
          'snapshot_after_train: false layer_wise_reduce: {layer_wise}')
# What scripts written for genuine pycaffe do: the parent makes a uid and starts a process for each solver.
SCRIPT = '''
from multiprocessing import Process
import numpy as np
import caffe

def solve(name, out, uid, rank, count, state, options):
    caffe.set_mode_cpu()
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver(f"{name}.solver")
    if state and rank == 0:
        solver.restore(state)
    nccl = caffe.NCCL(solver, uid, **options)
    nccl.bcast()
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter - solver.iter)
    np.savez(f"{out}_{rank}", *[blob.data for layer in solver.net.params.values() for blob in layer])

def together(name, count, out=None, state=None, **options):
    uid = caffe.NCCL.new_uid()
    procs = [Process(target=solve, args=(name, out or name, uid, rank, count, state, options)) for rank in range(count)]
    for proc in procs:
        proc.start()
    for proc in procs:
        proc.join(100)
        assert proc.exitcode == 0, (name, proc.exitcode)
'''


def write(name, *, batch=1, iter_size=1, layer_wise=True, shared=False, snapshot=0):
    net = NET.format(batch=batch, shared='param { name: "v" }' if shared else "", more=AGAIN if shared else "",
                     last="ip4" if shared else "ip2")
    Path(f"{name}.prototxt").write_text(net)
    Path(f"{name}.solver").write_text(SOLVER.format(name=name, iter_size=iter_size, snapshot=snapshot,
                                                    layer_wise=str(layer_wise).lower()))


def params(name):
    """The weights that each rank ended with."""
    found = []
    for path in sorted(Path().glob(f"{name}_[0-9].npz")):
        with np.load(path) as arrays:
            found.append([arrays[key] for key in arrays.files])
    return found


def run_script(text):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "python")))
    return subprocess.run([sys.executable, "-c", SCRIPT + text], capture_output=True, text=True, timeout=150,
                          env={**os.environ, "PYTHONPATH": path, "GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All trainings of this file, in one process tree: importing takes longer than training."""
    folder = tmp_path_factory.mktemp("parallel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rng = np.random.RandomState(0)
        label = rng.randint(0, 4, (8, 1, 6, 6)).astype(np.float32)
        for i in range(8):
            label[i, 0, :i % 4, :] = 255  # images count for more or less
        with h5py.File("data.h5", "w") as file:
            file["data"], file["label"] = rng.normal(size=(8, 3, 6, 6)).astype(np.float32), label
        Path("list.txt").write_text("data.h5\n")
        write("alone", iter_size=2)
        write("layerwise", snapshot=2)
        write("flat", layer_wise=False)
        write("passes_alone", iter_size=4)
        write("passes", iter_size=2)
        write("shared_alone", iter_size=2, layer_wise=False, shared=True)
        write("shared", layer_wise=False, shared=True)
        write("large_batch", batch=2)
        done = run_script('''
for name in ("alone", "passes_alone", "shared_alone", "large_batch"):
    together(name, 1)
for name in ("layerwise", "flat", "passes", "shared"):
    together(name, 2)
together("layerwise", 2, "restored", state="layerwise_iter_2.solverstate")
together("alone", 1, "restored_alone", state="layerwise_iter_2.solverstate")
together("flat", 2, "exact", exact_normalizer=True)
together("flat", 2, "sum", reduce="sum")
''')
        assert done.returncode == 0, done.stderr
    return folder


def assert_near(found, want):
    """Hold the weights of all ranks against others: to 1e-6, those of the ranks bit by bit."""
    for rank in found:
        for got, first, wanted in zip(rank, found[0], want, strict=True):
            np.testing.assert_array_equal(got, first)
            np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("together, alone", [("layerwise", "alone"), ("flat", "alone"), ("passes", "passes_alone"),
                                             ("shared", "shared_alone")])
def test_two_processes_train_as_one_that_takes_the_passes_of_both(trained, together, alone, monkeypatch):
    monkeypatch.chdir(trained)
    assert len(params(together)) == 2
    assert_near(params(together), params(alone)[0])


def test_d39_who_did_not_restore_takes_history_and_iteration_from_the_first(trained, monkeypatch):
    monkeypatch.chdir(trained)
    assert_near(params("restored"), params("restored_alone")[0])


def test_the_first_process_alone_saves(trained):
    assert sorted(path.name for path in trained.glob("*.solverstate")) == [
        "layerwise_iter_2.solverstate", "layerwise_iter_4.solverstate"]


def test_the_exact_normalizer_makes_one_large_batch_of_two(trained, monkeypatch):
    monkeypatch.chdir(trained)
    assert_near(params("exact"), params("large_batch")[0])
    means = zip(params("flat")[0], params("large_batch")[0], strict=True)  # Caffe's mean of means is another
    assert max(np.abs(flat - large).max() for flat, large in means) > 1e-4


def test_sum_takes_twice_the_step_of_mean(trained, monkeypatch):
    monkeypatch.chdir(trained)
    sums = zip(params("sum")[0], params("flat")[0], strict=True)
    assert max(np.abs(a - b).max() for a, b in sums) > 1e-3


# -- what is refused, and who speaks -------------------------------------------------------------


@pytest.fixture
def ranks(monkeypatch):
    def set_ranks(rank, count):
        monkeypatch.setattr(common._state, "solver_rank", rank)
        monkeypatch.setattr(common._state, "solver_count", count)

    return set_ranks


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")
    Path("net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" inner_product_param { num_output: 1 } }\n'
        'layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }\n')
    Path("solver").write_text('net: "net.prototxt" base_lr: 1 lr_policy: "fixed" display: 1 snapshot_prefix: "s"')
    return caffe.SGDSolver("solver")


def test_bad_arguments_are_refused(solver, ranks, monkeypatch):
    uid = caffe.NCCL.new_uid()
    with pytest.raises(caffe.SolverError, match="reduce 'max', want mean or sum"):
        caffe.NCCL(solver, uid, reduce="max")
    ranks(2, 2)
    with pytest.raises(caffe.SolverError, match="solver rank 2 of 2 solvers, want 0 to 1"):
        caffe.NCCL(solver, uid)
    ranks(0, 2)
    for wrong in ("soon", "0", "nan"):
        monkeypatch.setenv("CAFFE_NCCL_TIMEOUT", wrong)
        with pytest.raises(caffe.SolverError, match=f"CAFFE_NCCL_TIMEOUT is '{wrong}'; want seconds, above 0"):
            caffe.NCCL(solver, uid)


def test_processes_that_never_come_are_missed(solver, ranks, monkeypatch):
    ranks(0, 2)
    monkeypatch.setenv("CAFFE_NCCL_TIMEOUT", "0.2")
    with pytest.raises(caffe.SolverError, match="solver rank 0 lost the other processes of 2, or they never came"):
        caffe.NCCL(solver, caffe.NCCL.new_uid())


def test_only_the_first_process_writes_information_and_saves(solver, ranks, monkeypatch, capfd):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    for rank in (0, 1):
        ranks(rank, 2)
        solver.step(1)
        caffe._caffe.log.warning("of all")
        lines = capfd.readouterr().err
        assert "of all" in lines and ("loss = " in lines) == (rank == 0)
    with pytest.raises(caffe.SolverError, match="got solver rank 1; the first"):
        solver.snapshot()
    assert not list(Path().glob("s_iter*"))


def test_a_uid_meets_in_one_place(monkeypatch, tmp_path):
    monkeypatch.setattr(process_group.tempfile, "tempdir", str(tmp_path))
    one, other = caffe.NCCL.new_uid(), caffe.NCCL.new_uid()
    assert process_group.meeting_place(one) == process_group.meeting_place(one) != process_group.meeting_place(other)
    assert Path(process_group.meeting_place(one)).parent == tmp_path


"""HDF5 weights, solver states and data layers, and MemoryData: against genuine Caffe, and what they refuse."""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe
from caffe._caffe.files import hdf5_files
from tests.bvlc import run_bvlc

NET = """
name: "shared"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 5 } shape { dim: 4 dim: 5 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
  inner_product_param { num_output: 5 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "s" type: "Scale" bottom: "a" top: "s" scale_param { axis: 0 num_axes: 0 } }
layer { name: "b" type: "InnerProduct" bottom: "s" top: "b" param { name: "w" }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "label" top: "loss" }
"""
SOLVER = ('net: "net.prototxt" base_lr: 0.1 lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 4 momentum: 0.9 '
          'snapshot_prefix: "snap" snapshot_format: HDF5 snapshot_diff: true random_seed: 12 max_iter: 9 '
          'snapshot_after_train: false')

TRAIN = '''
def write(path, text):
    with open(path, "w") as file:
        file.write(text)

def train(caffe, state=None):
    """Take 3 steps and a snapshot, or restore one, then 4 more; return the losses."""
    write("net.prototxt", NET)
    write("solver.prototxt", SOLVER)
    solver = caffe.SGDSolver("solver.prototxt")
    if state:
        solver.restore(state)
    else:
        solver.step(3)
        solver.snapshot()
    caffe.set_random_seed(5)
    losses = []
    for _ in range(4):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    return np.array(losses)

def tree(path):
    """Describe an HDF5 file: the path and type of every member, with the values of datasets."""
    found = {}
    def note(name, member):
        kind = "group" if isinstance(member, h5py.Group) else str(member.id.get_type().get_class()) + str(
            member.id.get_type().get_size()) + str(member.shape)
        found[name + " " + kind] = np.zeros(0) if kind == "group" else np.asarray(member[()])
    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found
'''
exec(TRAIN)  # defines write, train and tree


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


def theirs(tmp_path, script):
    """Run a script in genuine Caffe, in the test's folder; genuine Caffe's environment may have no h5py."""
    return run_bvlc(f"NET, SOLVER = {NET!r}, {SOLVER!r}\nimport os\nos.chdir({str(tmp_path)!r})\n"
                    + TRAIN.split("def tree")[0] + script)


def test_oracle_snapshots_in_hdf5(tmp_path):
    (tmp_path / "theirs").mkdir()
    want = theirs(tmp_path / "theirs", "out['losses'] = train(caffe)")["losses"]
    got = train(caffe)  # noqa: F821  (TRAIN)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    for name in ("snap_iter_3.caffemodel.h5", "snap_iter_3.solverstate.h5"):
        one, other = tree(name), tree(f"theirs/{name}")  # noqa: F821
        assert list(one) == list(other)
        for key, value in other.items():
            if value.dtype.kind == "S":
                assert value == one[key]
            else:
                np.testing.assert_allclose(one[key], value, rtol=1e-5, atol=1e-7, err_msg=key)
    # theirs -> ours -> theirs
    os.chdir("theirs")
    np.testing.assert_allclose(train(caffe, "snap_iter_3.solverstate.h5"), want, rtol=1e-5)  # noqa: F821
    os.chdir("..")
    again = theirs(tmp_path, "out['losses'] = train(caffe, 'snap_iter_3.solverstate.h5')")["losses"]
    np.testing.assert_allclose(again, want, rtol=1e-5)


def test_weights_round_trip_with_shared_parameters():
    Path("net.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    one, other = (caffe.Net("net.prototxt", caffe.TEST) for _ in range(2))
    one.save_hdf5("w.h5")
    other.copy_from("w.h5")  # told apart from a binary caffemodel by its first bytes
    for name, blobs in one.params.items():
        for blob, copy in zip(blobs, other.params[name], strict=True):
            np.testing.assert_array_equal(copy.data, blob.data)
    with h5py.File("w.h5") as file:
        assert list(file) == ["data"] and list(file["data"]) == ["a", "b", "data", "loss", "s"]
        assert list(file["data/b"]) == ["1"]  # its weight stands with layer a


def test_names_with_slashes_make_groups():
    Path("net.prototxt").write_text(NET.replace('name: "a"', 'name: "in/a"').replace('name: "b"', 'name: "in/b"'))
    caffe.set_random_seed(1)
    one, other = (caffe.Net("net.prototxt", caffe.TEST) for _ in range(2))
    one.save_hdf5("w.h5")
    other.load_hdf5("w.h5")
    np.testing.assert_array_equal(other.params["in/b"][1].data, one.params["in/b"][1].data)
    np.testing.assert_array_equal(other.params["in/a"][0].data, one.params["in/a"][0].data)


def test_faults_of_hdf5_weights():
    Path("net.prototxt").write_text(NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    with pytest.raises(caffe.ProtoError, match="Could not open HDF5 file no.h5"):
        net.load_hdf5("no.h5")
    net.save_hdf5("w.h5")
    whole = Path("w.h5").read_bytes()
    Path("cut.h5").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(caffe.ProtoError, match="Failed to read HDF5 file cut.h5"):
        net.copy_from("cut.h5")
    with h5py.File("other.h5", "w") as file:
        file["data/a/0"] = np.zeros((4, 5), np.float32)
    with pytest.raises(caffe.NetError, match="Cannot copy param 0 weights from layer 'a'; shape mismatch"):
        net.copy_from("other.h5")
    with h5py.File("few.h5", "w") as file:
        file.create_group("data/b")
    with pytest.raises(caffe.NetError, match="Incompatible number of blobs for layer b"):
        net.copy_from("few.h5")
    with h5py.File("none.h5", "w"):
        pass
    with pytest.raises(caffe.ProtoError, match="no group /data"):
        net.copy_from("none.h5")
    Path("twice.prototxt").write_text(NET.replace('name: "s"', 'name: "a"'))
    with pytest.raises(caffe.ProtoError, match="several layers are called a"):
        caffe.Net("twice.prototxt", caffe.TEST).save_hdf5("twice.h5")
    assert not Path("twice.h5").exists()


# -- data layers -------------------------------------------------------------------------------

DATA = """
layer {{ name: "data" type: "HDF5Data" top: "x" top: "y" hdf5_data_param {{ source: "{}" batch_size: {} {} }} }}
layer {{ name: "sum" type: "Power" bottom: "x" top: "sum" }}
layer {{ name: "same" type: "Power" bottom: "y" top: "same" }}
"""


def data_files(rows=(3, 4)):
    rng = np.random.default_rng(0)
    for i, count in enumerate(rows):
        with h5py.File(f"{i}.h5", "w") as file:
            file["x"] = rng.normal(size=(count, 2, 3)).astype(np.float64 if i else np.float32)
            file["y"] = np.arange(count, dtype=np.int32) + 10 * i
    Path("list.txt").write_text("".join(f"{i}.h5\n" for i in range(len(rows))))


def test_oracle_hdf5_data(tmp_path):
    data_files()
    script = """
write("data.prototxt", DATA)
net = caffe.Net("data.prototxt", caffe.TRAIN)
passes = [{k: v.copy() for k, v in net.forward().items()} for _ in range(6)]
for name in ("sum", "same"):
    out[name] = np.stack([p[name] for p in passes])
"""
    text = f"DATA = {DATA.format('list.txt', 2, '')!r}\n{script}"
    want, got = theirs(tmp_path, text), {}
    exec(text, {"caffe": caffe, "np": np, "out": got, "write": write})  # noqa: F821  (TRAIN)
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)


def test_hdf5_data_shuffled_gives_every_row_once():
    data_files()
    Path("data.prototxt").write_text(DATA.format("list.txt", 7, "shuffle: true"))
    net = caffe.Net("data.prototxt", caffe.TRAIN)
    orders = [net.forward()["same"].tolist() for _ in range(3)]
    for order in orders:
        assert sorted(order) == [0, 1, 2, 10, 11, 12, 13]
    assert len({tuple(order) for order in orders}) > 1


def test_hdf5_data_is_dealt_among_solvers():
    data_files((6,))
    Path("data.prototxt").write_text(DATA.format("list.txt", 2, ""))
    caffe.set_solver_count(3)
    caffe.set_solver_rank(1)
    try:
        train, test = (caffe.Net("data.prototxt", phase) for phase in (caffe.TRAIN, caffe.TEST))
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)
    assert train.forward()["same"].tolist() == [1, 4]
    assert test.forward()["same"].tolist() == [0, 1]


@pytest.mark.parametrize(("make", "text", "words"), [
    (lambda: None, DATA.format("no.txt", 1, ""), "Failed to open source file: no.txt"),
    (lambda: Path("list.txt").write_text("\n"), DATA.format("list.txt", 1, ""), "at least 1 HDF5 filename"),
    (lambda: Path("list.txt").write_text("gone.h5"), DATA.format("list.txt", 1, ""), "gone.h5: no such file"),
    (data_files, DATA.format("list.txt", 0, ""), "batch_size must be positive"),
    (data_files, DATA.format("list.txt", 1, "").replace('top: "y"', 'top: "z"').replace('"y"', '"z"'),
     "Failed to find HDF5 dataset z in 0.h5; it has x, y"),
    (data_files, DATA.format("list.txt", 1, "").replace("hdf5_data", "transform_param { mirror: true } hdf5_data"),
     "does not transform data")])
def test_faults_of_hdf5_data(make, text, words):
    make()
    Path("data.prototxt").write_text(text)
    with pytest.raises(caffe.LayerError, match=f"layer 'data' .*{words}"):
        caffe.Net("data.prototxt", caffe.TRAIN)


def two_files(shape):
    """Write a list of two files, the second's rows of this shape."""
    data_files()
    with h5py.File("1.h5", "w") as file:
        file["x"] = np.arange(4 * np.prod(shape), dtype=np.float32).reshape(4, *shape)
        file["y"] = np.arange(4)


@pytest.mark.parametrize("shape", [(2, 4), (2, 2), (7,), ()])
def test_d42_files_with_rows_of_other_counts_are_named(shape):
    two_files(shape)
    Path("data.prototxt").write_text(DATA.format("list.txt", 3, ""))
    net = caffe.Net("data.prototxt", caffe.TRAIN)
    net.forward()
    for _ in range(2):
        with pytest.raises(caffe.LayerError, match=rf"layer 'data' .*dataset x of 1.h5 has rows of shape "
                                                   rf"{re.escape(str(shape))}, that of 0.h5 \(2, 3\)"):
            net.forward()


def test_oracle_rows_of_another_shape_and_as_many_values(tmp_path):
    two_files((3, 2))
    script = """
write("data.prototxt", DATA)
net = caffe.Net("data.prototxt", caffe.TRAIN)
out["x"] = np.stack([net.forward()["sum"].copy() for _ in range(5)])
"""
    text, got = f"DATA = {DATA.format('list.txt', 2, '')!r}\n{script}", {}
    want = theirs(tmp_path, text)
    exec(text, {"caffe": caffe, "np": np, "out": got, "write": write})  # noqa: F821
    np.testing.assert_array_equal(got["x"], want["x"])


OUTPUT = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 2 dim: 3 } shape { dim: 2 } data_filler { value: 2 } data_filler { value: 7 } } }
layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "label" hdf5_output_param { file_name: "out.h5" } }
"""


def test_hdf5_output():
    Path("net.prototxt").write_text(OUTPUT)
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.forward()
    with h5py.File("out.h5") as file:
        np.testing.assert_array_equal(file["data"][()], np.full((2, 3, 1, 1), 2, np.float32))
        np.testing.assert_array_equal(file["label"][()], np.full((2, 1, 1, 1), 7, np.float32))
    with pytest.raises(caffe.LayerError, match="holds one batch already"):
        net.forward()
    Path("net.prototxt").write_text(OUTPUT.replace("out.h5", "no/out.h5"))
    with pytest.raises(caffe.LayerError, match="layer 'out' .*Could not write file no/out.h5"):
        caffe.Net("net.prototxt", caffe.TEST).forward()


MEMORY = """
layer { name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }
layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: 2 } }
layer { name: "q" type: "Power" bottom: "label" top: "q" }
"""


def test_oracle_memory_data(tmp_path):
    script = """
write("net.prototxt", MEMORY)
net = caffe.Net("net.prototxt", caffe.TEST)
data = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
net.set_input_arrays(data, np.arange(4, dtype=np.float32))
passes = [{k: v.copy() for k, v in net.forward().items()} for _ in range(3)]
data[0] = -1
passes.append({k: v.copy() for k, v in net.forward().items()})
passes.append({k: v.copy() for k, v in net.forward().items()})
for name in "pq":
    out[name] = np.stack([p[name] for p in passes])
"""
    text, got = f"MEMORY = {MEMORY!r}\n{script}", {}
    exec(text, {"caffe": caffe, "np": np, "out": got, "write": write})  # noqa: F821  (TRAIN)
    for name, value in theirs(tmp_path, text).items():
        assert got[name].shape == value.shape
        np.testing.assert_array_equal(got[name], value)


@pytest.mark.parametrize(("data", "labels", "words"), [
    (np.zeros((2, 1, 2, 3)), np.zeros(2, np.float32), "data array must be float32"),
    (np.zeros((2, 6), np.float32), np.zeros(2, np.float32), "data array must be 4-d"),
    (np.zeros((2, 1, 2, 6), np.float32)[..., ::2], np.zeros(2, np.float32), "data array must be C contiguous"),
    (np.zeros((2, 1, 3, 3), np.float32), np.zeros(2, np.float32), "data array has wrong height"),
    (np.zeros((3, 1, 2, 3), np.float32), np.zeros(3, np.float32), "multiple of batch size 2"),
    (np.zeros((2, 1, 2, 3), np.float32), np.zeros(4, np.float32), "same first dimension")])
def test_faults_of_memory_data(data, labels, words):
    Path("net.prototxt").write_text(MEMORY)
    net = caffe.Net("net.prototxt", caffe.TEST)
    with pytest.raises(caffe.LayerError, match="needs to be initialized by calling Reset"):
        net.forward()
    with pytest.raises(caffe.NetError, match=words):
        net.set_input_arrays(data, labels)


def test_set_input_arrays_wants_a_memory_data_layer():
    Path("net.prototxt").write_text(NET)
    with pytest.raises(caffe.NetError, match="first layer is a MemoryDataLayer"):
        caffe.Net("net.prototxt", caffe.TEST).set_input_arrays(np.zeros((1, 1, 1, 1), np.float32),
                                                               np.zeros(1, np.float32))


def test_weights_of_thousands_of_layers_are_written(tmp_path):
    # HDF5 reads back its tables of names while it writes
    layers = [(f"a_layer_with_a_long_name_{i}", {0: np.full((3, 3), i, np.float32)}) for i in range(2000)]
    hdf5_files.write_net(str(tmp_path / "many.h5"), layers)
    found = dict(hdf5_files.read_net(str(tmp_path / "many.h5")))
    assert len(found) == 2000 and found["a_layer_with_a_long_name_1999"][0][0, 0] == 1999

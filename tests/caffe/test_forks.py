"""Forks: a child goes on where its parent stood, with equal numbers, in all its threads, and never hangs."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
import torch
from PIL import Image

import caffe
from caffe._caffe import forks, log
from caffe._caffe.data import database
from caffe._caffe.data.database_writer import DatabaseWriter
from caffe._caffe.data.prefetch import Prefetch
from caffe._caffe.rng import RNG
from tests.forked import in_child

LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }'
COMPUTING = """
layer { name: "in" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 dim: 40 dim: 40 } shape { dim: 4 } data_filler { type: "gaussian" std: 1 }
  data_filler { value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 32 kernel_size: 3
  weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 5
  weight_filler { type: "xavier" } } }
""" + LOSS
SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 random_seed: 3 '
SLICED = 'transform_param { crop_size: 4 mirror: true } '


def same(one, other):
    """Compare nested lists and dicts of arrays."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.fixture(autouse=True)
def two_threads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def passes(net, count=1):
    """Return all blobs and gradients of some passes."""
    found = []
    for _ in range(count):
        net.forward()
        net.backward()
        found.append({name: (blob.data.copy(), blob.diff.copy()) for name, blob in net.blobs.items()})
    return found


def trained(solver, steps=3):
    solver.step(steps)
    return [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]


def computing():
    Path("net.prototxt").write_text(COMPUTING)
    Path("solver.prototxt").write_text(SOLVER)
    solver = caffe.SGDSolver("solver.prototxt")
    passes(solver.net)
    torch.rand(600, 600) @ torch.rand(600, 600)  # MKL has started its threads, too
    return solver


def test_a_child_computes_the_parents_numbers_with_as_many_threads():
    solver = computing()
    threads, (got, steps) = in_child(lambda: (torch.get_num_threads(), (passes(solver.net, 2), trained(solver))))
    assert threads == 2
    same(got, passes(solver.net, 2))
    same(steps, trained(solver))


def test_children_of_children():
    solver = computing()
    got = in_child(lambda: [passes(solver.net), in_child(lambda: passes(solver.net)), passes(solver.net)])
    first, second = passes(solver.net), passes(solver.net)
    same(got, [first, second, second])


def test_new_nets_and_seeds_in_a_child():
    computing()

    def build():
        caffe.set_random_seed(7)
        net = caffe.Net("net.prototxt", caffe.TEST)
        return [passes(net), trained(caffe.SGDSolver("solver.prototxt"))]

    same(in_child(build), build())


def test_multiprocessing():
    solver = computing()
    context, out = multiprocessing.get_context("fork"), []
    ours, theirs = context.Pipe()
    process = context.Process(target=lambda: theirs.send(passes(solver.net)))
    process.start()
    assert ours.poll(60), "the child hangs"
    out = ours.recv()
    process.join(60)
    same(out, passes(solver.net))


def test_a_fork_by_another_thread_than_the_one_that_computes():
    solver, found = computing(), []
    thread = threading.Thread(target=lambda: found.append(in_child(lambda: passes(solver.net))))
    thread.start()
    thread.join(90)
    same(found, [passes(solver.net)])


def test_torch_layers_find_gradients_in_a_child():
    @caffe.register_torch_layer("ForkCube")
    def cube(x):
        return x ** 3

    text = COMPUTING.replace('"Dropout" bottom: "conv" top: "conv"', '"ForkCube" bottom: "conv" top: "cube"')
    Path("net.prototxt").write_text(text.replace('"InnerProduct" bottom: "conv"', '"InnerProduct" bottom: "cube"'))
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    passes(net)
    same(in_child(lambda: passes(net)), passes(net))


# -- data layers -----------------------------------------------------------------------------------

PIXELS = np.random.RandomState(5).randint(0, 256, (7, 3, 8, 9)).astype(np.uint8)


def write_lmdb():
    with lmdb.open("db", map_size=1 << 22) as env, env.begin(write=True) as txn:
        for i, image in enumerate(PIXELS):
            txn.put(b"%08d" % i, caffe.io.array_to_datum(image, i).SerializeToString())


def write_images():
    for i, image in enumerate(PIXELS):
        Image.fromarray(image.transpose(1, 2, 0)).save(f"{i}.png")
    Path("list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(7)))
    window = "".join(f"# {i}\n{i}.png\n3\n8\n9\n2\n1 0.9 0 0 5 5\n2 0.1 2 1 7 6\n" for i in range(7))
    Path("windows.txt").write_text(window)


def write_hdf5():
    for part, rows in enumerate((slice(0, 4), slice(4, 7))):
        with h5py.File(f"{part}.h5", "w") as file:
            file["data"], file["label"] = PIXELS[rows].astype(np.float32), np.arange(7.)[rows]
    Path("files.txt").write_text("0.h5\n1.h5\n")


def leveldb():
    pytest.importorskip("plyvel", reason="LevelDB needs the package plyvel")
    with DatabaseWriter("leveldb", "leveldb") as writer:
        for i, image in enumerate(PIXELS):
            writer.put(b"%08d" % i, caffe.io.array_to_datum(image, i).SerializeToString())


READERS = {
    "Data": (write_lmdb, SLICED + 'data_param { source: "db" batch_size: 2 backend: LMDB prefetch: 2 }'),
    "ImageData": (write_images, SLICED + 'image_data_param { source: "list.txt" batch_size: 2 shuffle: true }'),
    "WindowData": (write_images, SLICED + 'window_data_param { source: "windows.txt" batch_size: 2 }'),
    "HDF5Data": (write_hdf5, 'hdf5_data_param { source: "files.txt" batch_size: 2 shuffle: true }'),
    "LevelDB": (leveldb, SLICED + 'data_param { source: "leveldb" batch_size: 2 prefetch: 2 }'),
}


def reading(kind):
    """Return a net that read two batches."""
    prepare, settings = READERS[kind]
    prepare()
    kind = kind.replace("LevelDB", "Data")
    Path("net.prototxt").write_text(f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {settings} }}')
    caffe.set_random_seed(3)
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    read(net, 2)
    return net


def read(net, count):
    found = []
    for _ in range(count):
        net.forward()
        found.append([blob.data.copy() for blob in net.blobs.values()])
    return found


@pytest.mark.parametrize("kind", READERS)
def test_readers_go_on_in_parent_and_child(kind):
    net = reading(kind)

    def work():
        first = read(net, 5)
        return first, in_child(lambda: read(net, 9)), read(net, 9)

    child, grandchild, after = in_child(work)
    same(child, read(net, 5))  # the parent's own reader stands where it stood
    same([grandchild, after], [read(net, 9)] * 2)


@pytest.mark.parametrize("kind", READERS)
def test_new_readers_in_a_child(kind):
    net = reading(kind)

    def build():
        caffe.set_random_seed(3)
        return read(caffe.Net("net.prototxt", caffe.TRAIN), 9)

    assert len(read(net, 1)) == 1
    same(in_child(build), build())


def test_a_child_leaves_the_parents_place_in_the_lmdb():
    net = reading("Data")
    environment = next(iter(database._environments.values()))
    before, = (line for line in environment.readers().splitlines() if str(os.getpid()) in line)
    in_child(lambda: read(net, 5) and None)
    assert before in environment.readers().splitlines()


def test_a_child_that_goes_elsewhere_opens_the_same_database():
    net = reading("Data")
    want = in_child(lambda: read(net, 9))

    def elsewhere():
        os.mkdir("x")
        os.chdir("x")
        return read(net, 9)

    same(in_child(elsewhere), want)


def slow_batches(pause):
    """Return a function that makes 0, 1, 2 ... in two steps."""
    made = {"before": 0, "after": 0}

    def make():
        made["before"] += 1
        time.sleep(pause)
        made["after"] += 1
        assert made["before"] == made["after"]
        return made["after"] - 1

    return make


def test_a_fork_cuts_no_batch_in_two():
    ahead = Prefetch(slow_batches(0.05), 2)
    for i in range(4):
        time.sleep(0.02)
        assert in_child(lambda: [ahead.get() for _ in range(6)]) == list(range(i, i + 6))
        assert ahead.get() == i


def test_a_batch_that_takes_too_long_is_an_error_in_the_child(monkeypatch):
    monkeypatch.setattr(forks, "WAIT", 0.05)
    ahead = Prefetch(slow_batches(1), 1)
    time.sleep(0.1)

    def text():
        with pytest.raises(caffe.CaffeError) as found:
            ahead.get()
        with pytest.raises(caffe.CaffeError):
            ahead.get()
        return str(found.value)

    assert "build the net in the child" in in_child(text)
    assert [ahead.get() for _ in range(2)] == [0, 1]


def test_a_failed_reader_fails_in_the_child_too():
    def fail():
        raise caffe.CaffeError("torn file")

    ahead = Prefetch(fail, 1)
    time.sleep(0.1)

    def text():
        with pytest.raises(caffe.CaffeError) as found:
            ahead.get()
        return str(found.value)

    assert in_child(text) == text() == "torn file"


def test_a_net_that_came_by_a_fork_can_go():
    nets = [reading("Data")]
    assert in_child(lambda: nets.clear()) is None
    assert len(read(nets[0], 1)) == 1


def test_streams_of_random_numbers_are_whole_in_threads_and_forks():
    stream, found = RNG(3), []
    threads = [threading.Thread(target=lambda: found.extend(stream.uniform(0, 1, 50000) for _ in range(20)))
               for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert in_child(lambda: len(stream.uniform(0, 1, 5000))) == 5000
    want = RNG(3).uniform(0, 1, 40 * 50000).reshape(40, -1)
    got = np.array(found)
    np.testing.assert_array_equal(got[np.argsort(got[:, 0])], want[np.argsort(want[:, 0])])


# -- locks and old libraries -----------------------------------------------------------------------

def test_the_log_of_a_child_waits_for_no_thread_of_the_parent(monkeypatch, capfd):
    monkeypatch.setenv("GLOG_log_dir", ".")
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setattr(log._State, "initialized", True)
    monkeypatch.setattr(log._State, "files", {})
    monkeypatch.setattr(forks, "WAIT", 0.1)
    taken, leave = threading.Event(), threading.Event()

    def holder():
        with log.lock:
            taken.set()
            leave.wait(60)

    thread = threading.Thread(target=holder)
    thread.start()
    taken.wait(60)
    in_child(lambda: caffe.log("from the child"))
    leave.set()
    thread.join()
    assert "from the child" in Path("caffe.INFO").read_text()


def test_an_old_openmp_leaves_the_child_one_thread_and_says_so(monkeypatch, capfd):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    solver = computing()
    monkeypatch.setattr(forks, "_libgomps", lambda: {"libm.so.6"})  # a library without the call
    threads, got = in_child(lambda: (torch.get_num_threads(), passes(solver.net)))
    assert threads == 1
    assert capfd.readouterr().err.count("this process computes with 1 thread") == 1
    for name, pair in passes(solver.net)[0].items():
        np.testing.assert_allclose(got[0][name], pair, rtol=1e-4, atol=1e-6)


def test_a_libgomp_is_found():
    if not torch.backends.openmp.is_available() or "libgomp" not in Path("/proc/self/maps").read_text():
        pytest.skip("this torch computes without libgomp")
    assert forks._libgomps() and all(forks._give_back(library) for library in forks._libgomps())

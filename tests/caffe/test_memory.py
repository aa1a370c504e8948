"""Nets that would not fit are refused with their estimate before anything is allocated; weights are read in place."""

from __future__ import annotations

import os
import tracemalloc

import pytest

import caffe
from caffe._caffe import memory
from caffe._caffe.errors import OutOfMemory


def net_of(tmp_path, text, phase=caffe.TEST):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), phase)


def dummy(*dims):
    lengths = " ".join(f"dim: {dim}" for dim in dims)
    return f'layer {{ name: "in" type: "Input" top: "in" input_param {{ shape {{ {lengths} }} }} }}\n'


CONV = """layer { name: "conv" type: "Convolution" bottom: "in" top: "conv"
  convolution_param { num_output: %d kernel_size: 1 } }"""


def test_the_sum_of_a_nets_blobs_is_held_against_the_limit(tmp_path, monkeypatch):
    text = dummy(1, 2, 500, 500) + CONV % 8  # 2 MB and 8 MB; gradients of the top 8 MB more
    monkeypatch.setenv("CAFFE_MEMORY_LIMIT", "9")
    with pytest.raises(OutOfMemory, match=r"take 10 MB up to layer 'conv'; available are 9.44 MB. Largest: top 'conv' "
                                          r"of layer 'conv' \(1, 8, 500, 500\) 8 MB, top 'in' .* 2 MB.*Take smaller"):
        net_of(tmp_path, text)
    loss = text + 'layer { name: "loss" type: "Reduction" bottom: "conv" top: "loss" loss_weight: 1 }'
    monkeypatch.setenv("CAFFE_MEMORY_LIMIT", "12")
    net_of(tmp_path, text)
    with pytest.raises(OutOfMemory, match=r"take 18 MB with their gradients.*gradient of 'conv'"):
        net_of(tmp_path, loss)


def test_nothing_is_allocated_before_the_error(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1 << 40)
    monkeypatch.setattr("caffe._caffe.syncedmem.torch.zeros", lambda *a, **k: pytest.fail("memory was allocated"))
    with pytest.raises(OutOfMemory, match="3e\\+03 GB"):
        net_of(tmp_path, dummy(1, 3, 500000, 500000))


@pytest.mark.parametrize("limit", [None, "50"])
def test_one_blob_larger_than_the_machine_is_refused(tmp_path, monkeypatch, limit):
    monkeypatch.delenv("CAFFE_MEMORY_LIMIT", raising=False)
    if limit:
        monkeypatch.setenv("CAFFE_MEMORY_LIMIT", limit)
    with pytest.raises(OutOfMemory, match=r"layer 'conv' \(Convolution\): a blob of shape \(2147483647, 100, 1, 1\)"):
        net_of(tmp_path, dummy(1, 100, 2, 2) + CONV % 2147483647)
    net = net_of(tmp_path, dummy(1, 3, 4, 4))
    with pytest.raises(MemoryError, match="a blob of shape .* takes 1.38e\\+10 GB; available are"):
        net.blobs["in"].reshape(1, 3, 1 << 30, 1 << 30)
    assert net.blobs["in"].shape == (1, 3, 4, 4)
    net.forward()


def test_shared_memory_counts_once(tmp_path, monkeypatch):
    relus = "".join(f'layer {{ name: "r{i}" type: "ReLU" bottom: "in" top: "in" }}\n' for i in range(20))
    monkeypatch.setenv("CAFFE_MEMORY_LIMIT", "3")
    net_of(tmp_path, dummy(1, 2, 500, 500) + relus)


def test_the_limit_must_be_a_number(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFE_MEMORY_LIMIT", "8G")
    with pytest.raises(caffe.CaffeError, match="CAFFE_MEMORY_LIMIT: got '8G', want a number of MB"):
        net_of(tmp_path, dummy(1))
    monkeypatch.setenv("CAFFE_MEMORY_LIMIT", "0")
    assert memory.available() is None


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    for name, text in (("memory.max", "3000000"), ("memory.current", "2500000"),
                       ("memory.stat", "anon 5\ninactive_file 1000000\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.delenv("CAFFE_MEMORY_LIMIT", raising=False)
    assert memory.available() == 1500000
    (tmp_path / "memory.max").write_text("max")
    assert memory.available() is None or memory.available() > 3000000


def test_weights_are_read_without_a_second_copy(tmp_path):
    net = net_of(tmp_path, dummy(1, 500, 1, 1) + CONV % 2000)
    path = str(tmp_path / "net.caffemodel")
    net.save(path)
    assert os.path.getsize(path) > 4_000_000
    net.copy_from(path)
    tracemalloc.start()
    net.copy_from(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 400_000

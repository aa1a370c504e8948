"""Uploads on a stream of their own, tried on a card that is made up: streams run only when somebody waits for them.

What a test lets run last is what a slow card would run last, so an upload that is not ordered by an event, or a host
buffer that is given away too early, shows in the numbers.
"""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common, uploads
from caffe._caffe.blob import Blob
from tests.caffe.test_gpu import needs_cuda

SIZE = uploads.LARGE


class Stream:
    """Work in a queue; nothing runs before `run`."""

    def __init__(self):
        self.queue = deque()

    def record_event(self):
        event = Event(self)
        self.queue.append(event)
        return event

    def wait_event(self, event):
        self.queue.append(event.synchronize)

    def run(self, until=None):
        while self.queue and not (until and until.done):
            self.queue.popleft()()


class Event:
    def __init__(self, stream):
        self.stream, self.done = stream, False

    def __call__(self):
        self.done = True

    def synchronize(self):
        if not self.done:
            self.stream.run(self)


class Card:
    def __init__(self, monkeypatch):
        self.compute = self.current = Stream()
        self.copies, self.kept = Stream(), []
        self.device = torch.device("cpu")
        copy = torch.Tensor.copy_

        def later(to, values, non_blocking=False):
            if not non_blocking:
                return copy(to, values)
            self.current.queue.append(lambda: copy(to, values))
            return to

        @contextlib.contextmanager
        def on(stream):
            before, self.current = self.current, stream
            yield
            self.current = before

        monkeypatch.setattr(common._state, "device", self.device)
        monkeypatch.setattr(uploads, "on_card", lambda device: device is self.device or device == self.device)
        monkeypatch.setattr(uploads, "_copy_stream", lambda device: self.copies)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self.current)
        monkeypatch.setattr(torch.cuda, "stream", on)
        monkeypatch.setattr(torch.Tensor, "copy_", later)
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: self.kept.append((tensor, stream)))
        empty, zeros = torch.empty, torch.zeros
        self.pinned = []

        def without_pins(make):
            def made(*args, pin_memory=False, **kwargs):
                tensor = make(*args, **kwargs)
                if pin_memory:
                    self.pinned.append(tensor)
                return tensor
            return made

        monkeypatch.setattr(torch, "empty", without_pins(empty))
        monkeypatch.setattr(torch, "zeros", without_pins(zeros))

    def reads(self, blob):
        """Give the compute stream a kernel that reads the blob; return where its result will be."""
        values, found = blob.read_data(), []
        self.compute.queue.append(lambda: found.append(values.clone()))
        return found


@pytest.fixture
def card(monkeypatch):
    return Card(monkeypatch)


def test_an_image_travels_while_the_step_before_computes(card):
    blob, found, busy = Blob(SIZE), [], []
    card.compute.queue.append(lambda: busy.append("the step before"))
    for step in (1, 2, 3):
        blob.data[...] = step  # waits for the copy of the image before, and for nothing else
        assert busy == [], "the compute stream was waited for"
        found.append(card.reads(blob))
    card.compute.run()
    assert [one[0].unique().tolist() for one in found] == [[1], [2], [3]]


def test_the_device_buffer_keeps_its_address(card):
    blob = Blob(SIZE)
    places = set()
    for step in (1, 2):
        blob.data[...] = step
        places.add(blob.read_data().data_ptr())
    assert len(places) == 1


def test_the_fresh_tensor_is_kept_for_the_compute_stream(card):
    blob = Blob(SIZE)
    blob.data[...] = 1
    values = blob.read_data()
    (fresh, stream), = card.kept
    assert stream is card.compute and fresh.data_ptr() != values.data_ptr()
    assert [len(card.copies.queue), len(card.compute.queue)] == [2, 2], "copy, event; wait, copy"


def test_a_small_blob_goes_with_what_computes(card):
    blob = Blob(SIZE - 1)
    blob.data[...] = 1
    found = card.reads(blob)
    assert not card.copies.queue and not card.kept
    blob.data[...] = 2
    card.compute.run()
    assert found[0].unique().tolist() == [1]


def test_a_view_stays_live(card):
    blob = Blob(SIZE)
    view = blob.data
    view[...] = 1
    card.reads(blob)
    assert np.shares_memory(blob.data, view)
    view[...] = 2
    found = card.reads(blob)
    card.compute.run()
    assert found[0].unique().tolist() == [2]
    assert any(blob._data._host is one for one in card.pinned)


@pytest.mark.parametrize("size", [5, SIZE])
def test_a_batch_read_ahead_is_loaded_without_waiting(card, size):
    blob, busy = Blob(size), []
    card.compute.queue.append(lambda: busy.append("the step before"))
    found = []
    for step in (1, 2):
        values = uploads.room((size,))
        assert values is card.pinned[-1]
        values.fill_(step)
        blob.load_data(values)
        assert busy == [] or size < SIZE  # a small one waits for the upload before it
        found.append(card.reads(blob))
        assert torch.equal(blob.host_data(), values), "the host knows them without a read"
    card.compute.run()
    card.copies.run()
    assert [one[0].unique().tolist() for one in found] == [[1], [2]]
    blob.edit_data().add_(1)
    assert blob.host_data() is None


def test_loading_on_the_cpu_is_writing():
    blob = Blob(2, 3)
    view = blob.data
    blob.load_data(torch.arange(6.0).view(2, 3))
    assert (view == [[0, 1, 2], [3, 4, 5]]).all()


def test_loading_less_than_the_memory_holds(monkeypatch):
    monkeypatch.setattr(common._state, "device", torch.device("cpu"))  # the stand-in device
    blob = Blob(SIZE + 4)
    for size in (SIZE + 1, 3):
        blob.reshape(size)
        blob.load_data(torch.full((size,), float(size)))
        assert (blob.read_data() == size).all() and blob.read_data().shape == (size,)
        assert (blob.data == size).all()


IMAGES = """layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "list.txt" batch_size: 1 } }
layer { name: "sum" type: "Reduction" bottom: "data" top: "sum" }"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    sizes = [(90, 70), (3, 5), (80, 100)]
    for i, (w, h) in enumerate(sizes):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (h, w, 3), np.uint8)).save(f"{i}.png")
    Path("list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(3)))
    Path("net.prototxt").write_text(IMAGES)


def rounds():
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    found = []
    for _ in range(7):
        net.forward()
        found.append((float(net.blobs["sum"].data), float(net.blobs["label"].data[0]), net.blobs["data"].data.copy()))
    return found


@pytest.mark.parametrize("device", ["stand-in", pytest.param("cuda", marks=needs_cuda)])
def test_images_read_ahead_are_the_cpus(images, monkeypatch, device):
    want = rounds()
    monkeypatch.setattr(common._state, "device", torch.device("cuda", 0) if device == "cuda" else torch.device("cpu"))
    got = rounds()
    for (a, i, x), (b, j, y) in zip(want, got, strict=True):
        assert i == j and np.array_equal(x, y)
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_host_buffer_overwritten_at_once_on_a_real_card(monkeypatch):
    monkeypatch.setattr(common._state, "device", torch.device("cuda", 0))
    blob, found = Blob(1 << 22), []
    work = torch.rand(4096, 4096, device="cuda")
    for step in range(8):
        for _ in range(20):
            work = work @ work / 4096
        blob.data[...] = step
        found.append(blob.read_data().sum())
    assert [float(one) for one in found] == [step * (1 << 22) for step in range(8)]

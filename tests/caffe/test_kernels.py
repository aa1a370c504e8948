"""Kernels as a whole: who may know of them, that they can be left out, and the memory they share."""

from __future__ import annotations

import ast
import graphlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common
from caffe._caffe.kernels import choose, scratch
from caffe._caffe.kernels.scratch import Scratch, in_type

ENGINE = Path(caffe.__file__).parent / "_caffe"
LAST = torch.channels_last


# -- who imports whom --------------------------------------------------------------------------


def modules() -> dict[str, set[str]]:
    """Return each module of the engine, by its path, with those that it imports as it is loaded."""
    paths = {path.relative_to(ENGINE).as_posix().removesuffix(".py"): path for path in ENGINE.rglob("*.py")}
    return {name: imported(name, path, set(paths)) for name, path in paths.items()}


def imported(name: str, path: Path, known: set[str]) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            above = name.split("/")[:-node.level]
            base = "/".join([*above, *(node.module.split(".") if node.module else [])])
            found |= {base} | {f"{base}/{alias.name}".removeprefix("/") for alias in node.names}
    return found & known - {name}


def test_the_core_and_all_but_layers_and_plans_know_no_kernel():
    users = {name.split("/")[0] for name, below in modules().items()
             if any(other.startswith("kernels/") for other in below)}
    assert users == {"kernels", "layers", "plan"}


def test_kernels_know_nothing_of_layers_nets_and_plans():
    below = {other.split("/")[0] for name, others in modules().items() if name.startswith("kernels/")
             for other in others}
    assert below == {"kernels", "common"}


def test_no_kernels_import_each_other_in_a_circle():
    graphlib.TopologicalSorter({name: others for name, others in modules().items()
                                if name.startswith("kernels/")}).prepare()  # raises CycleError, which names them


# -- without kernels ---------------------------------------------------------------------------

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 40 dim: 44 } } }
layer { name: "tiled" type: "Convolution" bottom: "data" top: "tiled"
  convolution_param { num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "pixel" type: "Convolution" bottom: "tiled" top: "pixel"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "up" type: "Deconvolution" bottom: "pixel" top: "up"
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 weight_filler { type: "bilinear" } } }
"""


def passes(path) -> list[np.ndarray]:
    caffe.set_random_seed(4)
    net = caffe.Net(str(path), caffe.TRAIN)
    net.params["up"][0].data[...] *= np.eye(4)[:, :, None, None]
    net.blobs["data"].data[...] = np.random.default_rng(5).normal(size=net.blobs["data"].shape)
    net.forward()
    net.blobs["up"].diff[...] = np.random.default_rng(6).normal(size=net.blobs["up"].shape)
    net.backward()
    blobs = [blob.diff for blobs in net.params.values() for blob in blobs]
    return [np.copy(array) for array in (net.blobs["up"].data, net.blobs["data"].diff, *blobs)]


def test_without_kernels_layers_use_torch_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "net.prototxt"
    path.write_text("force_backward: true\n" + NET)
    with_kernels = passes(path)
    common.set_kernels(False)
    try:
        monkeypatch.setattr(choose, "PLANAR", ())
        monkeypatch.setattr(choose, "TRANSPOSED", ())
        monkeypatch.setattr(choose, "TORCH", None)
        without = passes(path)
    finally:
        common.set_kernels(True)
    for one, other in zip(with_kernels, without, strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()
    assert any(not np.array_equal(one, other) for one, other in zip(with_kernels, without, strict=True)), "two ways"


# -- memory ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_buffers():
    scratch.forget()
    yield
    scratch.forget()


def test_tensors_of_a_call_never_overlap():
    with Scratch() as one, Scratch() as other:
        tensors = [who.take((size,), torch.float32) for size in (7, 100, 7, 3) for who in (one, other)]
        for i, tensor in enumerate(tensors):
            tensor.fill_(i)
        assert all(bool((tensor == i).all()) for i, tensor in enumerate(tensors))


def test_the_next_call_has_the_memory_of_the_last():
    with Scratch() as call:
        large, small = call.take((1000,), torch.float32), call.take((10,), torch.float32)
    with Scratch() as call:
        assert call.take((5, 2), torch.float32).data_ptr() == small.data_ptr(), "the smallest that is large enough"
        assert call.take((8, 9), torch.bfloat16).data_ptr() == large.data_ptr()
        assert call.take((10,), torch.float32).data_ptr() not in (small.data_ptr(), large.data_ptr())


def test_what_is_given_back_is_taken_again_within_a_call():
    with Scratch() as call:
        first = call.take((4, 100), torch.float32)
        call.give_back(first.t())
        assert call.take((400,), torch.float32).data_ptr() == first.data_ptr()


def test_a_buffer_that_is_too_small_is_replaced():
    for size in range(1, 2000, 100):
        with Scratch() as call:
            call.take((size,), torch.float32)
    assert len(scratch._buffers()) == 1


def test_an_error_gives_memory_back():
    with pytest.raises(ValueError), Scratch() as call:
        call.take((3,), torch.float32)
        raise ValueError
    assert len(scratch._buffers()) == 1


def test_threads_have_buffers_of_their_own():
    with Scratch() as call:
        mine = call.take((100,), torch.float32)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: Scratch().take((100,), torch.float32)).result()
    assert mine.data_ptr() != other.data_ptr()


def test_casts_stand_as_their_source():
    tensor = torch.randn(2, 3, 4, 5)
    with Scratch() as call:
        for given in (tensor, tensor.contiguous(memory_format=LAST), tensor[:, :, 1:]):
            cast = call.cast(given, torch.bfloat16)
            assert torch.equal(cast, given.to(torch.bfloat16)) and cast.stride() == given.to(torch.bfloat16).stride()
        assert call.cast(tensor, torch.float32) is tensor


def test_a_result_in_another_type_is_copied():
    out = torch.zeros(2, 3, 4, 5).contiguous(memory_format=LAST)
    with in_type(out, torch.bfloat16) as y:
        assert y.dtype == torch.bfloat16 and y.stride() == out.stride()
        y.fill_(1.5)
    assert bool((out == 1.5).all())
    with in_type(out, torch.float32) as y:
        assert y is out
    with in_type(out[:, 1:], torch.bfloat16) as y:
        y.fill_(2.5)
    assert bool((out[:, 1:] == 2.5).all()) and bool((out[:, 0] == 1.5).all()), "some channels"


def test_no_values_at_all():
    with Scratch() as call:
        assert call.take((0, 3), torch.float32).shape == (0, 3) and call.take((2, 0), torch.float32).shape == (2, 0)

"""When cuDNN's kernels are tried: the decision, and the switches that torch is left with."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from caffe._caffe import common
from caffe._caffe.kernels import autotune, torch_kernel
from caffe._caffe.kernels.autotune import RUNS, SIZES, SIZES_AT_ONCE, Search
from tests.caffe.gradient_checker import backward, forward, make_layer

cudnn = torch.backends.cudnn


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(autotune, "_search", Search())
    monkeypatch.delenv("CAFFE_CUDNN_SEARCH", raising=False)
    yield
    assert not cudnn.benchmark and not cudnn.deterministic, "torch's switches were left changed"


# -- the decision ------------------------------------------------------------------------------


def test_a_size_that_repeats_is_tried_in_its_third_run_and_stays():
    search = Search()
    assert [search.tries("conv", (9, 9), False) for _ in range(5)] == [False] * (RUNS - 1) + [True] * 3


def test_sizes_that_come_once_never_pay():
    search = Search()
    assert not any(search.tries("conv", (n, n), False) for n in range(100))


def test_sizes_that_take_turns_are_tried_each():
    search = Search()
    found = [search.tries("conv", size, False) for _ in range(4) for size in ((5, 3), (3, 5))]
    assert found == [False] * 4 + [True] * 4


def test_a_layer_is_tried_in_so_many_sizes_and_no_more():
    search = Search()
    for n in range(100):
        for _ in range(RUNS):
            search.tries("conv", (n,), False)
    assert [search.tries("conv", (n,), False) for n in (0, SIZES - 1, SIZES, 99)] == [True, True, False, False]
    assert not search.tries("other", (0,), False), "each layer counts for itself"


def test_dilated_kernels_are_tried_at_once_in_few_sizes():
    search = Search()
    assert [search.tries("conv", (n,), True) for n in range(6)] == [n < SIZES_AT_ONCE for n in range(6)]
    assert search.tries("conv", (0,), True)


def test_nothing_is_begun_while_a_graph_is_recorded():
    search = Search()
    assert not any(search.tries("conv", (1,), False, may_begin=False) for _ in range(9))
    assert search.tries("conv", (1,), False)
    assert search.tries("conv", (1,), False, may_begin=False), "what is chosen is used"


def test_counts_are_bounded(monkeypatch):
    monkeypatch.setattr(autotune, "MOST_COUNTED", 10)
    search = Search()
    for n in range(100):
        search.tries("conv", (n,), False)
        search.tries(n, (0,), False)
    assert len(search._runs) <= 11 and len(search._tried) <= 11


# -- torch's switches --------------------------------------------------------------------------


@pytest.fixture
def seen(monkeypatch):
    """Let layers go the way of a card; return (benchmark, deterministic) at each kernel."""
    switches = []

    def noting(kernel):
        def run(*args):
            switches.append((cudnn.benchmark, cudnn.deterministic))
            return kernel(*args)
        return run

    kernel = torch.convolution
    monkeypatch.setattr(torch, "convolution", noting(kernel))
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda self: True), raising=False)
    monkeypatch.setattr(common._state, "device", torch.device("cpu"))
    return switches


CONVOLUTION = 'type: "Convolution" convolution_param { num_output: 2 kernel_size: 3 %s }'


def test_a_layer_asks_for_what_was_decided(seen):
    layer, bottom, top = make_layer(CONVOLUTION % "", [np.ones((1, 2, 6, 6))])
    for _ in range(RUNS + 1):
        forward(layer, bottom, top)
    assert seen == [(False, True)] * (RUNS - 1) + [(True, False)] * 2


def test_layers_alike_are_no_repetition(seen):
    alike = [make_layer(CONVOLUTION % "", [np.ones((1, 2, 6, 6))]) for _ in range(RUNS + 1)]
    for layer, bottom, top in alike:
        forward(layer, bottom, top)
    assert seen == [(False, True)] * (RUNS + 1)


def test_dilated_kernels_are_never_deterministic(seen):
    layer, bottom, top = make_layer(CONVOLUTION % "dilation: 2", [np.ones((1, 2, 6, 6))])
    for size in (6, 7, 8, 9, 10, 6):
        bottom[0].reshape(1, 2, size, size)
        forward(layer, bottom, top)
    assert seen == [(True, False)] * 4 + [(False, False), (True, False)]


def test_gradients_are_chosen_apart(seen, monkeypatch):
    layer, bottom, top = make_layer(CONVOLUTION % "", [np.ones((1, 2, 6, 6))])
    keys, tries = [], autotune._search.tries
    monkeypatch.setattr(autotune._search, "tries", lambda layer, *a, **k: keys.append(layer) or tries(layer, *a, **k))
    forward(layer, bottom, top)
    backward(layer, top, [True], bottom)
    assert len(set(keys)) == 3, "forward, of the weight, of the bottom"


@pytest.mark.parametrize("switch", ["benchmark", "deterministic", "environment"])
def test_who_has_chosen_is_left_alone(seen, monkeypatch, switch):
    want = (switch == "benchmark", switch == "deterministic")
    if switch == "environment":
        monkeypatch.setenv("CAFFE_CUDNN_SEARCH", "0")
    else:
        monkeypatch.setattr(cudnn, switch, True)
    layer, bottom, top = make_layer(CONVOLUTION % "", [np.ones((1, 2, 6, 6))])
    for _ in range(RUNS + 1):
        forward(layer, bottom, top)
    assert seen == [want] * (RUNS + 1)
    monkeypatch.undo()


def test_on_the_cpu_nothing_is_counted():
    layer, bottom, top = make_layer(CONVOLUTION % "", [np.ones((1, 2, 6, 6))])
    forward(layer, bottom, top)
    backward(layer, top, [True], bottom)
    assert not autotune._search._runs and torch_kernel.autotune is autotune


def test_a_kernel_that_fails_leaves_the_switches(monkeypatch):
    with pytest.raises(RuntimeError):
        autotune.convolution(None, torch.ones(1, 2, 3, 3), torch.ones(1, 1, 9, 9), None, [1, 1], [0, 0], [1, 1],
                             False, [0, 0], 1)


@pytest.mark.parametrize(("ours", "theirs", "want"), [(None, None, "1024"), ("64", None, "64"), ("0", None, None),
                                                      ("64", "7", "7")])
def test_the_bound_goes_to_cudnn_unless_that_has_one(monkeypatch, ours, theirs, want):
    for name, value in (("CAFFE_CUDNN_WORKSPACE_MB", ours), ("CUDNN_CONV_WSCAP_DBG", theirs)):
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    autotune.bound_workspace()
    assert os.environ.get("CUDNN_CONV_WSCAP_DBG") == want
    monkeypatch.delenv("CUDNN_CONV_WSCAP_DBG", raising=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_card_the_numbers_stay_through_the_search(monkeypatch):
    monkeypatch.setattr(common._state, "device", torch.device("cuda", 0))
    x = np.random.default_rng(0).normal(size=(1, 64, 40, 50))
    layer, bottom, top = make_layer('type: "Convolution" convolution_param { num_output: 64 kernel_size: 3 pad: 1 '
                                    'weight_filler { type: "gaussian" std: 0.1 } }', [x])
    found = []
    for _ in range(RUNS + 2):
        forward(layer, bottom, top)
        layer.blobs[0].write_diff().zero_()
        backward(layer, top, [True], bottom, [x])
        found.append([top[0].data.copy(), bottom[0].diff.copy(), layer.blobs[0].diff.copy()])
    for one in found[1:]:
        for a, b in zip(one, found[0], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())

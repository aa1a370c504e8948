"""Plans as CUDA graphs: what is recorded, when it is dropped, and the same results.

Without CUDA a fake takes the place of the lines that touch torch.cuda: what it records computes nothing until it is
replayed, and then writes the same tensors again.
"""

from __future__ import annotations

import contextlib
import types

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common
from caffe._caffe.plan import graphs
from tests.caffe.test_plan import INPUT, TRUNK, alike, image

WARM, KEPT = graphs.WARM, graphs.KEPT


class Fake:
    """Records by keeping the work; the first replay fills what the recording gave."""

    def __init__(self):
        self.recorded, self.replayed, self.fails = 0, 0, None

    def serves(self, device):
        return True

    def record(self, work, device):
        if self.fails is not None:
            raise self.fails
        work()
        found, doubt = work()
        self.recorded += 1
        for tensor in (*found.values(), doubt):
            tensor.fill_(float("nan"))

        def replay():
            self.replayed += 1
            again, sum_again = work()
            for number, tensor in found.items():
                tensor.copy_(again[number])
            doubt.copy_(sum_again)

        return replay, (found, doubt)


@pytest.fixture
def fake(monkeypatch):
    recorder = Fake()
    monkeypatch.setattr(graphs, "recorder", recorder)
    monkeypatch.setattr(common._state, "device", torch.device("cpu"))
    monkeypatch.setattr(common._state, "graphs", True)
    return recorder


@pytest.fixture
def net(tmp_path):
    caffe.set_random_seed(3)
    (tmp_path / "net.prototxt").write_text(INPUT + TRUNK.replace("PAD", "30").replace("OFFSET", "10"))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    yield net
    common.set_plans(True)


def graphs_of(net):
    return next(iter(net._plan._compiled._programs.values()))


def score(net, height=40, width=50, seed=0):
    """The scores of an image, after they were found equal to those of the pass by layers; nobody looks inside."""
    image(net, height, width, seed)
    net.forward()
    got = net.blobs["score"].data.copy()
    common.set_plans(False)
    net.forward_from_to(0, len(net.layers) - 1)
    want = net.blobs["score"].data.copy()
    common.set_plans(True)
    assert alike(got, want)
    return got


def test_a_shape_that_repeats_is_recorded_once_and_replayed(net, fake):
    seen = [score(net, seed=seed) for seed in range(WARM + 4)]
    assert (fake.recorded, fake.replayed) == (1, 4)
    assert not alike(seen[-1], seen[-2])


def test_graphs_are_off_unless_asked_for(net, fake, monkeypatch):
    assert not common._State.graphs
    caffe.set_graphs(False)
    for _ in range(WARM + 2):
        score(net)
    assert fake.recorded == 0
    caffe.set_graphs(True)
    monkeypatch.setattr(common._state, "device", common.CPU)
    monkeypatch.setattr(graphs, "recorder", graphs.Recorder())
    for _ in range(WARM + 2):
        score(net)  # the CPU has none


def test_shapes_in_turn_are_not_recorded_but_replayed_once_they_are(net, fake):
    for seed in range(2 * WARM + 2):
        score(net, 40 + seed % 2, 50, seed)
    assert fake.recorded == 0
    for height in (40, 41):
        for _ in range(WARM + 1):
            score(net, height)
    assert (fake.recorded, fake.replayed) == (2, 2)
    for seed in range(6):
        score(net, 40 + seed % 2, 50, seed)
    assert (fake.recorded, fake.replayed) == (2, 8)


def test_a_bounded_number_of_graphs_is_kept(net, fake):
    for height in range(40, 40 + KEPT + 2):
        for _ in range(WARM + 1):
            score(net, height)
    assert fake.recorded == KEPT + 2 and len(graphs_of(net)._graphs) == KEPT
    score(net, 40 + KEPT + 1)
    assert fake.recorded == KEPT + 2, "the last ones are there"
    for _ in range(WARM + 1):
        score(net, 40)
    assert fake.recorded == KEPT + 3, "the first ones are not"


@pytest.mark.parametrize("layer", ["c1", "c3", "s4", "u5"])
def test_weights_that_change_drop_the_graph(net, fake, layer):
    before = [score(net) for _ in range(WARM + 2)][-1]
    net.params[layer][0].data[...] *= 1.5
    kept = graphs_of(net)
    after = score(net)
    assert fake.recorded == 1 and not kept._graphs and not alike(before, after)
    for _ in range(WARM):
        score(net)
    assert fake.recorded == 2


def test_another_precision_drops_the_graph(net, fake, monkeypatch):
    monkeypatch.setattr(common, "has_bf16", lambda: True)
    exact = [score(net) for _ in range(WARM + 1)][-1]
    try:
        caffe.set_precision("bf16")
        for seed in range(WARM + 1):
            image(net, 40, 50)
            net.forward()
            assert fake.recorded == (1 if seed < WARM else 2)
        assert 1e-4 < np.abs(net.blobs["score"].data - exact).max() / np.abs(exact).max() < 3e-2
    finally:
        caffe.set_precision("fp32")


def test_other_values_are_wanted_by_another_graph(net, fake):
    for _ in range(WARM + 1):
        score(net)
    for seed in range(WARM + 3):
        image(net, 40, 50, seed)
        net.forward()
        assert np.isfinite(net.blobs["p2"].data).all()  # wanted from the second pass on
    assert fake.recorded == 2
    common.set_plans(False)
    got = net.blobs["p2"].data.copy()
    net.forward()
    assert alike(net.blobs["p2"].data, got)


def test_nan_goes_caffes_way_after_a_replay(net, fake):
    for _ in range(WARM + 1):
        score(net)
    image(net, 40, 50)
    net.blobs["data"].data[0, 0, 5, 5] = np.nan
    net.forward()
    got = net.blobs["score"].data.copy()
    common.set_plans(False)
    net.forward()
    assert fake.replayed == 2 and np.isnan(got).any()
    np.testing.assert_array_equal(net.blobs["score"].data, got)


def test_what_cannot_be_recorded_runs_on_without_and_says_so_once(net, fake, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    fake.fails = RuntimeError("operation not permitted when stream is capturing")
    for _ in range(WARM + 3):
        score(net)
    assert not common.graphs() and fake.replayed == 0
    said = [line for line in capfd.readouterr().err.splitlines() if "CUDA graphs" in line]
    assert len(said) == 1 and "continue without: operation not permitted" in said[0]


def test_what_is_computed_beforehand_while_recording_is_not_kept(net, fake, monkeypatch):
    for _ in range(WARM):
        score(net)
    graphs_of(net)._program._frames.popitem()
    score(net)
    assert not common.graphs()
    score(net)


class Card:
    """torch.cuda, as far as a recording needs it; what is done to it is written down."""

    def __init__(self, fails_at=""):
        self.log, self.fails_at, self.current = [], fails_at, "main"
        self.default_generators = [self]
        self.state = "own"

    def graphsafe_get_state(self):
        return self.state

    def clone_state(self):
        return "copy"

    def graphsafe_set_state(self, state):
        self.state = state

    def current_stream(self, device):
        return types.SimpleNamespace(name=self.current, wait_stream=lambda other: self.log.append("main waits"))

    def Stream(self, device):  # noqa: N802 - as torch.cuda's
        return types.SimpleNamespace(name="side", wait_stream=lambda other: self.log.append("side waits"))

    def set_stream(self, stream):
        self.current = stream.name

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream.name
        yield
        self.current = before

    def device(self, device):
        return contextlib.nullcontext()

    def graph_pool_handle(self):
        self.log.append("new pool")
        return "pool"

    def CUDAGraph(self):  # noqa: N802 - as torch.cuda's
        class Graph:
            def replay(this):  # noqa: N805
                self.log.append("replay")

            def pool(this):  # noqa: N805
                return "pool"

        return Graph()

    @contextlib.contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert (pool, capture_error_mode, self.state) == ("pool", "thread_local", "copy")
        self.current = stream.name
        self.log.append("begin")
        yield
        self.log.append("end")
        if self.fails_at == "end":
            raise RuntimeError("invalid capture")  # as torch's, which then leaves the stream current
        self.current = "main"


def test_a_recording_warms_up_beside_and_shares_memory(monkeypatch):
    card, device = Card(), torch.device("cuda", 0)
    monkeypatch.setattr(torch, "cuda", card)
    recorder = graphs.Recorder()
    replay, made = recorder.record(lambda: card.log.append(f"work on {card.current}") or "made", device)
    assert made == "made" and (card.current, card.state) == ("main", "own")
    assert card.log == ["side waits", "work on side", "main waits", "new pool", "begin", "work on side", "end"]
    replay()
    assert card.log.pop() == "replay"
    recorder.record(lambda: None, device)
    assert card.log.count("new pool") == 1
    del replay
    recorder.record(lambda: None, device)
    assert card.log.count("new pool") == 2, "a pool ends with its last graph"


@pytest.mark.parametrize("fails_at", ["work", "end"])
def test_a_recording_that_fails_leaves_streams_and_random_numbers_as_they_were(monkeypatch, fails_at):
    card, ended, times = Card(fails_at), [], []
    monkeypatch.setattr(torch, "cuda", card)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *what: ended.append(what))

    def work():
        times.append(0)
        if fails_at == "work" and len(times) == 2:
            raise RuntimeError("a read on the host")

    with pytest.raises(RuntimeError):
        graphs.Recorder().record(work, torch.device("cuda", 0))
    assert (card.current, card.state, ended) == ("main", "own", [(0, "pool")])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_card(net, monkeypatch, capfd):
    monkeypatch.setattr(common._state, "device", torch.device("cuda", 0))
    monkeypatch.setattr(common._state, "graphs", True)
    kept = graphs_of(net)
    for height in (40, 41, 40):
        for seed in range(WARM + 3):
            score(net, height, seed=seed)
    assert len(kept._graphs) == 2
    for seed in range(6):
        score(net, 40 + seed % 2, 50, seed)
    net.params["c3"][0].data[...] *= 1.5
    for seed in range(WARM + 3):
        score(net, seed=seed)
    assert len(kept._graphs) == 1 and common.graphs()
    assert torch.zeros(8, device="cuda:0").bernoulli_(0.5).shape == (8,), "random numbers go on"

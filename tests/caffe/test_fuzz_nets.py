"""Random nets and scenarios: 500 by plan and layer by layer, 250 in genuine Caffe; whether the fuzzer finds faults."""

from __future__ import annotations

import os

import numpy as np
import pytest

import caffe
from caffe._caffe.plan.plan import Plan
from caffe._caffe.plan.pointwise import Sum
from tests.fuzz_nets import scenario
from tests.fuzz_nets.campaign import Finding, report, run_seed
from tests.fuzz_nets.compare import Difference, compare, distance
from tests.fuzz_nets.generate_steps import TEST, TRAIN, make_case
from tests.fuzz_nets.genuine import Genuine
from tests.fuzz_nets.judge import LocalJudge, run_ours
from tests.fuzz_nets.remote import RemoteJudge
from tests.fuzz_nets.shapes import Misfit, infer, shapes_of
from tests.fuzz_nets.spec import Case, Layer, split_names

TYPES = set("""AbsVal Accuracy ArgMax BatchNorm Bias BNLL Clip Concat Convolution Crop Deconvolution Dropout DummyData
ELU Eltwise Embed EuclideanLoss Exp Flatten HingeLoss InnerProduct Input Log LRN MultinomialLogisticLoss MVN Pooling
Power PReLU Reduction ReLU Reshape Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split SPP
Swish TanH Threshold Tile""".split())
STEPS = {name[3:] for name in vars(scenario.Script) if name.startswith("do_")}
with_genuine = pytest.mark.skipif(not Genuine.found, reason="genuine Caffe is not installed (.venv-bvlc; make setup)")


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "3")


@pytest.fixture(scope="module")
def judge():
    with RemoteJudge() as judge:
        yield judge


def net(*layers, steps=(("forward",),), seed=1):
    """A case: (name, type, bottoms, tops, own parameters) each, behind an input of (1, 2, 3, 4)."""
    first = Layer("data", "Input", (), ("data",)).with_own(shape={"dim": [1, 2, 3, 4]})
    others = [Layer(name, kind, tuple(bottoms), tuple(tops)).with_own(**own)
              for name, kind, bottoms, tops, own in layers]
    return Case(seed, TEST, (first, *others), steps)


SUM = net(("c", "Convolution", ["data"], ["c"], {"num_output": 2, "kernel_size": 1}),
          ("s", "Eltwise", ["c", "data"], ["s"], {}))


# -- the nets ----------------------------------------------------------------------------------


def test_500_nets_by_plan_are_as_layer_by_layer(judge):
    findings = [finding for seed in range(500) for finding in run_seed(seed, judge, ("plan",))]
    assert not findings, "\n".join(report(findings))


@with_genuine
def test_nets_are_as_in_genuine_caffe(judge):
    findings = [finding for seed in range(250) for finding in run_seed(seed, judge, ("genuine", "train"))]
    assert not findings, "\n".join(report(findings))


# -- what they are -----------------------------------------------------------------------------


def test_a_seed_is_always_the_same_case():
    assert make_case(7).message() == make_case(7).message() != make_case(8).message()
    assert make_case(7, TRAIN).text() != make_case(7, TEST).text()


def test_every_layer_type_and_every_step_occurs():
    cases = [make_case(seed, phase) for seed in range(1500) for phase in (TEST, TRAIN)]
    assert {layer.type for case in cases for layer in case.layers} == TYPES
    assert {step[0] for case in cases for step in case.steps} == STEPS


def test_most_passes_are_plans(monkeypatch, quiet):
    passes, ran = Plan.run, []
    monkeypatch.setattr(Plan, "run", lambda self: ran.append(self) or passes(self))
    for seed in range(100):
        run_ours(make_case(seed), True)
    assert len(set(ran)) > 60


def test_shapes_are_those_of_the_engine(tmp_path, quiet):
    for seed in range(150):
        case = make_case(seed)
        path = tmp_path / "net.prototxt"
        path.write_text(case.text())
        built = caffe.Net(str(path), caffe.TEST)
        blobs, params = shapes_of(case.layers)
        assert set(built.blobs) == {*blobs, *split_names(case.layers)}, case.text()
        assert {name: built.blobs[name].shape for name in blobs} == blobs, case.text()
        assert {name: [blob.shape for blob in found] for name, found in built.params.items()} == {
            name: found for name, found in params.items() if found}, case.text()


@pytest.mark.parametrize(("kind", "own", "bottom", "top"), [
    ("Convolution", {"num_output": 4, "kernel_size": 3, "pad": 1, "stride": 2}, (1, 2, 5, 6), (1, 4, 3, 3)),
    ("Deconvolution", {"num_output": 2, "kernel_size": 4, "stride": 2}, (1, 2, 3, 5), (1, 2, 8, 12)),
    ("Pooling", {"kernel_size": 3, "stride": 2}, (1, 2, 6, 7), (1, 2, 3, 3)),
    ("Pooling", {"kernel_size": 3, "stride": 2, "pad": 1}, (1, 2, 6, 7), (1, 2, 4, 4)),
    ("Pooling", {"kernel_size": 3, "stride": 2, "round_mode": "FLOOR"}, (1, 2, 6, 7), (1, 2, 2, 3)),
])
def test_shapes_literal(kind, own, bottom, top):
    assert infer(Layer("x", kind, ("a",), ("b",)).with_own(**own), [bottom])[0][0] == top


def test_a_window_larger_than_its_bottom_does_not_fit():
    with pytest.raises(Misfit):
        infer(Layer("x", "Convolution", ("a",), ("b",)).with_own(num_output=1, kernel_size=5), [(1, 1, 4, 4)])


# -- whether faults are found ------------------------------------------------------------------


def test_a_wrong_step_of_plans_is_found_and_shrunk(monkeypatch, quiet):
    bind = Sum.bind

    def wrong(self, place):
        run = bind(self, place)
        return lambda *bottoms: tuple(top * 1.001 for top in run(*bottoms))

    monkeypatch.setattr(Sum, "bind", wrong)
    with LocalJudge() as judge:
        found = next(found for seed in range(300) for found in run_seed(seed, judge, ("plan",)))
    kinds = [layer.type for layer in found.case.layers if layer.type != "Input"]
    assert "Eltwise" in kinds
    assert len(kinds) <= 3
    assert len(found.case.steps) <= 2
    assert found.difference.size == pytest.approx(0.001, rel=0.02)
    assert f"seed {found.seed}" in str(found)


@with_genuine
def test_a_wrong_layer_is_found_beside_genuine_caffe(monkeypatch, quiet):
    from caffe._caffe.layers.tanh import TanHLayer

    def forward(self, bottom, top):
        top[0].write_data().copy_(bottom[0].read_data().clamp(-1, 1))

    monkeypatch.setattr(TanHLayer, "forward", forward)
    case = net(("t", "TanH", ["data"], ["t"], {}), ("r", "ReLU", ["t"], ["t"], {}))
    with LocalJudge() as judge:
        assert judge("genuine", case).label == "0 forward: t"
        assert judge("plan", case) is None


def test_a_plan_that_fails_is_a_difference(monkeypatch, quiet):
    def wrong(self, place):
        raise RuntimeError("planted")

    monkeypatch.setattr(Sum, "bind", wrong)
    with LocalJudge() as judge:
        difference = judge("plan", SUM)
    assert difference.label == "what is raised"
    assert "planted" in difference.got
    assert difference.want == "None"


def test_what_one_side_raises_is_a_difference():
    assert compare(run(1.0, raised="an error"), run(1.0), still).got == "an error"
    assert compare(run(1.0), run(raised="an error"), still).want == "an error"


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_a_process_that_dies_is_a_difference_and_begun_anew():
    case = net(("r", "ReLU", ["data"], ["r"], {}))
    with RemoteJudge() as judge:
        assert judge("plan", Deadly()).got == "the process died of exit code 3"
        assert judge("plan", case) is None


# -- what counts as a difference ---------------------------------------------------------------


def run(*arrays, raised=None):
    return [(f"0 look: {i}", np.asarray(array, np.float32)) for i, array in enumerate(arrays)], raised


def still(noise):
    return run([1.0, 2.0])


def test_rounding_is_no_difference_but_more_is():
    assert compare(run([1.0, 2.00001]), run([1.0, 2.0]), still) is None
    difference = compare(run([1.0, 2.0001]), run([1.0, 2.0]), still)
    assert (difference.label, difference.size) == ("0 look: 0", pytest.approx(5e-5, rel=0.01))


def test_what_noise_moves_as_far_is_no_difference():
    def tie(noise):
        return run([0.0, 1.0] if noise % 2 else [1.0, 0.0])

    assert compare(run([0.0, 1.0]), run([1.0, 0.0]), tie) is None
    assert compare(run([0.0, 11.0]), run([1.0, 0.0]), tie).label == "0 look: 0"


def test_what_is_never_twice_the_same_is_a_difference():
    def garbage(noise):
        return run([float(noise), 3.0])

    assert compare(run([5.0, 3.0]), run([7.0, 3.0]), garbage).label == "0 look: 0, layer by layer once more"


@pytest.mark.parametrize(("a", "b", "apart"), [
    ([1.0, np.nan], [1.5, np.nan], 0.5), ([1.0, np.nan], [np.nan, 1.0], np.inf), ([np.inf], [np.inf], 0),
    ([np.inf], [-np.inf], np.inf), ([1.0], [[1.0]], np.inf), ([], [], 0)])
def test_distance(a, b, apart):
    assert distance(np.array(a, np.float32), np.array(b, np.float32)) == apart


def test_noise_breaks_ties_of_equal_values(quiet):
    case = net(("p", "Power", ["data"], ["p"], {"scale": 0, "shift": 2}), ("a", "ArgMax", ["p"], ["a"], {}))
    plain = run_ours(case, False)[0][0][1]
    assert plain.item() == 23  # of equals the last
    assert any(run_ours(case, False, noise)[0][0][1].item() != 23 for noise in range(1, 6))


def test_like_findings_are_reported_together():
    one, other = (net(("r", "ReLU", ["data"], [top], {}), steps=steps) for top, steps in (
        ("data", (("forward",), ("look_all",))), ("r", (("forward",),))))
    findings = [Finding(seed, "plan", case, Difference("0 forward: r", "1", "2")) for seed, case in (
        (1, one), (2, one), (3, other))]
    texts = report(findings)
    assert [text.splitlines()[1] for text in texts] == ["== 1 x plan: ReLU (seeds 3)", "== 2 x plan: ReLU* (seeds 1 2)"]

"""Building nets: against genuine Caffe (recorded, and live where it is installed), by hand, and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe._caffe.files import caffemodel
from tests.bvlc import run_bvlc
from tests.caffe.net_cases import CASES, CHAIN, DATA, LOSS, TWO, dummy, full, layer
from tests.reference import record_net

BOUND = 2e-5  # relative; single precision, another order of sums


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOG_minloglevel", "2")
        patch.chdir(tmp_path_factory.mktemp("nets"))
        out = {}
        exec(record_net.SCRIPT, {"np": np, "caffe": caffe, "inp": record_net.questions(), "out": out})
    return out


@pytest.fixture(scope="module")
def recorded():
    return record_net.load()


def check(case, ours, theirs):
    facts, want_facts = (json.loads(str(answers["facts"]))[case] for answers in (ours, theirs))
    assert facts.pop("loss") == pytest.approx(want_facts.pop("loss"), rel=BOUND)
    assert facts == want_facts
    got, want = ({k.removeprefix(f"{case}/"): v for k, v in answers.items() if k.startswith(f"{case}/")}
                 for answers in (ours, theirs))
    assert list(got) == list(want), "stale record? python -m tests.reference.record_net"
    for name, value in want.items():
        assert got[name].shape == value.shape, name
        np.testing.assert_allclose(got[name], value, rtol=0, atol=BOUND * max(np.abs(value).max(initial=0), 1e-30),
                                   err_msg=f"{case} {name}")


@pytest.mark.parametrize("case", sorted(CASES))
def test_oracle_recorded(case, ours, recorded):
    check(case, ours, recorded)


def test_oracle_live(ours):
    theirs = run_bvlc(record_net.SCRIPT, **record_net.questions())
    for case in CASES:
        check(case, ours, theirs)


def test_every_case_tells_something(recorded):
    # e.g. "deploy": nothing got a gradient; "loss": all parameters did
    assert (recorded["deploy/param_diff_2_0"] == 7).all() and (recorded["loss/param_diff_2_0"] != 7).any()
    assert (recorded["no_way_down/param_diff_2_0"] == 7).all() and (recorded["no_way_down/param_diff_3_0"] != 7).any()
    assert (recorded["loss/diff_data"] == 7).all() and (recorded["loss_forced/diff_data"] != 7).any()


# -- by hand -----------------------------------------------------------------------------------


def net(text, phase=caffe.TRAIN, **more):
    Path("net.prototxt").write_text(text)
    return caffe.Net("net.prototxt", phase, **more)


@pytest.mark.parametrize(("first", "second", "lr", "decay"), [
    ("", "", 1, 1), ("lr_mult: 2", "", 2, 1), ("", "lr_mult: 2", 2, 1),
    ("lr_mult: 2", "lr_mult: 2 decay_mult: 0", 2, 0),
    ("decay_mult: 3", "lr_mult: 1", 1, 3)])
def test_multipliers_of_shared_parameters(first, second, lr, decay):
    n = net(DATA + TWO % (first, second))
    assert len(n.learnable_params) == 2
    assert (n.params_lr, n.params_weight_decay) == ([lr, 1], [decay, 1])


def test_shared_parameters_are_one_memory():
    n = net(DATA + TWO % ("", ""))
    for i in (0, 1):
        a, b = n.params["a"][i], n.params["b"][i]
        assert np.shares_memory(a.data, b.data) and np.shares_memory(a.diff, b.diff)
    n.params["a"][0].data[...] = 5
    assert (n.params["b"][0].data == 5).all()


def test_split_tops_are_the_bottom_before_any_forward():
    n = net(DATA + full("a", "data") + full("c", "data") + layer("f", "Flatten", ["target"], ["f"]))
    assert list(n.blobs)[:3] == ["data", "data_data_0_split_0", "data_data_0_split_1"]
    n.blobs["data"].data[...] = 4
    assert (n.blobs["data_data_0_split_1"].data == 4).all()
    n.blobs["target"].data[...] = 6
    assert (n.blobs["f"].data == 6).all()


GIVEN = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "y" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 }
  blobs { shape { dim: 2 dim: 3 } data: [1, 2, 3, 4, 5, %s] } blobs { num: 1 channels: 1 height: 1 width: 2
  data: 7 data: 8 } }"""


def test_weights_in_a_prototxt_are_used(tmp_path):
    (tmp_path / "net.prototxt").write_text(GIVEN % 6)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["x"].data[...] = 1
    assert net.forward()["y"].tolist() == [[13, 23]]
    assert net.params["y"][1].shape == (1, 1, 1, 2)
    net.save(str(tmp_path / "net.caffemodel"))
    assert [len(layer.blobs) for layer in caffemodel.read_layers(tmp_path / "net.caffemodel")] == [0, 2]
    (tmp_path / "net.prototxt").write_text(GIVEN % "6, 7")
    with pytest.raises(caffe.LayerError, match=r"layer 'y'.*shape \(2, 3\) has 7 numbers"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def test_a_saved_net_keeps_its_splits_and_builds_again():
    n = net(DATA + full("a", "data") + full("c", "data"))
    n.save("n.caffemodel")
    again = net(DATA + full("a", "data") + full("c", "data"))
    again.copy_from("n.caffemodel")
    assert (again.params["c"][0].data == n.params["c"][0].data).all()


@pytest.mark.parametrize(("text", "words"), [
    (layer("a", "ReLU", ["x"], ["a"]),
     "Unknown bottom blob 'x' (layer 'a', bottom index 0); blobs made before it: none"),
    (DATA + layer("a", "ReLU", ["data"], ["target"]),
     "Top blob 'target' produced by multiple sources. (layer 'a', top index 0"),
    (DATA + layer("a", "Reluu", ["data"], ["a"]), "Unknown layer type: Reluu (layer 'a'; did you mean ReLU?"),
    (DATA + layer("a", "ReLU", ["data", "target"], ["a"]), "layer 'a' (ReLU): takes 1 bottom blob(s), got 2"),
    (DATA + layer("a", "ReLU", ["data"], ["a", "b"]), "layer 'a' (ReLU): takes 1 top blob(s), got 2"),
    (DATA + full("a", "data", more="param { } param { } param { }"), "Too many params specified for layer a: got 3"),
    (DATA + full("a", "data", more="propagate_down: true propagate_down: true"),
     "layer 'a': propagate_down param must be specified either 0 or bottom_size times; got 2 for 1"),
    (DATA + full("a", "data", more="loss_weight: 1 loss_weight: 1"), "loss_weight must be unspecified or given once"),
    (DATA + layer("a", "ReLU", ["data"], ["a"], "include { phase: TRAIN } exclude { phase: TEST }"),
     "layer 'a': Specify either include rules or exclude rules; not both"),
    (DATA + TWO % ("lr_mult: 1", "lr_mult: 2"), "Shared param 'w' has mismatched lr_mult: 1 and 2"),
    (DATA + TWO % ("decay_mult: 0", "decay_mult: 2"), "Shared param 'w' has mismatched decay_mult: 0 and 2"),
    (DATA + full("a", "data", more='param { name: "w" }') + full("b", "a", n=2, more='param { name: "w" }'),
     "Cannot share param 'w' owned by layer 'a' with layer 'b'; shape mismatch. Owner layer param shape is (3, 3)"),
    (DATA + full("a", "data", more='param { name: "w" }') +
     full("b", "a", n=2, more='param { name: "w" share_mode: PERMISSIVE }'), "with layer 'b'; count mismatch."),
    (DATA + full("a", "data").replace('"xavier"', '"xaver"'),
     "layer 'a' (InnerProduct): Unknown filler name: xaver; known are bilinear"),
    (DATA + full("a", "data").replace('"xavier"', '"gaussian" std: 0'), "layer 'a' (InnerProduct): filler 'gaussian'"),
    ('input: "x" input: "y" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4', "2 input fields but 4 input_dim"),
    (DATA + CHAIN + LOSS.replace("EuclideanLoss", "CtcLoss"), "Unknown layer type: CtcLoss"),
])
def test_refused(text, words):
    with pytest.raises(caffe.CaffeError) as caught:
        net(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(("stages", "level"), [(["deploy"], 0), (("val",), 1), (None, 0)])
def test_stages_and_level_may_come_in_any_form(stages, level):
    text = CASES["all_in_one_deploy"][0]
    phase = caffe.TRAIN if stages is None else caffe.TEST
    n = net(text, phase, stages=stages, level=level)
    assert {"deploy": "prob", "val": "acc"}.get((stages or [""])[0], "loss") in n.outputs


# -- log lines ---------------------------------------------------------------------------------

TALK = ('name: "talk" debug_info: true\n' + dummy("no", 1, more="include { phase: TRAIN }") +
        dummy("low", 1, more="include { min_level: 4 }") + dummy("high", 1, more="include { max_level: -1 }") +
        dummy("stage", 1, more='include { stage: "b" }') + dummy("not", 1, more='exclude { not_stage: "b" }') +
        DATA + full("a", "data", more='param { name: "w" }') + layer("r", "ReLU", ["a"], ["a"]) +
        full("b", "a", more='param { name: "w" } loss_weight: 0.25') + full("c", "a") + layer("s", "Silence", ["c"]) +
        layer("loss", "EuclideanLoss", ["b", "target"]))
TALKING = """
import caffe
caffe.set_random_seed(3)
n = caffe.Net("net.prototxt", caffe.TEST)
n.forward(); n.backward(); n.backward(start="b"); n.forward(end="c")
"""
# genuine Caffe reads the level of its log when it starts
ASK = """
import os, subprocess, sys
open("net.prototxt", "w").write(str(inp["text"]))
done = subprocess.run([sys.executable, "-c", str(inp["program"])], env=dict(os.environ, GLOG_minloglevel="0"),
                      stderr=subprocess.PIPE, universal_newlines=True, check=True)
out["log"] = np.array(done.stderr)
"""


def lines(text):
    """Bodies of log lines, numbers apart."""
    found = []
    for line in text.splitlines():
        body = re.sub(r"^[IWEF]\d+ [\d:.]+ +\d+ ([a-z_]+\.[a-z]+):\d+\]", r"\1", line).rstrip()
        if not body or body.startswith("WARNING: Logging before"):
            continue
        values = re.findall(r"(?<=data: |diff: )[-+.\de]+$", body)
        found.append((re.sub(r"(?<=data: |diff: )[-+.\de]+$", "N", body), [float(v) for v in values]))
    return found


def test_oracle_log_lines_of_construction_and_debug_info(monkeypatch, capfd):
    theirs = str(run_bvlc(ASK, text=np.array(TALK), program=np.array(TALKING))["log"])
    Path("net.prototxt").write_text(TALK)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    exec(TALKING, {})
    got, want = lines(capfd.readouterr().err), lines(theirs)
    assert [body for body, _ in got] == [body for body, _ in want]
    assert len(want) > 200 and any("[Backward]" in body for body, _ in want)
    for (body, values), (_, wanted) in zip(got, want, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=BOUND, err_msg=body)

"""The solver's loop, tests, files and lines, against genuine Caffe and by hand."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe._caffe.errors import CaffeError, NetError, SolverError
from tests.bvlc import run_bvlc
from tests.reference import record_solver

TINY = record_solver.TINY
FIXED = 'base_lr: 0.1 lr_policy: "fixed" '


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)


def solver(text, net=TINY, head='net: "net.prototxt" '):
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(head + text)
    return caffe.SGDSolver("solver.prototxt")


# -- lines -------------------------------------------------------------------------------------


def lines_of(text):
    """Lines without glog's prefix; numbers apart, because their last digit may differ."""
    found = []
    for line in text.splitlines():
        matched = re.match(r"[IWEF]\d+ [\d:.]+ +\d+ (\S+?):\d+\] (.*)", line)
        assert matched, line
        body = re.sub(r"\([-+.\w]+ iter/s, [-+.\w]+s/", "(R iter/s, Ss/", matched[2])
        numbers = re.findall(r"(?<![\w#])\d[-+.\w]*", body)
        found.append((matched[1], re.sub(r"(?<![\w#])\d[-+.\w]*", "N", body), [float(n.rstrip(",.")) for n in numbers]))
    return found


def test_oracle_log_lines_of_a_whole_solve(monkeypatch, capfd):
    s = solver(record_solver.TINY_SOLVER, head="")
    monkeypatch.setenv("GLOG_minloglevel", "0")
    s.solve()
    got = lines_of(capfd.readouterr().err)
    with np.load(record_solver.RECORDED) as loaded:
        log = str(loaded["log"])
    want = lines_of(log[log.index("\nI", 1) + 1 if not log.startswith("I") else 0:])
    want = want[[body for _, body, _ in want].index("Solving tiny"):]
    assert [line[:2] for line in got] == [line[:2] for line in want]
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours[2], theirs[2], rtol=2e-5, err_msg=ours[1])


def test_log_prefix_has_the_four_digit_date(monkeypatch, capfd):
    s = solver(FIXED + "display: 1")
    monkeypatch.setenv("GLOG_minloglevel", "0")
    s.step(1)
    lines = capfd.readouterr().err.splitlines()
    assert re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ solver\.cpp:239\] Iteration 0 \(", lines[0])


# -- snapshots ---------------------------------------------------------------------------------

HELPERS = "\n".join(inspect.getsource(f) for f in (record_solver.resume, record_solver.snapshot))
HELPERS = f"FCN, CASES = {record_solver.FCN!r}, {record_solver.CASES!r}\n{HELPERS}\n"


def test_oracle_snapshots_go_both_ways():
    record_solver.snapshot(caffe, 5)
    ours = {name: np.frombuffer(Path(name).read_bytes(), np.uint8)
            for name in ("snap_iter_5.caffemodel", "snap_iter_5.solverstate")}
    theirs = run_bvlc(HELPERS + """
for name in inp:
    open(name, "wb").write(inp[name].tobytes())
out.update(resume(caffe, np, "snap_iter_5.solverstate", 5))
snapshot(caffe, 6)
for name in ("snap_iter_6.caffemodel", "snap_iter_6.solverstate"):
    out[name] = np.frombuffer(open(name, "rb").read(), np.uint8)
out.update({"from6_" + k: v for k, v in resume(caffe, np, "snap_iter_6.solverstate", 5).items()})
""", **ours)
    got = record_solver.resume(caffe, np, "snap_iter_5.solverstate", 5)
    for name in ("snap_iter_6.caffemodel", "snap_iter_6.solverstate"):
        Path(name).write_bytes(theirs[name].tobytes())
    got.update({"from6_" + k: v for k, v in record_solver.resume(caffe, np, "snap_iter_6.solverstate", 5).items()})
    assert got["iter"] == theirs["iter"] == 10
    assert got["from6_iter"] == theirs["from6_iter"] == 11
    for key in ("losses", "weights", "from6_losses", "from6_weights"):
        assert np.abs(got[key] - theirs[key]).max() <= 1e-5 * np.abs(theirs[key]).max(), key

    # restored and saved again at once, both files are genuine Caffe's byte for byte
    s = solver('snapshot_prefix: "snap" ' + record_solver.CASES["fcn"][1], net=record_solver.FCN)
    s.restore("snap_iter_6.solverstate")
    os.remove("snap_iter_6.solverstate")
    s.snapshot()
    for name in ("snap_iter_6.caffemodel", "snap_iter_6.solverstate"):
        assert Path(name).read_bytes() == theirs[name].tobytes(), name


def test_restored_training_is_the_one_that_went_on():
    text = ('base_lr: 0.1 lr_policy: "multistep" gamma: 0.5 stepvalue: 1 stepvalue: 2 momentum: 0.9 '
            'random_seed: 1 snapshot: 3 snapshot_prefix: "a"')
    s = solver(text)
    s.step(3)
    caffe.set_random_seed(9)
    s.step(4)
    again = solver(text)
    again.restore("a_iter_3.solverstate")
    assert again.iter == 3
    caffe.set_random_seed(9)
    again.step(4)
    np.testing.assert_array_equal(again.net.params["ip"][0].data, s.net.params["ip"][0].data)
    assert again.lr == s.lr == np.float32(0.025)


def test_snapshot_prefix_that_is_a_folder_takes_the_solvers_name():
    os.mkdir("snaps")
    s = solver(FIXED + 'snapshot_prefix: "snaps"')
    s.snapshot()
    assert sorted(os.listdir("snaps")) == ["solver_iter_0.caffemodel", "solver_iter_0.solverstate"]


def test_snapshot_without_a_prefix_lies_beside_the_solver():
    s = solver(FIXED)
    s.snapshot()
    assert Path("solver_iter_0.caffemodel").exists()


@pytest.mark.parametrize(("extra", "files"), [
    ("max_iter: 3 snapshot: 2", [2, 3]), ("max_iter: 4 snapshot: 2", [2, 4]), ("max_iter: 3", [3]),
    ("max_iter: 3 snapshot_after_train: false", []),
])
def test_solve_saves_on_the_grid_and_at_the_end(extra, files):
    solver(FIXED + 'snapshot_prefix: "s" ' + extra).solve()
    assert sorted(Path().glob("s_iter_*.solverstate")) == [Path(f"s_iter_{n}.solverstate") for n in files]
    assert sorted(Path().glob("s_iter_*.caffemodel")) == [Path(f"s_iter_{n}.caffemodel") for n in files]


def test_solve_continues_from_a_state():
    text = FIXED + 'snapshot_prefix: "s" max_iter: 4 '
    s = solver(text)
    s.step(2)
    s.snapshot()
    again = solver(text)
    again.solve("s_iter_2.solverstate")
    assert again.iter == 4


def test_a_snapshot_that_cannot_be_written_leaves_the_last_one(monkeypatch):
    s = solver(FIXED + 'snapshot_prefix: "s"')
    s.snapshot()
    before = Path("s_iter_0.solverstate").read_bytes(), Path("s_iter_0.caffemodel").read_bytes()
    s.net.params["ip"][0].data[...] = 7

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(CaffeError, match="No space left"):
        s.snapshot()
    assert (Path("s_iter_0.solverstate").read_bytes(), Path("s_iter_0.caffemodel").read_bytes()) == before
    assert sorted(p.name for p in Path().iterdir()) == [
        "net.prototxt", "s_iter_0.caffemodel", "s_iter_0.solverstate", "solver.prototxt"]


# -- the loop ----------------------------------------------------------------------------------


def test_callbacks_and_the_order_of_one_iteration():
    s = solver(FIXED + "iter_size: 2")
    events = []
    s.add_callback(lambda: events.append("start"), lambda: events.append("ready"))
    s.net.before_forward(lambda i: events.append("forward") if i == 0 else None)
    s.net.after_backward(lambda i: events.append("backward") if i == 0 else None)
    s.step(2)
    assert events == ["start", "forward", "backward", "forward", "backward", "ready"] * 2


def test_test_nets_use_the_trained_weights_and_fall_due():
    s = solver(FIXED + "test_iter: 2 test_interval: 2")
    runs = []
    s.test_nets[0].before_forward(lambda i: runs.append(s.iter) if i == 0 else None)
    s.step(4)
    assert runs == [0, 0, 2, 2]
    s.net.params["ip"][0].data[0, 0] = 42
    assert s.test_nets[0].params["ip"][0].data[0, 0] == 42


def test_no_test_at_iteration_0_without_test_initialization():
    s = solver(FIXED + "test_iter: 1 test_interval: 2 test_initialization: false")
    runs = []
    s.test_nets[0].before_forward(lambda i: runs.append(s.iter) if i == 0 else None)
    s.step(3)
    assert runs == [2]


def test_average_loss_is_the_mean_of_the_last():
    s = solver(FIXED + "average_loss: 3")
    losses = []
    s.add_callback(lambda: None, lambda: losses.append(2 * float(s.net.blobs["loss"].data)))
    s.step(7)
    np.testing.assert_allclose(s.smoothed_loss, np.mean(losses[-3:]), rtol=1e-5)
    s.step(1)
    np.testing.assert_allclose(s.smoothed_loss, losses[-1], rtol=1e-6)


def test_states_stages_and_phases_of_solver_nets():
    net = TINY + """
layer { name: "s1" type: "Silence" bottom: "data" include { phase: TEST stage: "deep" } }
layer { name: "s2" type: "Silence" bottom: "data" include { phase: TRAIN min_level: 2 } }
"""
    s = solver(FIXED + 'train_state { level: 3 } test_iter: 1 test_iter: 1 test_interval: 9 '
               'test_state { } test_state { stage: "deep" }', net=net)
    names = [list(n._layer_names) for n in (s.net, *s.test_nets)]
    assert ["s2" in n for n in names] == [True, False, False]
    assert ["s1" in n for n in names] == [False, False, True]
    assert ["acc" in n for n in names] == [False, True, True]


@pytest.mark.parametrize("head", [
    'train_net: "net.prototxt" test_net: "net.prototxt" test_iter: 1 test_interval: 1 ',
    f"net_param {{ {TINY} }} test_iter: 1 test_interval: 1 ",
    f'train_net_param {{ {TINY} }} test_net_param {{ {TINY} }} test_iter: 1 test_interval: 1 ',
    f'net: "net.prototxt" test_net_param {{ {TINY} }} test_iter: 1 test_interval: 1 ',
])
def test_every_way_to_name_the_nets(head):
    s = solver(FIXED, head=head)
    s.step(1)
    assert len(s.test_nets) == 1
    assert (s.net.phase, s.test_nets[0].phase) == (caffe.TRAIN, caffe.TEST)


def test_weights_of_the_solver_fill_all_nets():
    s = solver(FIXED)
    s.net.save("w.caffemodel")
    again = solver(FIXED + 'weights: "w.caffemodel" test_iter: 1 test_interval: 1')
    for net in (again.net, again.test_nets[0]):
        np.testing.assert_array_equal(net.params["ip"][0].data, s.net.params["ip"][0].data)


def test_random_seed_makes_runs_equal_and_seeds_once():
    runs = []
    for _ in range(2):
        s = solver(FIXED + "random_seed: 4")
        s.step(3)
        runs.append(s.net.params["ip"][0].data.copy())
    np.testing.assert_array_equal(*runs)


def test_nets_outlive_the_solver_and_share_weights():
    s = solver(FIXED)
    other = caffe.Net("net.prototxt", caffe.TRAIN)
    s.share_weights(other)
    net = s.net
    net.params["ip"][0].data[...] = 3
    del s
    assert (other.params["ip"][0].data == 3).all()


def test_a_loss_that_is_not_finite_warns_once_and_goes_on():
    s = solver(FIXED)
    s.net.params["ip"][0].data[...] = np.nan
    with pytest.warns(RuntimeWarning, match="the loss is nan.*base_lr 0.1 is too high"):
        s.step(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        s.step(2)
    assert s.iter == 3


def test_get_solver_obeys_the_type():
    solver(FIXED)
    assert type(caffe.get_solver("solver.prototxt")) is caffe.SGDSolver
    Path("solver.prototxt").write_text('net: "net.prototxt" solver_type: SGD ' + FIXED)
    assert caffe.get_solver("solver.prototxt").type == "SGD"


# -- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "kind"), [
    ('type: "Adam"', "Adam"), ("solver_type: NESTEROV", "Nesterov"), ("solver_type: ADAGRAD momentum: 0", "AdaGrad"),
    ('type: "RMSProp" momentum: 0', "RMSProp"), ('type: "AdaDelta"', "AdaDelta")])
def test_get_solver_builds_what_the_type_names(text, kind):
    Path("net.prototxt").write_text(TINY)
    fixed = FIXED.replace("momentum: 0.9", "") if "momentum: 0" in text else FIXED
    Path("solver.prototxt").write_text('net: "net.prototxt" ' + fixed + text)
    built = caffe.get_solver("solver.prototxt")
    assert type(built) is getattr(caffe, f"{kind}Solver") and built.type == kind


def test_get_solver_refuses_an_unknown_type():
    Path("net.prototxt").write_text(TINY)
    Path("solver.prototxt").write_text('net: "net.prototxt" type: "Adamm" ' + FIXED)
    with pytest.raises(SolverError) as caught:
        caffe.get_solver("solver.prototxt")
    known = "SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam"
    assert f"Unknown solver type: Adamm (known types: {known})" in str(caught.value)


@pytest.mark.parametrize(("head", "text", "words"), [
    ("", "base_lr: 1", "must specify a train net using one of these fields: net, net_param"),
    ('net: "net.prototxt" train_net: "net.prototxt"', "", "must not contain more than one"),
    ('train_net: "net.prototxt"', "test_iter: 1 test_interval: 1", "test_iter must be specified for each test network"),
    ('net: "net.prototxt" test_net: "net.prototxt"', "", "test_iter must be specified for each test network"),
    ('net: "net.prototxt"', "test_iter: 1", "want test_interval > 0"),
    ('net: "net.prototxt"', "test_iter: 0 test_interval: 1", "test_iter [0]"),
    ('net: "net.prototxt"', "test_iter: 1 test_interval: 1 test_state { } test_state { }", "test_state must be"),
    ('net: "net.prototxt"', "average_loss: 0", "average_loss should be non-negative"),
    ('net: "net.prototxt"', "iter_size: 0", "iter_size 0, want at least 1"),
    ('net: "net.prototxt"', 'snapshot: 1 snapshot_prefix: "no/where/x"', "mkdir -p 'no/where'"),
    ('net: "nott.prototxt"', "", "Could not open file nott.prototxt"),
    ('net: "net.prototxt"', 'weights: "w.caffemodel"', "Could not open file w.caffemodel"),
    ('net: "net.prototxt"', "base_lrr: 1", "base_lrr"),
])
def test_faults_of_a_solver_prototxt_are_named(head, text, words):
    with pytest.raises(CaffeError) as caught:
        solver(text, head=head + " ")
    assert words in str(caught.value)


def test_solve_refuses_a_missing_folder_before_it_trains():
    s = solver(FIXED + 'max_iter: 5 snapshot_prefix: "no/where/x"')
    with pytest.raises(SolverError, match="Cannot write to snapshot prefix 'no/where/x'.*mkdir -p 'no/where'"):
        s.solve()
    assert s.iter == 0


def test_a_prefix_below_a_file_is_no_folder_to_make(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SolverError, match=r"file/x' \(Not a directory\).*choose another prefix"):
        solver(FIXED + f'max_iter: 5 snapshot_prefix: "{tmp_path}/file/x"').solve()


def test_step_counts_whole_iterations():
    s = solver(FIXED + "max_iter: 5")
    with pytest.raises(TypeError):
        s.step(1.5)
    s.step(np.int64(1))
    assert s.iter == 1


@pytest.fixture
def saved():
    s = solver(FIXED + 'snapshot_prefix: "s"')
    s.step(2)
    s.snapshot()
    return s


def cut(name, size):
    Path(name).write_bytes(Path(name).read_bytes()[:size])


@pytest.mark.parametrize(("harm", "words"), [
    (lambda: cut("s_iter_2.solverstate", 60), "want a .solverstate"),
    (lambda: cut("s_iter_2.solverstate", 0), "empty"),
    (lambda: os.remove("s_iter_2.solverstate"), "Could not open file s_iter_2.solverstate"),
    (lambda: shutil.copy("net.prototxt", "s_iter_2.solverstate"), "want a .solverstate"),
    (lambda: shutil.copy("s_iter_2.caffemodel", "s_iter_2.solverstate"), "want a .solverstate"),
    (lambda: os.remove("s_iter_2.caffemodel"), "its weights s_iter_2.caffemodel are missing"),
    (lambda: cut("s_iter_2.caffemodel", 100), "its weights cannot be restored: s_iter_2.caffemodel"),
    (lambda: cut("s_iter_2.caffemodel", 0), "its weights cannot be restored: s_iter_2.caffemodel"),
])
def test_a_damaged_snapshot_is_refused_and_changes_nothing(saved, harm, words):
    harm()
    again = solver(FIXED + "random_seed: 3")
    before = again.net.params["ip"][0].data.copy()
    with pytest.raises(CaffeError) as caught:
        again.restore("s_iter_2.solverstate")
    assert words in str(caught.value)
    assert again.iter == 0
    np.testing.assert_array_equal(again.net.params["ip"][0].data, before)


def test_a_state_of_another_net_is_refused(saved):
    wider = solver(FIXED, net=TINY.replace("num_output: 3", "num_output: 4"))
    with pytest.raises(SolverError, match=r"history blob 0 has shape \(3, 3\), this solver's net wants \(4, 3\)"):
        wider.restore("s_iter_2.solverstate")
    one = TINY.replace("num_output: 3", "num_output: 3 bias_term: false")
    more = solver(FIXED, net=one.replace("param { lr_mult: 2 decay_mult: 0 }", ""))
    with pytest.raises(SolverError, match="Incorrect length of history blobs.: .* has 2, .* wants 1"):
        more.restore("s_iter_2.solverstate")


def test_callbacks_that_are_none(saved):
    for wrong in ((object(),), (len,), (len, None), (len, 3)):
        with pytest.raises(SolverError, match="want two functions, on_start and on_gradients_ready, or one NCCL"):
            saved.add_callback(*wrong)


def test_a_net_error_keeps_its_kind():
    with pytest.raises(NetError):
        solver(FIXED, net=TINY.replace('bottom: "data" top: "ip"', 'bottom: "dat" top: "ip"'))

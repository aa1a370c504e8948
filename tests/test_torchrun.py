"""torchrun: training, scoring and segmenting in two processes, against one; a process that is killed on the way."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from tiny_project import BLUE, RED, make_data, make_net
from train_project import make_project, shortened

import caffe
import infer
import score
from solvers import loop, solve
from solvers.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent
NAME = "shapes-fcn32s"
MODEL = Path("models") / NAME
# the second process kills itself after iteration 4, at its first start
PROGRAM = f"""
import os, signal, sys
import startup
from train_project import shortened
from solvers import loop, recipes, solve
recipes.RECIPES["{NAME}"] = shortened("{NAME}", clip_gradients=None)
loop.draw_curve = lambda *drawn: None
advance = loop.Loop._advance
def advanced(self, *args):
    advance(self, *args)
    first_start = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
    if first_start and self.ranks.rank == 1 and self.solver.iter == 4:
        os.kill(os.getpid(), signal.SIGKILL)
loop.Loop._advance = advanced
sys.exit(startup.run(lambda: solve.main(["{NAME}"])))
"""

# trains until it is stopped, and says so when it has begun
LONG = f"""
import sys
from pathlib import Path
import startup
from train_project import shortened
from solvers import loop, recipes, solve
recipes.RECIPES["{NAME}"] = shortened("{NAME}", max_iter=10**6, snapshot=10**6, step=10**6)
check = loop._StopRequest.check
def checked(self):
    Path(f"begun{{self._ranks.rank}}").touch()
    check(self)
loop._StopRequest.check = checked
sys.exit(startup.run(lambda: solve.main(["{NAME}"])))
"""

BOTH = """
import sys
import startup
from test_torchrun import score_and_infer
sys.exit(startup.run(lambda: score_and_infer(sys.argv[1:])))
"""


def score_and_infer(arguments):
    """Score, then segment, into places that end with an argument."""
    (n,) = arguments
    return (score.main(["--boundary", "2", "--save", f"saved{n}", "--out", f"{n}.json"])
            or infer.main(["data/JPEGImages", "--out", f"out{n}"]))


def start(*command):
    """Start a command in two processes, in a session of its own as a terminal does."""
    path = os.pathsep.join(map(str, (ROOT / "tests", ROOT, ROOT / "python", ROOT / "layers")))
    env = {**os.environ, "PYTHONPATH": path, "GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1",
           "CAFFE_NCCL_TIMEOUT": "150", "FCN_RANKS_TIMEOUT": "150"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
                "--max_restarts", "1", "--monitor_interval", "0.1"]
    return subprocess.Popen([*launcher, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=env, start_new_session=True)


def ended(process, seconds=240):
    """Wait for a started command, and end it where it does not end; gives what it wrote to stdout and stderr."""
    try:
        return process.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):  # all have gone
            os.killpg(process.pid, signal.SIGKILL)


def torchrun(*command):
    """Run a command in two processes; gives what they wrote to stdout."""
    process = start(*command)
    out, err = ended(process)
    lines = [line for line in err.splitlines() if " net.cpp:" not in line]
    assert process.returncode == 0, "\n".join(lines[-40:])
    return out


def here(main, *arguments):
    """Run a command in this process; gives what it wrote to stdout."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(list(arguments)) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training by one process with iter_size 2, and one by two processes of which one dies once."""
    found = {}
    for name in ("one", "two"):
        root = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            patch.setenv("GLOG_minloglevel", "2")
            patch.setattr(loop, "draw_curve", lambda *drawn: None)
            patch.setitem(RECIPES, NAME, shortened(NAME, clip_gradients=None, iter_size=2))
            make_project(root, NAME)
            train = MODEL / "train.prototxt"
            train.write_text(train.read_text().replace("dropout_ratio: 0.1", "dropout_ratio: 0.0"))
            Path("program.py").write_text(PROGRAM)
            found[name] = root, here(solve.main, NAME) if name == "one" else torchrun("program.py")
    return found


def journal(root):
    return [json.loads(line) for line in (root / MODEL / "snapshot/journal.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one_with_twice_the_passes_also_after_a_kill(trained):
    (one, _), (two, said) = trained["one"], trained["two"]
    assert f"{NAME}: going on from iteration" in said and said.count("weights in models") == 1
    nets = [caffe.Net(str(root / MODEL / "deploy.prototxt"), caffe.TEST, weights=str(
        root / MODEL / "snapshot/train_iter_6.caffemodel")) for root in (one, two)]
    for layer, blobs in nets[0].params.items():
        for a, b in zip(blobs, nets[1].params[layer]):
            np.testing.assert_allclose(b.data, a.data, rtol=1e-6, atol=1e-6, err_msg=layer)
    assert not (two / MODEL / ".ranks").exists()


def test_the_journal_has_the_scores_of_the_whole_split(trained):
    scored = [{row["iteration"]: row for row in journal(trained[name][0]) if "mean_iu" in row} for name in trained]
    assert list(scored[0]) == list(scored[1]) == [2, 4, 6]
    for iteration, row in scored[0].items():
        assert scored[1][iteration] == pytest.approx(row, abs=1e-5), iteration


def stopped_by(send):
    """Start the long training, wait until both processes train, send a signal; gives how it ended."""
    for rank in (0, 1):
        Path(f"begun{rank}").unlink(missing_ok=True)
    process, until = start("program.py"), time.monotonic() + 60
    while not (Path("begun0").exists() and Path("begun1").exists()) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    send(process.pid)
    out, err = ended(process, 60)
    with pytest.raises(ProcessLookupError):  # nobody is left in the session's group
        os.killpg(process.pid, 0)
    ours = [line for line in err.splitlines() if line.startswith("error: ")]
    return process.returncode, out, err, ours


def test_ctrl_c_and_sigterm_save_end_all_and_the_same_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "2")
    make_project(tmp_path, NAME)
    Path("program.py").write_text(LONG)
    states = []
    for send in (lambda pid: os.killpg(pid, signal.SIGINT), lambda pid: os.kill(pid, signal.SIGTERM)):
        code, out, err, ours = stopped_by(send)
        assert code != 0 and "solvers/" not in err and "startup.py" not in err  # the only traceback is torchrun's
        states.append(max(int(path.stem.split("_")[-1]) for path in (MODEL / "snapshot").glob("*.solverstate")))
        assert sorted(ours) == ["error: process 1 stopped", f"error: {NAME}: stopped at iteration {states[-1]}; "
                                "the same command goes on from there"]
    assert f"{NAME}: going on from iteration {states[0]}" in out and states[1] >= states[0] > 0
    assert not (MODEL / ".ranks").exists()


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Three images scored and segmented by one process, then by two."""
    root, rng = tmp_path_factory.mktemp("scored"), np.random.RandomState(0)
    make_net(root)
    items = {f"im{i}": (np.array([RED, BLUE], np.uint8)[rng.randint(0, 2, (6 + i, 7))], rng.randint(0, 3, (6 + i, 7)))
             for i in range(3)}
    items["im1"][1][:] = 255  # nothing counts
    make_data(root, **items)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("GLOG_minloglevel", "2")
        Path("program.py").write_text(BOTH)  # one start for two commands
        said = {1: here(score_and_infer, "1"), 2: torchrun("program.py", "2")}
        found = {n: (json.loads(Path(f"{n}.json").read_text()), said[n]) for n in (1, 2)}
    return root, found


def test_two_processes_score_what_one_does(scored):
    _, found = scored
    one, two = ({key: value for key, value in found[n][0].items() if key not in ("date", "seconds")} for n in (1, 2))
    assert one == two and one["images"] == 3


def test_two_processes_write_the_same_pictures(scored):
    root, found = scored
    for kind, count in (("saved", 3), ("out", 9)):
        names = sorted(path.name for path in (root / f"{kind}1").iterdir())
        assert names == sorted(path.name for path in (root / f"{kind}2").iterdir()) and len(names) == count
        for name in names:
            assert (root / f"{kind}1" / name).read_bytes() == (root / f"{kind}2" / name).read_bytes(), name
    for n in (1, 2):
        assert found[n][1].count("3 of 3 images done") == 1 and found[n][1].count("_label.png") == 3


def test_own_images_train_in_one_process(monkeypatch, tmp_path, capsys):
    import startup
    import train

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.chdir(tmp_path)
    for name in ("images", "labels"):
        Path(name).mkdir()
    assert startup.run(lambda: train.main(["--images", "images", "--labels", "labels"])) == 1
    assert "train.py trains in one process" in capsys.readouterr().err

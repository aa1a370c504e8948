"""Random nets, oracle: construction, passes, training, files and sizes, live in genuine Caffe and in ours."""

from __future__ import annotations

import json

import numpy as np
import pytest

import caffe
from tests.bvlc import run_bvlc
from tests.caffe.random_nets import SCRIPT, make_case

SEEDS = range(24)
RELATIVE, ABSOLUTE = 3e-4, 3e-6  # of the largest value; sums cancel, so gradients of deep nets agree no better
ORACLE = SCRIPT + """
import json
for seed, case in json.loads(str(inp["cases"])).items():
    out.update(("%s/%s" % (seed, key), array) for key, array in run(caffe, case, int(seed)).items())
"""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOG_minloglevel", "2")
        return {str(seed): make_case(seed, folder) for seed in SEEDS}


@pytest.fixture(scope="module")
def theirs(cases):
    return run_bvlc(ORACLE, cases=np.array(json.dumps(cases)))


@pytest.mark.filterwarnings("ignore:iteration")
@pytest.mark.parametrize("seed", SEEDS)
def test_oracle_random_net(cases, theirs, seed, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    space = {"np": np}
    exec(SCRIPT, space)  # the text that genuine Caffe ran
    ours = space["run"](caffe, cases[str(seed)], seed)
    wanted = {key.split("/", 1)[1]: array for key, array in theirs.items() if key.startswith(f"{seed}/")}
    assert list(ours) == list(wanted), cases[str(seed)]["text"]
    assert ours.pop("bytes").tobytes() == wanted.pop("bytes").tobytes(), "the saved new net differs"
    worst = {}
    for key, want in wanted.items():
        got = ours[key]
        assert got.shape == want.shape, key
        bound = RELATIVE * np.abs(want).max(initial=0) + ABSOLUTE
        excess = np.abs(got - want).max(initial=0) / bound
        if not excess <= 1:
            worst[key] = f"{excess:.3g} times the bound {bound:.3g}"
    assert not worst, f"{worst}\n{cases[str(seed)]['text']}"

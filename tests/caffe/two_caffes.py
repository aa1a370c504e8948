"""Run nets in both Caffes, from one random seed, and hold every blob of every pass equal.

In:   jobs: (text of a net, phase, number of passes); all run in one process, as genuine Caffe is slow to start.
Out:  ours -> {"net pass blob": values}; both, which raises AssertionError at a difference, of any blob or of one.
Not here: which nets.
"""

from __future__ import annotations

import contextlib

import numpy as np
from bvlc import run_bvlc

import caffe

ASK = """
import os
for i, prototxt in enumerate(inp["texts"]):
    path = "%s/%d.prototxt" % (inp["folder"], os.getpid())
    with open(path, "w") as file:
        file.write(str(prototxt))
    caffe.set_random_seed(5)
    net = caffe.Net(path, int(inp["phases"][i]))
    for j in range(inp["passes"][i]):
        net.forward()
        for name in net.blobs:
            out["%d %d %s" % (i, j, name)] = net.blobs[name].data.copy()
"""


def ours(jobs, folder):
    """Run the nets with this Caffe, in `folder`."""
    out, inp = {}, _questions(jobs, folder)
    with contextlib.chdir(folder):
        exec(ASK, {"caffe": caffe, "np": np, "inp": inp, "out": out})
    return out


def both(jobs, folder, blob=None):
    """Run the nets with this Caffe and the genuine one; all values must be equal, or those of one blob."""
    got = ours(jobs, folder)
    want = run_bvlc(f"import os; os.chdir({str(folder)!r})\n" + ASK, **_questions(jobs, folder))
    assert list(got) == list(want)
    for key, value in want.items():
        if blob is not None and key.split()[-1] != blob:
            continue
        assert np.array_equal(got[key], value), (jobs[int(key.split()[0])], key)


def _questions(jobs, folder):
    texts, phases, passes = zip(*jobs, strict=True)
    return {"texts": np.array(texts), "folder": np.array(str(folder)), "phases": np.array(phases),
            "passes": np.array(passes)}

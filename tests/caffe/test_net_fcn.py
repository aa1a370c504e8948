"""A slim FCN-8s, forwards, against genuine Caffe with the same weights."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from tests.bvlc import ROOT, run_bvlc

DEPLOY = ROOT / "models" / "shapes-fcn8s" / "deploy.prototxt"
SCRIPT = """
with open("fcn8s.prototxt", "w") as file:
    file.write(str(inp["text"]))
net = caffe.Net("fcn8s.prototxt", caffe.TEST)
rng = np.random.RandomState(8)
for name, blobs in net.params.items():
    for blob in blobs:
        shape = tuple(blob.shape)
        if "up" in name:  # bilinear, each channel for itself
            side = shape[2]
            half = (side + 1) // 2
            line = 1 - np.abs(np.arange(side) - (half - 1 if side % 2 else half - 0.5)) / half
            blob.data[...] = 0
            for i in range(shape[0]):
                blob.data[i, i if shape[1] > 1 else 0] = np.outer(line, line)
        elif len(shape) == 1:
            blob.data[...] = rng.uniform(-0.1, 0.1, shape)
        else:
            blob.data[...] = rng.normal(0, np.sqrt(2.0 / np.prod(shape[1:])), shape)
            if name.startswith("score"):  # of positive features: let their mean not decide
                blob.data[...] -= blob.data.mean(1, keepdims=True)
for height, width in ((64, 48), (48, 80)):
    net.blobs["data"].reshape(1, 3, height, width)
    net.blobs["data"].data[...] = rng.uniform(-120, 120, (1, 3, height, width))
    out["score_%d" % height] = net.forward()[net.outputs[0]].copy()
for name in ("pool3", "pool4", "fc7", "upscore2"):
    if name in net.blobs:
        out[name] = net.blobs[name].data.copy()
"""


@pytest.fixture(scope="module")
def theirs():
    return run_bvlc(SCRIPT, text=np.array(DEPLOY.read_text()))


def test_oracle_scores_of_a_slim_fcn8s(theirs, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    out = {}
    exec(SCRIPT, {"np": np, "caffe": caffe, "inp": {"text": np.array(DEPLOY.read_text())}, "out": out})
    assert set(out) == set(theirs) >= {"score_64", "score_48", "pool3"}
    for name, want in theirs.items():
        assert out[name].shape == want.shape and want.std() > 0, name
        assert np.abs(out[name] - want).max() <= 2e-5 * np.abs(want).max(), name
        if name.startswith("score"):
            labels, wanted = out[name].argmax(1), want.argmax(1)
            assert len(np.unique(wanted)) > 2, "the scores must differ from pixel to pixel"
            assert (labels == wanted).mean() >= 0.9999


def test_oracle_half_the_looks(theirs, tmp_path, monkeypatch):
    """Nobody looks at an inner blob here, so that the engine may keep these as it likes."""
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    out = {}
    script = SCRIPT[:SCRIPT.index('for name in ("pool3"')]
    exec(script, {"np": np, "caffe": caffe, "inp": {"text": np.array(DEPLOY.read_text())}, "out": out})
    for name, got in out.items():
        assert np.abs(got - theirs[name]).max() <= 2e-5 * np.abs(theirs[name]).max(), name

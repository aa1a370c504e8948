"""Flatten behind a layer that shares memory with its bottom: no gradient gets through, as in Caffe; it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from tests.bvlc import run_bvlc

IN = '''layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 3 } } }
layer { name: "twice" type: "Power" bottom: "x" top: "twice" power_param { scale: 2 } }
'''
MIDDLES = {
    "Reshape": "reshape_param { shape { dim: 2 dim: 2 dim: 6 } }", "Concat": "", "Slice": "", "Flatten": "",
    "Power": "", "Tile": "tile_param { tiles: 1 }",
}
LOSES = ("Reshape", "Concat", "Slice")
END = '''layer { name: "end" type: "Flatten" bottom: "middle" top: "end" }
layer { name: "thrice" type: "Power" bottom: "end" top: "y" power_param { scale: 3 } }
'''
PARAMETER = '''layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 12 } } }
layer { name: "middle" type: "Parameter" top: "middle" parameter_param { shape { dim: 2 dim: 4 dim: 3 } } }
layer { name: "end" type: "Flatten" bottom: "middle" top: "end" }
layer { name: "y" type: "Eltwise" bottom: "x" bottom: "end" top: "y" }
'''
ASK = '''
for i, text in enumerate(inp["texts"]):
    with open("net.prototxt", "w") as file:
        file.write("force_backward: true " + str(text))
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    for _ in range(2):
        net.forward()
        net.blobs["y"].diff[...] = 1
        net.backward()
    out["x%d" % i] = net.blobs["x"].diff.copy()
    for blobs in net.params.values():
        out["w%d" % i] = blobs[0].diff.copy()
'''


def net_of(kind):
    return f'{IN}layer {{ name: "middle" type: "{kind}" bottom: "twice" top: "middle" {MIDDLES[kind]} }}\n{END}'


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", [*MIDDLES, "Parameter"])
def test_what_gets_lost_is_said(kind, capfd):
    out = {}
    exec(ASK, {"caffe": caffe, "np": np, "inp": {"texts": [PARAMETER if kind == "Parameter" else net_of(kind)]},
               "out": out})
    got = out["w0" if kind == "Parameter" else "x0"]
    said, loses = capfd.readouterr().err, kind in (*LOSES, "Parameter")
    assert (got == (0 if loses else 1 if kind == "Parameter" else 6)).all()
    assert said.count("(Flatten): no gradient gets through") == loses
    if loses:
        assert f"layer 'end' (Flatten): no gradient gets through 'middle' ({kind}), as in Caffe" in said


def test_nothing_is_said_where_no_gradient_is_wanted(capfd):
    Path("net.prototxt").write_text(net_of("Reshape"))
    caffe.Net("net.prototxt", caffe.TEST).forward()
    assert "gradient" not in capfd.readouterr().err


def test_the_remedy_helps(capfd):
    reshape = '"Reshape" reshape_param { shape { dim: 0 dim: -1 } } bottom'
    out, text = {}, net_of("Reshape").replace('"Flatten" bottom', reshape)
    exec(ASK, {"caffe": caffe, "np": np, "inp": {"texts": [text]}, "out": out})
    assert (out["x0"] == 6).all() and "gradient" not in capfd.readouterr().err


def test_genuine_caffe_loses_the_same():
    texts = [*map(net_of, MIDDLES), PARAMETER]
    out = {}
    exec(ASK, {"caffe": caffe, "np": np, "inp": {"texts": texts}, "out": out})
    want = run_bvlc(ASK, texts=np.array(texts))
    assert list(out) == list(want)
    for key, value in want.items():
        np.testing.assert_array_equal(out[key], value, err_msg=key)

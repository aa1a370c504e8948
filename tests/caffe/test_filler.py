"""Fillers against genuine Caffe to the last bit: live where it is installed, recorded elsewhere."""

from __future__ import annotations

import random

import numpy as np
import pytest
from bvlc import run_bvlc
from google.protobuf import text_format

import caffe
from caffe._caffe import common
from caffe._caffe.blob import Blob
from caffe._caffe.errors import CaffeError
from caffe._caffe.filler import fill
from caffe.proto import caffe_pb2
from tests.reference import record_rng


def filled(shape, text):
    blob = Blob(*shape)
    fill(blob, text_format.Parse(text, caffe_pb2.FillerParameter()))
    return blob.data


@pytest.fixture(scope="module", params=["recorded", "live"])
def theirs(request):
    if request.param == "live":
        return {name: record_rng.shorten(value) for name, value in record_rng.genuine().items()}
    with np.load(record_rng.RECORDED) as loaded:
        return dict(loaded)


@pytest.mark.parametrize("name", record_rng.FILLS)
def test_oracle_fillers_bit_for_bit(theirs, name):
    seed, layers = record_rng.FILLS[name]
    common.set_random_seed(seed)
    for i, (shape, text) in enumerate(layers):
        got = record_rng.shorten(filled(shape, text))
        np.testing.assert_array_equal(got, theirs[f"fill/{name}/{i}"], err_msg=text)


def test_oracle_weights_of_a_net_in_order(theirs):
    common.set_random_seed(21)
    got = [filled((4, 3, 3, 3), 'type: "gaussian" std: 0.1'), filled((4,), 'type: "uniform"'),
           filled((5, 64), 'type: "xavier"'), filled((5,), "")]
    for i, value in enumerate(got):
        np.testing.assert_array_equal(record_rng.shorten(value), theirs[f"layers/{i}"])


LIVE = """
for seed, text in enumerate(inp["texts"]):
    with open("net.prototxt", "w") as file:
        file.write(str(text))
    caffe.set_random_seed(seed)
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    net.forward()
    for name in net.blobs:
        out["%d %s" % (seed, name)] = net.blobs[name].data.copy()
"""


def random_filler(rng):
    """Return a shape and a filler's text; odd lengths, at times a large blob or one of one value."""
    norm = rng.choice(["", "variance_norm: FAN_OUT", "variance_norm: AVERAGE"])
    shape = [rng.choice([1, 2, 3, 5, 7, 11, 17]) for _ in range(rng.randrange(1, 5))]
    if rng.random() < 0.15:
        shape = [rng.choice([1009, 4099]), rng.choice([31, 67])]
    kind = rng.choice([
        f'type: "uniform" min: {-rng.random()} max: {rng.random()}', f'type: "gaussian" std: {rng.random()}',
        f'type: "gaussian" mean: {rng.gauss(0, 1)} std: 1e-{rng.randrange(4)}', f'type: "xavier" {norm}',
        f'type: "gaussian" sparse: {rng.randrange(shape[0] + 1)}', f'type: "msra" {norm}', 'type: "positive_unitball"',
        f'value: {rng.random()}'])
    return shape, kind


def test_random_fillers_in_a_row_are_genuine_caffes(tmp_path, monkeypatch):
    rng = random.Random(1)
    nets = [[random_filler(rng) for _ in range(8)] for _ in range(25)]
    texts = ["\n".join(f'layer {{ name: "d{i}" type: "DummyData" top: "d{i}" dummy_data_param {{ shape {{ '
                       f'{" ".join(f"dim: {n}" for n in shape)} }} data_filler {{ {kind} }} }} }}'
                       for i, (shape, kind) in enumerate(net)) for net in nets]
    want = run_bvlc(LIVE, texts=np.array(texts))
    got = {}
    monkeypatch.chdir(tmp_path)
    exec(LIVE, {"caffe": caffe, "inp": {"texts": texts}, "out": got})
    assert list(got) == list(want)
    for key, values in want.items():
        seed, name = key.split()
        assert got[key].tobytes() == values.tobytes(), (key, nets[int(seed)][int(name[1:])])


def test_gaussian_sparse_keeps_the_expected_number():
    common.set_random_seed(5)
    data = filled((50, 400), 'type: "gaussian" sparse: 10')
    assert abs((data != 0).mean() - 10 / 50) < 0.02


def test_positive_unitball_rows_sum_to_one():
    common.set_random_seed(5)
    np.testing.assert_allclose(filled((4, 30), 'type: "positive_unitball"').sum(1), 1, rtol=1e-6)


def test_bilinear_by_hand():
    row = filled((1, 1, 4, 4), 'type: "bilinear"')[0, 0, 1]
    np.testing.assert_allclose(row, [3 / 16, 9 / 16, 9 / 16, 3 / 16])


@pytest.mark.parametrize(("shape", "text", "words"), [
    ((2, 2), 'type: "gausian"', "Unknown filler name: gausian; known are bilinear, constant, "),
    ((2, 2), 'type: "gaussian" std: 0', "want std > 0"),
    ((2, 2), 'type: "gaussian" sparse: -2', "want -1"),
    ((2, 2), 'type: "gaussian" sparse: 3', "sparse 3"),
    ((2, 2), 'type: "xavier" sparse: 3', "Sparsity not supported"),
    ((2, 2), 'type: "uniform" min: 1 max: 0', "want min <= max"),
    ((0, 2), 'type: "constant"', "count > 0"),
    ((), 'type: "xavier"', "scalar"),
    ((2, 2), 'type: "bilinear"', "Blob must be 4 dim."),
    ((1, 1, 3, 4), 'type: "bilinear"', "Filter must be square"),
])
def test_what_caffe_checks_is_an_error(shape, text, words):
    with pytest.raises(CaffeError) as caught:
        filled(shape, text)
    assert words in str(caught.value)

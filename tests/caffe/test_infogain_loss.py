"""InfogainLoss: worked out by hand, its gradient, its faults, and against genuine Caffe."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from caffe._caffe.errors import LayerError, ProtoError
from tests.bvlc import run_bvlc
from tests.caffe.gradient_checker import backward, check_gradient, forward, make_layer

K = 5
RNG = np.random.default_rng(4)
SCORES = RNG.normal(size=(2, K, 3, 4)).astype(np.float32)
LABELS = RNG.integers(0, K, (2, 1, 3, 4)).astype(np.float32)
LABELS[0, 0, 1, :3] = 255
MATRIX = RNG.uniform(0, 2, (1, 1, K, K)).astype(np.float32)
TYPE = 'name: "loss" type: "InfogainLoss"'
IGNORE = "loss_param { ignore_label: 255 }"
MODES = ["FULL", "VALID", "BATCH_SIZE", "NONE"]


def save_matrix(path, matrix):
    path.write_bytes(caffe.io.array_to_blobproto(np.asarray(matrix, np.float32)).SerializeToString())
    return f'{TYPE} infogain_loss_param {{ source: "{path}" }}'


def by_hand(scores, labels, matrix, ignore=255):
    """The sum of the loss, pixel by pixel, and how many pixels count."""
    total, count = 0.0, 0
    for n in range(scores.shape[0]):
        for y in range(scores.shape[2]):
            for x in range(scores.shape[3]):
                label = int(labels[n, 0, y, x])
                if label == ignore:
                    continue
                e = np.exp(scores[n, :, y, x].astype(np.float64))
                total -= (matrix[0, 0, label] * np.log(e / e.sum())).sum()
                count += 1
    return total, count


@pytest.mark.parametrize("mode", MODES)
def test_loss_by_hand(mode):
    text = f"{TYPE} loss_param {{ ignore_label: 255 normalization: {mode} }}"
    total, count = by_hand(SCORES, LABELS, MATRIX)
    assert count == 21
    want = total / {"FULL": 24, "VALID": 21, "BATCH_SIZE": 2, "NONE": 1}[mode]
    found = forward(*make_layer(text, [SCORES, LABELS, MATRIX]))
    np.testing.assert_allclose(found[0], want, rtol=1e-5)


def test_valid_is_the_default_normalization():
    total, count = by_hand(SCORES, LABELS, MATRIX)
    np.testing.assert_allclose(forward(*make_layer(f"{TYPE} {IGNORE}", [SCORES, LABELS, MATRIX]))[0], total / count,
                               rtol=1e-5)


def test_two_classes_literal():
    scores = np.array([[0.0, np.log(3)]], np.float32)  # probabilities 1/4 and 3/4
    matrix = np.array([[2, 0], [0.5, 1]], np.float32)
    for label, want in ((0, 2 * np.log(4)), (1, 0.5 * np.log(4) + np.log(4 / 3))):
        layer, bottom, top = make_layer(TYPE, [scores, np.full((1, 1), label, np.float32), matrix])
        np.testing.assert_allclose(forward(layer, bottom, top)[0], want, rtol=1e-6)
        diffs, _ = backward(layer, top, [True, False, False], bottom, [1])
        row = matrix[label]
        np.testing.assert_allclose(diffs[0], [np.array([0.25, 0.75]) * row.sum() - row], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("source", ["bottom", "file"])
@pytest.mark.parametrize("labels", [LABELS, np.full_like(LABELS, 255)])
def test_identity_is_softmax_with_loss(tmp_path, source, labels):
    identity = np.eye(K, dtype=np.float32)[np.newaxis, np.newaxis]
    if source == "file":
        text, bottoms = save_matrix(tmp_path / "identity.binaryproto", identity), [SCORES, labels]
    else:
        text, bottoms = TYPE, [SCORES, labels, identity]
    found = []
    for text_of, bottoms_of in ((f"{text} {IGNORE}", bottoms),
                                (f'name: "loss" type: "SoftmaxWithLoss" {IGNORE}', [SCORES, labels])):
        layer, bottom, top = make_layer(text_of, bottoms_of)
        loss, = forward(layer, bottom, top)
        diffs, _ = backward(layer, top, [True] + [False] * (len(bottom) - 1), bottom, [3])
        found.append((loss, diffs[0]))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("axis, shape, labels", [
    (1, (2, K, 2, 3), (2, 2, 3)), (-1, (2, 3, K), (2, 3)), (2, (2, 3, K), (2, 3))])
def test_gradient(axis, shape, labels):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, K, labels).astype(np.float32)
    truth.flat[1] = 255
    text = f"{TYPE} {IGNORE} infogain_loss_param {{ axis: {axis} }}"
    check_gradient(text, [rng.normal(size=shape).astype(np.float32), truth, MATRIX], propagate=[True, False, False])


def test_second_top_shows_probabilities():
    text = f'{TYPE} top: "loss" top: "prob" {IGNORE}'
    layer, bottom, top = make_layer(text, [SCORES, LABELS, MATRIX])
    prob = forward(layer, bottom, top)[1]
    e = np.exp(SCORES)
    np.testing.assert_allclose(prob, e / e.sum(1, keepdims=True), rtol=1e-5)


def test_a_matrix_from_a_bottom_may_change_between_passes():
    layer, bottom, top = make_layer(f"{TYPE} {IGNORE}", [SCORES, LABELS, MATRIX])
    first, = forward(layer, bottom, top)
    bottom[2].data[...] *= 2
    np.testing.assert_allclose(forward(layer, bottom, top)[0], 2 * first, rtol=1e-6)
    one, _ = backward(layer, top, [True, False, False], bottom, [1])
    bottom[2].data[...] /= 2
    half, _ = backward(layer, top, [True, False, False], bottom, [1])
    np.testing.assert_allclose(one[0], 2 * half[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("text, bottoms, message", [
    (TYPE, [SCORES, LABELS], "Infogain matrix source must be specified"),
    (TYPE, [SCORES, LABELS, MATRIX[..., 1:]], "infogain matrix has 20 numbers; want 5 x 5"),
    (f"{TYPE} loss_param {{ normalize: true }}", [SCORES, LABELS, MATRIX],
     'normalize is deprecated. use "normalization"'),
    (TYPE, [SCORES], r"takes at least 2 bottom blob\(s\), got 1"),
    (TYPE, [SCORES, LABELS[..., 1:], MATRIX], "Number of labels must match number of predictions")])
def test_refused(text, bottoms, message):
    with pytest.raises(LayerError, match=message):
        make_layer(text, bottoms)


def test_faults_while_running(tmp_path):
    layer, bottom, top = make_layer(TYPE, [SCORES, LABELS, MATRIX])
    with pytest.raises(LayerError, match="label 255 with 5 classes: want 0 to 4; no ignore_label is set"):
        forward(layer, bottom, top)
    layer, bottom, top = make_layer(f"{TYPE} {IGNORE}", [SCORES, LABELS, MATRIX])
    forward(layer, bottom, top)
    for propagate, what in (([True, True, False], "label"), ([True, False, True], "infogain")):
        with pytest.raises(LayerError, match=f"cannot backpropagate to {what} inputs"):
            backward(layer, top, propagate, bottom, [1])
    with pytest.raises(ProtoError, match="Could not open file .*gone.binaryproto"):
        make_layer(f'{TYPE} infogain_loss_param {{ source: "{tmp_path}/gone.binaryproto" }}', [SCORES, LABELS])


NET = """
layer {{ name: "scores" type: "Input" top: "scores" input_param {{ shape {{ dim: 2 dim: 5 dim: 3 dim: 4 }} }} }}
layer {{ name: "labels" type: "Input" top: "labels" input_param {{ shape {{ dim: 2 dim: 1 dim: 3 dim: 4 }} }} }}
layer {{ name: "matrix" type: "Input" top: "matrix" input_param {{ shape {{ dim: 1 dim: 1 dim: 5 dim: 5 }} }} }}
layer {{ name: "b" type: "Bias" bottom: "scores" top: "b" bias_param {{ filler {{ value: 0.5 }} }} }}
layer {{ {0} bottom: "b" bottom: "labels" {1} top: "loss" top: "prob" {2} loss_weight: 3 loss_weight: 0 }}
"""
RUN = """
for i, text in enumerate({texts!r}):
    with open("net.prototxt", "w") as stream:
        stream.write(text)
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    for name in ("scores", "labels", "matrix"):
        net.blobs[name].data[...] = inp[name]
    net.forward()
    net.backward()
    for name in ("loss", "prob"):
        out["%d/%s" % (i, name)] = net.blobs[name].data.copy()
    out["%d/diff" % i] = net.blobs["b"].diff.copy()
"""


def test_oracle(tmp_path, monkeypatch):
    path = tmp_path / "matrix.binaryproto"
    save_matrix(path, MATRIX)
    texts = []
    for mode in MODES:
        for from_file in (False, True):
            loss = f"loss_param {{ ignore_label: 255 normalization: {mode} }}"
            source = f'infogain_loss_param {{ source: "{path}" }}' if from_file else 'bottom: "matrix"'
            third, gain = ("", source) if from_file else (source, "")
            texts.append(NET.format(TYPE, third, f"{gain} {loss}"))
    given = dict(scores=SCORES, labels=LABELS, matrix=MATRIX)
    want = run_bvlc(RUN.format(texts=texts), **given)
    found: dict = {}
    monkeypatch.chdir(tmp_path)
    exec(RUN.format(texts=texts), dict(caffe=caffe, inp=given, out=found))
    assert set(found) == set(want) and len(want) == 24
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=1e-6, err_msg=name)

"""Class frequencies of a split, their weights, and the matrix in InfogainLoss."""

from __future__ import annotations

import miniatures
import numpy as np
import pytest
import scipy.io
from data_nets import layer_text, net_of

import caffe
from data.whole import DataError
from nets.blocks import segmentation_loss
from scoring.class_weights import class_weights, count_pixels, main, save_matrix


def sift_prototxt(root):
    text = repr(dict(siftflow_dir=str(miniatures.siftflow(root)), split="trainval", seed=1337, mirror=True))
    path = root / "net.prototxt"
    path.write_text(layer_text("SIFTFlowSegDataLayer", text, "siftflow_layers", "data sem geo"))
    return path


def test_pixels_are_counted_by_class(tmp_path):
    path = sift_prototxt(tmp_path)
    folder = tmp_path / "data/sift-flow"
    for top, kind, classes in (("sem", "SemanticLabels", 33), ("geo", "GeoLabels", 3)):
        labels = [scipy.io.loadmat(folder / kind / miniatures.SCENES / f"{name}.mat")["S"]
                  for name in (folder / "trainval.txt").read_text().split()]
        want = [sum(int((label == k).sum()) for label in labels) for k in range(1, classes + 1)]
        assert count_pixels(path, top).tolist() == want and sum(want) > 4000


def test_weights_literal():
    np.testing.assert_allclose(class_weights(np.array([100, 0, 25]), "median-frequency"), [0.625, 0, 2.5])
    np.testing.assert_allclose(class_weights(np.array([100, 0, 25]), "inverse-sqrt"), [5 / 6, 0, 5 / 3])
    np.testing.assert_allclose(class_weights(np.array([7, 7]), "inverse-sqrt"), [1, 1])
    with pytest.raises(DataError, match="all are void"):
        class_weights(np.zeros(3), "inverse-sqrt")
    with pytest.raises(DataError, match="'best' .* is not known; want one of inverse-sqrt, median-frequency"):
        class_weights(np.ones(3), "best")


def test_command_writes_a_matrix_that_the_loss_takes(tmp_path, capsys):
    out = tmp_path / "weights.binaryproto"
    assert main([str(sift_prototxt(tmp_path)), str(out), "--label", "geo"]) == 0
    assert f"{out}: 3 x 3, rule inverse-sqrt" in capsys.readouterr().out
    blob = caffe.proto.caffe_pb2.BlobProto.FromString(out.read_bytes())
    matrix = caffe.io.blobproto_to_array(blob)[0, 0]
    weights = class_weights(count_pixels(tmp_path / "net.prototxt", "geo"), "inverse-sqrt")
    np.testing.assert_allclose(matrix, np.diag(weights), rtol=1e-6)
    with pytest.raises(DataError, match="has no label top 'label', but sem, geo"):
        main([str(tmp_path / "net.prototxt"), str(out)])


@pytest.mark.parametrize("normalize", [True, False])
def test_equal_weights_are_the_plain_loss(tmp_path, normalize):
    save_matrix(np.ones(3), tmp_path / "ones.binaryproto")
    rng = np.random.RandomState(2)
    label = rng.randint(0, 3, (2, 1, 4, 5))
    label[0, 0, 0] = 255
    losses = []
    for source in (None, str(tmp_path / "ones.binaryproto")):
        n = caffe.NetSpec()
        n.score = caffe.layers.Input(shape=dict(dim=[2, 3, 4, 5]))
        n.label = caffe.layers.Input(shape=dict(dim=[2, 1, 4, 5]))
        n.loss = segmentation_loss(n.score, n.label, normalize, source)
        net = net_of(tmp_path, str(n.to_proto()))
        net.blobs["score"].data[...] = np.random.RandomState(1).normal(0, 1, (2, 3, 4, 5))
        net.blobs["label"].data[...] = label
        losses.append(float(net.forward()["loss"]))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)

"""Real photographs and a real ILSVRC net through plain pycaffe calls, where they lie beside the checkout."""

from pathlib import Path

import numpy as np
import pytest
from bvlc import run_bvlc
from PIL import Image

import caffe
import surgery
from nets.prototxt import write_prototxt
from nets.zoo import emit

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
SQUEEZENET = SHARED / "squeezenet"
DEPLOY, WEIGHTS = SQUEEZENET / "deploy.prototxt", SQUEEZENET / "squeezenet_v1.0.caffemodel"
ESPRESSO, EGYPTIAN_CAT = 967, 285
MEAN_BGR = (104, 117, 123)
SIDE = 227

pytestmark = [pytest.mark.data,
              pytest.mark.skipif(not WEIGHTS.exists(), reason=f"no SqueezeNet in {SQUEEZENET}")]


def photograph(name):
    """Give scikit-image's photograph, 256 x 256 x 3 RGB in 0 ... 1; skips where no copy is installed."""
    found = sorted(ROOT.glob(f".venv*/lib/python*/site-packages/skimage/data/{name}.png"))
    if not found:
        pytest.skip(f"scikit-image's {name}.png is in no environment here")
    with Image.open(found[0]) as image:
        return np.asarray(image.convert("RGB").resize((256, 256), Image.BILINEAR), np.float32) / 255


def prepared(image):
    """Give the centre as the net wants it: 3 x 227 x 227, BGR, 0 ... 255 less the mean."""
    start = (256 - SIDE) // 2
    transformer = caffe.io.Transformer({"data": (1, 3, SIDE, SIDE)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array(MEAN_BGR, np.float64))
    return transformer.preprocess("data", image[start:start + SIDE, start:start + SIDE])


def classified(in_bgr):
    """Give the 1000 scores of the published net."""
    net = caffe.Net(str(DEPLOY), caffe.TEST, weights=str(WEIGHTS))
    net.blobs["data"].reshape(1, 3, SIDE, SIDE)
    net.blobs["data"].data[0] = in_bgr
    return net.forward()["pool_final"].ravel().copy()


def softmax(scores):
    exp = np.exp(scores.astype(np.float64) - scores.max())
    return exp / exp.sum()


@pytest.mark.parametrize("name, answer, probability", [
    ("coffee", ESPRESSO, 0.963), ("chelsea", EGYPTIAN_CAT, 0.700)])
def test_oracle_squeezenet_knows_what_is_on_the_photograph(name, answer, probability):
    prob = softmax(classified(prepared(photograph(name))))
    assert prob.argmax() == answer
    assert prob[answer] == pytest.approx(probability, abs=0.02)


def test_oracle_squeezenet_scores_are_genuine_caffes():
    in_bgr = prepared(photograph("coffee"))
    theirs = run_bvlc(f"""
        net = caffe.Net({str(DEPLOY)!r}, {str(WEIGHTS)!r}, caffe.TEST)
        net.blobs["data"].reshape(1, 3, {SIDE}, {SIDE})
        net.blobs["data"].data[0] = inp["image"]
        out["scores"] = net.forward()["pool_final"].ravel()
    """, image=in_bgr)["scores"]
    ours = classified(in_bgr)
    assert np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max()


def test_smoke_its_weights_start_a_training_on_photographs(tmp_path):
    folder = SHARED / "VOC2011"
    if not folder.is_dir():
        pytest.skip(f"no photographs in {folder}")
    write_prototxt(emit("voc-fcn-squeezenet", "train", voc_dir=str(folder)), tmp_path / "train.prototxt")
    net = caffe.Net(str(tmp_path / "train.prototxt"), caffe.TRAIN)
    net.copy_from(str(WEIGHTS))
    surgery.interp(net, [layer for layer in net.params if layer.startswith("upscore")])
    first = net.forward()["loss"]
    assert first == pytest.approx(np.log(21), rel=1e-5)  # the scores start at zero
    net.backward()
    for layer in ("conv1", "score_fire9", "score_fire5", "score_image"):
        gradient = net.params[layer][0].diff
        assert np.isfinite(gradient).all()
        assert gradient.any() == layer.startswith("score")  # nothing passes a score of zero weights yet

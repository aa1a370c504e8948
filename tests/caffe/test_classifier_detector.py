"""caffe.Classifier and caffe.Detector: the same script in genuine Caffe and in ours, and what they refuse."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe
from tests.bvlc import run_bvlc

DEPLOY = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3
        weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 5
        weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "f" top: "prob" }
"""
SCRIPT = """
def answers(caffe, image, mean, out):
    with open("deploy.prototxt", "w") as file:
        file.write(DEPLOY)
    caffe.set_random_seed(3)
    caffe.Net("deploy.prototxt", caffe.TEST).save("w.caffemodel")
    how = dict(mean=mean.mean((1, 2)), raw_scale=255, channel_swap=(2, 1, 0))
    c = caffe.Classifier("deploy.prototxt", "w.caffemodel", image_dims=(11, 12), input_scale=0.02, **how)
    images = [image, image[:13, 2:19], image[::-1]]
    out["oversampled"], out["centre"] = c.predict(images), c.predict(images, oversample=False)
    out["dims"] = np.array([*c.crop_dims, *c.image_dims])
    c = caffe.Classifier("deploy.prototxt", "w.caffemodel", mean=mean, raw_scale=255)
    out["default_dims"] = c.predict([image], False)
    windows = [np.array(w) for w in ((2, 3, 14, 17), (0, 0, 9, 5), (5, 6, 20, 30), (18, 26, 20, 30), (7, 7, 12, 13))]
    for name, more in (("plain", {}), ("context", {"context_pad": 2}), ("zero", {"context_pad": 1, "mean": None})):
        d = caffe.Detector("deploy.prototxt", "w.caffemodel", **dict(how, **more))
        for i, window in enumerate(windows):
            out["%s_crop_%d" % (name, i)] = np.array(d.crop(caffe.io.load_image("image.png"), window))
        found = d.detect_windows([("image.png", windows[:2]), ("image.png", windows[2:])])
        assert [set(f) for f in found] == [{"window", "prediction", "filename"}] * 5
        assert [f["window"].tolist() for f in found] == [w.tolist() for w in windows]
        out[name] = np.array([f["prediction"] for f in found])
"""
# scikit-image without smoothing, as it was in 2015, and NumPy as it was before it refused floats as indices
OLD = """
from skimage.transform import resize

def resize_image(im, dims, interp_order=1):
    im = np.asarray(im); low, high = im.min(), im.max()
    if low == high: return np.full(tuple(dims) + im.shape[2:], low, np.float32)
    unit = resize((im - low) / (high - low), tuple(int(d) for d in dims), order=1, mode="constant",
                  anti_aliasing=False)
    return (unit * (high - low) + low).astype(np.float32)

class Old(np.ndarray):
    def __getitem__(self, key):
        whole = lambda s: slice(*(None if e is None else int(e) for e in (s.start, s.stop, s.step)))
        return np.ndarray.__getitem__(self, tuple(whole(s) for s in key)
                                      if isinstance(key, tuple) and all(isinstance(s, slice) for s in key) else key)

caffe.io.resize_image = resize_image
caffe.io.load_image = lambda name: inp["image"].view(Old)
answers(caffe, inp["image"], inp["mean"], out)
"""
TEXT = f"DEPLOY = {DEPLOY!r}\n{SCRIPT}"


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("image.png")
    Path("deploy.prototxt").write_text(DEPLOY)
    return pixels.astype(np.float32) / 255


def test_oracle_classifier_and_detector(place):
    mean = np.random.default_rng(1).random((3, 8, 8)) * 100
    space = {"np": np}
    exec(TEXT, space)
    ours = {}
    space["answers"](caffe, place, mean, ours)
    theirs = run_bvlc(TEXT + OLD, image=place, mean=mean)
    assert list(ours) == list(theirs) and len(theirs) == 22
    assert theirs["oversampled"].shape == (3, 5) and theirs["context_crop_3"].shape == (8, 8, 3)
    for name, want in theirs.items():
        assert ours[name].shape == want.shape, name
        np.testing.assert_allclose(ours[name], want, rtol=0, atol=2e-6, err_msg=name)


def test_predict_is_the_mean_over_ten_crops():
    c = caffe.Classifier("deploy.prototxt", None, image_dims=[10, 9])
    image = np.random.default_rng(2).random((10, 9, 3)).astype(np.float32)
    crops = caffe.io.oversample([image], (8, 8)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(c.predict([image])[0], c.forward_all(data=crops)["prob"].mean(0), atol=1e-6)
    assert tuple(c.image_dims) == (10, 9) and isinstance(c, caffe.Net)
    assert c.transformer.transpose["data"] == (2, 0, 1)


def test_what_classifiers_refuse():
    with pytest.raises(ValueError, match="got no images"):
        caffe.Classifier("deploy.prototxt", None).predict([])
    small = caffe.Classifier("deploy.prototxt", None, image_dims=(8, 6))
    for oversample in (True, False):
        with pytest.raises(ValueError, match="do not fit"):
            small.predict([np.zeros((9, 9, 3), np.float32)], oversample)
    with pytest.raises(ValueError, match="Mean channels incompatible"):
        caffe.Classifier("deploy.prototxt", None, mean=np.zeros(4))


IMAGE = np.random.default_rng(0).random((12, 14, 3)).astype(np.float32)


@pytest.mark.parametrize("oversample", [True, False])
@pytest.mark.parametrize(("images", "error", "words"), [
    (IMAGE, IndexError, r"image 0 of the list has shape \(14, 3\), want height x width x channels; pass "
                        r"one image as \[image\]"),
    (IMAGE.tolist(), IndexError, "one image as"), ([IMAGE[..., 0]], IndexError, r"shape \(12, 14\)"),
    (IMAGE[..., 0], IndexError, r"shape \(14,\)"), ([IMAGE, IMAGE[..., 0]], IndexError, "image 1 of the list"),
    ([5], IndexError, r"shape \(\)"), ([IMAGE[np.newaxis]], ValueError, r"shape \(1, 12, 14, 3\)"),
    (["x.jpg"], TypeError, "image 0 is str"), ("x.jpg", TypeError, "got str, want a list"),
    (None, TypeError, "got NoneType"), ([None], TypeError, "image 0 is NoneType"),
    ([IMAGE, IMAGE[..., :2]], ValueError, "image 1 has 2 channels, the first 3"),
    ([IMAGE[..., :2]], ValueError, r"Input 'data' wants numbers of shape \(2, 3, 8, 8\)")])
def test_too_few_axes(images, error, words, oversample):
    with pytest.raises(error, match=words):
        caffe.Classifier("deploy.prototxt", None).predict(images, oversample)


def test_a_grey_image_behind_one_of_colours_shows_in_all_channels():
    # Caffe: images are assigned to an array of the first one's channels. classifier.py
    c, grey = caffe.Classifier("deploy.prototxt", None), IMAGE[..., :1]
    np.testing.assert_array_equal(c.predict([IMAGE, grey])[1], c.predict([np.tile(grey, 3)])[0])


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda d: d.crop(IMAGE, (0, 0, 5)), ValueError, r"got the window \(0, 0, 5\), want \(ymin, xmin, ymax, xmax\)"),
    (lambda d: d.crop(IMAGE, 5), ValueError, "got the window 5"),
    (lambda d: d.detect_windows([("image.png", (0, 0, 5, 5))]), ValueError, "for each image a list of them"),
    (lambda d: d.crop(IMAGE[np.newaxis], (0, 0, 1, 1)), ValueError, r"shape \(1, 12, 14, 3\)"),
    (lambda d: d.transformer.preprocess("data", d.crop(IMAGE[..., 0], (0, 0, 5, 5))), RuntimeError, r"shape \(5, 5\)"),
    (lambda d: caffe.Classifier("deploy.prototxt", None, image_dims=5), TypeError, "got image_dims 5, want"),
])
def test_windows_and_sizes_of_other_counts(place, call, error, words):
    with pytest.raises(error, match=words):
        call(caffe.Detector("deploy.prototxt", None))


def test_detector_fills_with_the_mean_outside_the_image(place):
    mean = np.array([10., 20., 30.])
    d = caffe.Detector("deploy.prototxt", None, mean=mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)
    crop = d.crop(place, (0, 0, 7, 7))  # widened to 15 x 15 from (-4, -4): 8 / 16 of a pixel each
    assert crop.shape == (8, 8, 3)
    np.testing.assert_allclose(crop[0, 0] * 255, [30, 20, 10], rtol=1e-6)  # RGB again
    np.testing.assert_allclose(crop[:, 1], np.broadcast_to(crop[0, 0], (8, 3)))
    assert not np.allclose(crop[4, 4], crop[0, 0])


def test_detector_without_windows_and_with_windows_outside(place):
    for pad in (None, 2):
        d = caffe.Detector("deploy.prototxt", None, context_pad=pad)
        assert d.detect_windows([]) == d.detect_windows([("image.png", [])]) == []
        with pytest.raises(ValueError, match=r"window \(90, 90, 95, 95\) contains nothing of an image of \(20, 30\)"):
            d.crop(place, (90, 90, 95, 95))
        with pytest.raises(FileNotFoundError):
            d.detect_windows([("none.png", [(0, 0, 5, 5)])])


def test_selective_search_is_an_external_module(monkeypatch):
    d = caffe.Detector("deploy.prototxt", None)
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", None)
    with pytest.raises(ImportError, match="needs the module selective_search_ijcv_with_python .*pass windows to"):
        d.detect_selective_search(["image.png"])
    module = types.ModuleType("selective_search_ijcv_with_python")
    module.get_windows = lambda names, cmd: [np.array([[0, 0, 5, 5], [1, 2, 9, 9]]) for _ in names]
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", module)
    found = d.detect_selective_search(["image.png"])
    assert len(found) == 2 and found[0]["filename"] == str(Path("image.png").absolute())

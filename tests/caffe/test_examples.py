"""The examples under docs/examples, shortened: each learns or computes what its page says."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples"
SHARED = FOLDER.parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def examples():
    """The examples' modules, which import each other by name as scripts of one folder do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        patch.setenv("GLOG_minloglevel", "2")
        yield importlib.import_module


@pytest.fixture(scope="module")
def trained(examples, tmp_path_factory):
    out = tmp_path_factory.mktemp("examples")
    return out, examples("lenet").main(out, iterations=120, every=120, examples=1500)


def is_figure(path):
    with Image.open(path) as image:
        assert min(image.size) > 200 and np.ptp(np.asarray(image.convert("L"))) > 200


def test_lenet_learns_digits(trained):
    out, result = trained
    assert result["accuracy"] > 0.9 and result["loss"] < 0.4
    is_figure(out / "lenet.png")


def test_net_surgery_casts_inner_products_and_edits_a_filter(examples, trained):
    out = trained[0]
    result = examples("net_surgery").main(out)
    assert result["places"] == 36 and result["difference"] < 1e-5
    assert np.equal(result["found"], result["digits"]).sum() >= 5
    is_figure(out / "net_surgery.png")
    net = caffe.Net(str(out / "lenet_deploy.prototxt"), caffe.TEST, weights=str(out / "lenet.caffemodel"))
    ramp = np.tile(np.arange(28.), (28, 1))
    before, after = examples("net_surgery").edited(net, ramp.T)
    np.testing.assert_allclose(after, -8 * 16 / 48, rtol=1e-4)  # 0*1 + 1*2 - 3*2 - 4*1, times 1 + 4 + 6 + 4 + 1
    assert np.abs(before - after).max() > 0.1
    net.params["conv1"][0].data[0, 0] = 0
    np.testing.assert_allclose(examples("net_surgery").edited(net, ramp)[1], 0, atol=1e-4)  # no edge that way


def test_siamese_puts_equal_digits_near(examples, trained):
    out = trained[0]
    result = examples("siamese").main(out, iterations=60, examples=1500)
    assert result["one set of weights"] and result["nearest is equal"] > 0.4
    assert result["distance of others"] > 2 * result["distance of equal digits"]
    is_figure(out / "siamese.png")


def test_fine_tuning_beats_starting_anew(examples, trained):
    out = trained[0]
    result = examples("fine_tuning").main(out, iterations=30)
    assert not result["renamed layer was copied"]
    assert result["fine-tuned"] > result["from scratch"] + 0.05 and result["fine-tuned"] > 0.5
    is_figure(out / "fine_tuning.png")


def test_classification_by_a_net_whose_answer_is_known(examples, tmp_path):
    """It tells which third of the picture is the reddest."""
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 6 dim: 6 } } }\n'
        'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 1 '
        "kernel_size: 1 } }\n"
        'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_h: 2 '
        "kernel_w: 6 stride_h: 2 stride_w: 1 } }\n"
        'layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }\n'
        'layer { name: "prob" type: "Softmax" bottom: "flat" top: "prob" }\n')
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.params["conv"][0].data[0, :, 0, 0] = 0, 0, 0.01  # of blue, green, red
    net.save(str(tmp_path / "w.caffemodel"))
    photo = np.zeros((12, 12, 3), np.uint8)
    photo[8:, :, 0] = 255
    photo[:4, :, 2] = 255
    Image.fromarray(photo).save(tmp_path / "p.png")
    result = examples("classification").main(tmp_path, *(str(tmp_path / name) for name in (
        "net.prototxt", "w.caffemodel", "p.png")))
    other = 1 / (np.exp(2.55) + 2)
    assert result["best"][0] == (2, pytest.approx(1 - 2 * other, abs=1e-4))
    assert dict(result["best"][1:]) == pytest.approx({0: other, 1: other}, abs=1e-4)
    is_figure(tmp_path / "classification.png")


@pytest.mark.data
def test_classification_of_a_photograph_by_squeezenet(examples, tmp_path):
    files = [SHARED / "squeezenet" / "deploy.prototxt", SHARED / "squeezenet" / "squeezenet_v1.0.caffemodel",
             SHARED / "VOC2011" / "JPEGImages" / "2007_000033.jpg"]
    missing = [str(path) for path in files if not path.exists()]
    if missing:
        pytest.skip(f"needs {os.path.relpath(missing[0])}")
    result = examples("classification").main(tmp_path, *map(str, files))
    assert result["best"][0][0] == result["by ten crops"][0][0] == 404  # airliner
    assert result["best"][0][1] > 0.9

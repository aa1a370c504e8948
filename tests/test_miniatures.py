"""The miniature data sets have the files, forms and values of the real ones."""

from __future__ import annotations

import miniatures
import numpy as np
import scipy.io
from PIL import Image


def ids(path):
    return path.read_text().split()


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image


def test_voc_and_sbdd(tmp_path):
    voc, sbdd = miniatures.voc(tmp_path), miniatures.sbdd(tmp_path)
    assert (voc, sbdd) == (tmp_path / "data/pascal/VOC2011", tmp_path / "data/sbdd/dataset")
    assert (len(ids(voc / "ImageSets/Segmentation/train.txt")), len(ids(sbdd / "train.txt"))) == (4, 4)
    for name in ids(voc / "ImageSets/Segmentation/seg11valid.txt"):
        label = opened(voc / f"SegmentationClass/{name}.png")
        assert label.mode == "P" and label.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
        assert 255 in np.unique(label) and np.unique(label)[-2] < 21
        assert opened(voc / f"JPEGImages/{name}.jpg").size == label.size
    label = scipy.io.loadmat(sbdd / "cls/2008_000002.mat")["GTcls"][0]["Segmentation"][0]
    assert label.dtype == np.uint8 and label.shape == (40, 50) and label.max() < 21


def test_context(tmp_path):
    folder = miniatures.context(tmp_path)
    assert [len(ids(tmp_path / f"data/pascal/VOC2010/ImageSets/Main/{split}.txt")) for split in ("train", "val")] == [
        4, 2]
    long = (folder / "labels.txt").read_text().splitlines()
    assert len(long) == 459 and long[1] == "2: aeroplane" and long[396] == "397: table" and long[18] == "19: bedclothes"
    assert len((folder / "59_labels.txt").read_text().splitlines()) == 59
    assert (folder / "59_labels.txt").read_text().splitlines()[10] == "11: diningtable"
    assert len((folder / "33_labels.txt").read_text().splitlines()) == 33
    label = scipy.io.loadmat(folder / "trainval/2008_000008.mat")["LabelMap"]
    assert label.dtype == np.uint16 and 1 <= label.min() and 255 < label.max() <= 459


def test_nyud(tmp_path):
    folder = miniatures.nyud(tmp_path)
    assert [len(ids(folder / f"{split}.txt")) for split in ("train", "val", "trainval", "test")] == [3, 1, 4, 2]
    depth = opened(folder / "data/depth/img_5001.png")
    assert depth.mode == "I;16" and depth.size == (56, 42) and np.asarray(depth).min() >= 900
    assert opened(folder / "data/hha/img_5001.png").mode == "RGB"
    label = scipy.io.loadmat(folder / "segmentation/img_5001.mat")["segmentation"]
    assert label.dtype == np.uint8 and label.min() == 0 and label.max() <= 40


def test_siftflow(tmp_path):
    folder = miniatures.siftflow(tmp_path)
    assert [len(ids(folder / f"{split}.txt")) for split in ("trainval", "test")] == [4, 2]
    semantic, geometric = (scipy.io.loadmat(folder / kind / miniatures.SCENES / "coast_bea1.mat")["S"]
                           for kind in ("SemanticLabels", "GeoLabels"))
    assert semantic.min() == 0 and semantic.max() <= 33
    assert set(np.unique(geometric)) <= {-1, 1, 2, 3} and geometric.min() == -1


def test_they_are_the_same_every_time(tmp_path):
    for make in (miniatures.voc, miniatures.sbdd, miniatures.context, miniatures.nyud, miniatures.siftflow):
        one, two = make(tmp_path / "one"), make(tmp_path / "two")
        for path in one.rglob("*.*"):
            if path.suffix in (".jpg", ".png", ".txt"):
                assert path.read_bytes() == (two / path.relative_to(one)).read_bytes(), path

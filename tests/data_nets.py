"""Tiny data sets on disk and nets that consist of a data layer, for the tests of layers/.

In:   a folder; how many items.
Out:  image and label files whose every value is known; a caffe.Net.
Not here: any test.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import caffe

MEAN = (104.00699, 116.66877, 122.67892)
PY2_FIRST_OF_8498 = [5249, 4531, 3108, 4978, 1408, 7005]  # random.randint of Python 2.7, seed 1337


def save_palette(path: Path, label: np.ndarray) -> None:
    """Save (H, W) classes as a palette PNG whose colours say nothing about the classes."""
    image = Image.fromarray(label.astype(np.uint8)).convert("L")
    image = image.copy()
    image.putpalette([(7 * i) % 256 for i in range(768)])
    assert image.mode == "P"
    image.save(path)


def make_voc(root: Path, n: int, split: str = "train", size: tuple[int, int] = (6, 9)) -> list[str]:
    """Make n items in VOC layout; item i has pixels of its own and class i % 21 in its first row.

    Images are lossless PNG content under the name .jpg, so that every pixel can be checked.
    """
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    ids = [f"2007_{i:06d}" for i in range(n)]
    rng = np.random.RandomState(0)
    for i, name in enumerate(ids):
        h, w = size[0] + i % 3, size[1] + i % 2
        pixels = rng.randint(0, 256, (h, w, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg", format="PNG")
        label = rng.randint(0, 21, (h, w))
        label[0], label[-1] = i % 21, 255
        save_palette(root / "SegmentationClass" / f"{name}.png", label)
    write_split(root, split, ids)
    return ids


def write_split(root: Path, split: str, ids: list[str]) -> None:
    """Write a list of ids."""
    (root / "ImageSets/Segmentation" / f"{split}.txt").write_text("\n".join(ids) + "\n")


def expected_data(root: Path, name: str) -> np.ndarray:
    """Preprocess an image as the release's description says, step by step: (1, 3, H, W) float32."""
    in_rgb = np.array(Image.open(root / "JPEGImages" / f"{name}.jpg"), dtype=np.float32)
    in_bgr = in_rgb[:, :, ::-1].copy()
    in_bgr -= np.array(MEAN)
    return in_bgr.transpose(2, 0, 1)[np.newaxis]


def expected_label(root: Path, name: str) -> np.ndarray:
    """Read a label's indices: (1, 1, H, W)."""
    return np.array(Image.open(root / "SegmentationClass" / f"{name}.png"))[np.newaxis, np.newaxis]


def layer_text(layer: str, param_str: str, module: str = "voc_layers", tops: str = "data label",
               bottoms: str = "") -> str:
    """Write a Python layer as prototxt."""
    escaped = param_str.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    links = "".join(f' top: "{top}"' for top in tops.split())
    links += "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    return (f'layer {{ name: "data" type: "Python"{links} python_param {{ module: "{module}" '
            f'layer: "{layer}" param_str: "{escaped}" }} }}\n')


def net_of(folder: Path, text: str, phase: int = caffe.TEST) -> caffe.Net:
    """Build a net from prototxt text."""
    path = folder / "net.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), phase)


def voc_net(root: Path, **params: object) -> caffe.Net:
    """Build a net of one VOCSegDataLayer."""
    settings = dict(voc_dir=str(root), split="train", mean=MEAN, seed=1337)
    settings.update(params)
    return net_of(root, layer_text("VOCSegDataLayer", repr(settings)))


def passes(net: caffe.Net, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Run n forward passes; copies of data and label of each."""
    found = []
    for _ in range(n):
        net.forward()
        found.append((net.blobs["data"].data.copy(), net.blobs["label"].data.copy()))
    return found

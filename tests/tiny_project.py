"""A project in a temporary folder: one tiny net that can be worked out by hand, its record, its data.

In:   a folder.
Out:  models/tiny/{deploy,val}.prototxt, tiny.caffemodel, tiny.json; data/ in VOC devkit layout.
Not here: what the commands must make of it (test_infer.py, test_score.py).

The net sees (pixel - 100) / 100 and scores background 0, red its red value, blue its blue value: so black
is background, pure red is `red`, pure blue `blue`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import caffe
from nets.record import Record, save_record

CLASSES = ("background", "red", "blue")
MEAN, SCALE = (100.0, 100.0, 100.0), 0.01
BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)
SCORE = """
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
"""
DEPLOY = """name: "tiny"
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
""" + SCORE
VAL = """name: "tiny"
layer { name: "data" type: "Python" top: "data" top: "label"
  python_param { module: "voc_layers" layer: "VOCSegDataLayer"
    param_str: "{'voc_dir': 'data', 'seed': 1337, 'split': 'seg11valid', 'mean': (100, 100, 100), 'scale': 0.01}" } }
""" + SCORE + """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 normalize: true } }
"""


def make_net(root: Path, *, name: str = "tiny", dead: bool = False, mean_iu: float = 0.5) -> Path:
    """Write models/NAME with weights and record; gives the caffemodel's path."""
    folder = root / "models" / name
    folder.mkdir(parents=True)
    (folder / "deploy.prototxt").write_text(DEPLOY)
    (folder / "val.prototxt").write_text(VAL)
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    weights = np.zeros((3, 3, 1, 1), np.float32)
    if not dead:
        weights[1, 2] = weights[2, 0] = 1  # BGR: red is channel 2, blue channel 0
    net.params["score"][0].data[...] = weights
    net.params["score"][1].data[...] = 0
    path = folder / f"{name}.caffemodel"
    net.save(str(path))
    save_record(Record(net=name, deploy=f"models/{name}/deploy.prototxt",
                       weights=f"models/{name}/{name}.caffemodel", classes=CLASSES, mean_bgr=MEAN,
                       scale=SCALE, iteration=7, scores={"mean_iu": mean_iu}), path)
    return path


def picture(rows: list) -> np.ndarray:
    """(H, W, 3) uint8 of a list of rows of colours."""
    return np.array(rows, np.uint8)


def make_data(root: Path, **items: tuple) -> None:
    """Write data/ with a split seg11valid of (image array, label array) items; images as PNG inside .jpg.

    PIL reads a file by its contents, so the pixels stay exact.
    """
    data = root / "data"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (data / folder).mkdir(parents=True)
    for name, (image, label) in items.items():
        Image.fromarray(np.asarray(image, np.uint8)).save(data / "JPEGImages" / f"{name}.jpg", format="PNG")
        Image.fromarray(np.asarray(label, np.uint8)).save(data / "SegmentationClass" / f"{name}.png")
    (data / "ImageSets/Segmentation/seg11valid.txt").write_text("".join(f"{name}\n" for name in items))

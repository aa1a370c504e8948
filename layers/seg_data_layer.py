"""Data layer for segmentation: one image and its label a pass, done once for all data sets.

In:   an image file and a label for each id of a split (from the subclass).
Out:  tops data (1, 3, H, W) float32 BGR less the mean, label (1, 1, H, W) with classes and 255.
Not here: threads (read_ahead_layer.py), where a data set keeps its files (voc_layers.py).
Source: the FCN release's data layers; `mirror`, `scale`, `start` and `classes` are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from draw_order import coin_tosses, draws, in_file_order, with_replacement
from image_files import bgr_bytes, check_label, less_mean, read_image, read_lines
from param_str import CLASSES, FACTOR, FLAG, MEAN, REQUIRED, SEED, START, TEXT
from PIL import Image
from read_ahead_layer import Item, ReadAheadLayer


class SegDataLayer(ReadAheadLayer):
    """Images and labels of one split, one pair a forward pass.

    param_str keys besides the folder (`dir_key`):
        split: name of the list of ids. Unless it has `train` in it, `randomize` is off.
        mean: (blue, green, red), subtracted from pixels in 0 ... 255.
        randomize: draw with replacement (default True), else in file order, again and again.
        seed: of the draws (default None, from the system); the order is Python 2's, as in the
            release.
        mirror: toss a coin for each image whether it is flipped left to right (default False).
        scale: multiplies the image after the mean is gone (default 1).
        start: how many passes an earlier run has made; the draws go on after them (default 0).
        classes: labels have values 0 ... classes - 1 and 255 (default 21).
    """

    dir_key = ""  # the param_str key of the data set's folder

    @property
    def keys(self) -> dict[str, tuple[Any, Any]]:  # type: ignore[override]
        """The keys of param_str with their checks and defaults."""
        return {self.dir_key: (TEXT, REQUIRED), "split": (TEXT, REQUIRED), "mean": (MEAN, REQUIRED),
                "randomize": (FLAG, True), "seed": (SEED, None), "mirror": (FLAG, False),
                "scale": (FACTOR, 1), "start": (START, 0), "classes": (CLASSES, 21)}

    def open(self, params: dict[str, Any]) -> None:
        """Read the split's list and prepare the draws."""
        self.dir = params[self.dir_key]
        self.split = params["split"]
        self.mean = np.array(params["mean"], np.float64)
        self.scale = params["scale"]
        self.classes = params["classes"]
        self.seed = params["seed"]
        self.random = params["randomize"] and "train" in self.split
        self.indices = read_lines(self.split_file(), f"{type(self).__name__}: the list of ids",
                                  f"check {self.dir_key} and split; `python -m data` says what "
                                  f"comes from where")
        n = len(self.indices)
        order = with_replacement(n, self.seed) if self.random else in_file_order(n)
        self._draws = draws(order, coin_tosses(params["mirror"], self.seed), params["start"])

    def next_key(self) -> tuple[int, bool]:
        """Draw the next index and whether it is mirrored; `idx` is the index."""
        self.idx, mirrored = next(self._draws)
        return self.idx, mirrored

    def load(self, key: tuple[int, bool]) -> Item:  # type: ignore[override]
        """Read one image and its label."""
        index, mirrored = key
        name = self.indices[index]
        image, image_notes = read_image(self.image_file(name))
        label, label_notes = check_label(self.read_label(name), (image.height, image.width),
                                         self.classes, self.label_file(name))
        data = self._data(image)
        if mirrored:
            data, label = data[..., ::-1], label[..., ::-1]
        return Item((data[np.newaxis], label[np.newaxis]), image_notes + label_notes)

    def load_image(self, idx: str) -> np.ndarray:
        """Read the image with the id `idx`, as the released method did: (3, H, W) float32."""
        image, _ = read_image(self.image_file(idx))
        return self._data(image)

    def load_label(self, idx: str) -> np.ndarray:
        """Read the label with the id `idx`, as the released method did: (1, H, W) uint8."""
        label = self.read_label(idx)
        return check_label(label, label.shape, self.classes, self.label_file(idx))[0]

    def _data(self, image: Image.Image) -> np.ndarray:
        """What the net sees of an RGB image: (3, H, W) float32."""
        data = np.empty((3, image.height, image.width), np.float32)
        less_mean(bgr_bytes(image), self.mean, self.scale, data)
        return data

    def split_file(self) -> str:
        """Path of the list of ids (subclass)."""
        raise NotImplementedError

    def image_file(self, name: str) -> str:
        """Path of the image with this id (subclass)."""
        raise NotImplementedError

    def label_file(self, name: str) -> str:
        """Path of the label with this id (subclass)."""
        raise NotImplementedError

    def read_label(self, name: str) -> np.ndarray:
        """Read a label file as (H, W) integers (subclass)."""
        raise NotImplementedError

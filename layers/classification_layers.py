"""Data layer for classification: batches of whole images of one size, one class each.

In:   a list with lines `name label`, names relative to a root folder.
Out:  ClassificationDataLayer: tops data (N, 3, H, W) float32 BGR less the mean, label (N).
Not here: threads (read_ahead_layer.py), cropping and resizing.
Source: the words are those of Caffe's ImageData layer (list file, root, batch, mirror) and of the
      FCN
release's data layers (seed, mean).
"""

from __future__ import annotations

import os
from typing import Any

import draw_order
import numpy as np
from image_files import bgr_bytes, less_mean, read_image, read_lines
from param_str import COUNT, FACTOR, FLAG, MEAN, REQUIRED, SEED, START, TEXT, DataLayerError
from read_ahead_layer import Item, ReadAheadLayer

Key = tuple[draw_order.Draw, ...]  # one for each image of a batch


class ClassificationDataLayer(ReadAheadLayer):
    """Images with one label each, a batch a forward pass.

    param_str keys:
        root: folder that the names in the list are relative to.
        list: path of the file with lines `name label`. Unless its name has `train` in it,
            `randomize` is off.
        batch: images a pass; batches run on over the end of the list.
        mean: (blue, green, red), subtracted from pixels in 0 ... 255.
        randomize: a new permutation in every epoch (default True), else file order, again and
            again.
        seed: of the permutations (default None, from the system).
        mirror: toss a coin for each image whether it is flipped left to right (default False).
        scale: multiplies the image after the mean is gone (default 1).
        start: how many passes an earlier run has made; the draws go on after them (default 0).
        cache: keep decoded images in memory, a byte a pixel and channel (default False).
    """

    keys = {"root": (TEXT, REQUIRED), "list": (TEXT, REQUIRED), "batch": (COUNT, REQUIRED),
            "mean": (MEAN, REQUIRED), "randomize": (FLAG, True), "seed": (SEED, None),
            "mirror": (FLAG, False), "scale": (FACTOR, 1), "start": (START, 0),
            "cache": (FLAG, False)}

    def open(self, params: dict[str, Any]) -> None:
        """Read the list and prepare the draws."""
        self.root, self.batch = params["root"], params["batch"]
        self.mean = np.array(params["mean"], np.float64)
        self.scale = params["scale"]
        self.list_file = params["list"]
        self.names, self.labels = self._read_list()
        self.random = params["randomize"] and "train" in os.path.basename(self.list_file)
        self._cached: dict[int, np.ndarray] = {}
        self._cache = params["cache"]
        n, seed, (rank, count) = len(self.names), params["seed"], self.place()
        order = draw_order.in_epochs(n, seed) if self.random else draw_order.in_file_order(n)
        tosses = draw_order.coin_tosses(params["mirror"], seed)
        draws = draw_order.draws(order, tosses, params["start"] * self.batch * count)
        self._passes = draw_order.dealt(draws, self.batch, rank, count)

    def next_key(self) -> Key:
        """Draw the images of the next batch."""
        return next(self._passes)

    def load(self, key: Key) -> Item:  # type: ignore[override]
        """Read a batch."""
        notes: list[str] = []
        first = self._image(key[0].idx, notes)  # (3, H, W) uint8
        data = np.empty((len(key), *first.shape), np.float32)  # (N, 3, H, W)
        for into, (index, mirrored, *_) in zip(data, key):
            image = first if index == key[0].idx else self._image(index, notes)
            if image.shape != first.shape:
                raise DataLayerError(
                    f"image '{self._path(index)}' has {image.shape[2]} x {image.shape[1]} pixels, "
                    f"'{self._path(key[0].idx)}' {first.shape[2]} x {first.shape[1]}; the images of "
                    f"a batch need one size; resize them, or set batch to 1")
            image = np.ascontiguousarray(image[..., ::-1]) if mirrored else image
            less_mean(image, self.mean, self.scale, into)
        label = np.array([self.labels[draw.idx] for draw in key], np.float32)  # (N,)
        return Item((data, label), tuple(notes))

    def _image(self, index: int, notes: list[str]) -> np.ndarray:
        """Read an image as (3, H, W) uint8 BGR, or take it from the cache."""
        if index in self._cached:
            return self._cached[index]
        rgb, found = read_image(self._path(index))
        notes.extend(found)
        image = bgr_bytes(rgb)
        if self._cache:
            self._cached[index] = image
        return image

    def _path(self, index: int) -> str:
        return os.path.join(self.root, self.names[index])

    def _read_list(self) -> tuple[list[str], list[int]]:
        """Read names and labels."""
        what = f"{type(self).__name__}: the list of images"
        lines = read_lines(self.list_file, what, "check root and list; `python -m data check NAME` says what "
                                                 "comes from where")
        names, labels = [], []
        for line in lines:
            name, _, label = line.rpartition(" ")
            if not name or not label.isdecimal():
                raise DataLayerError(f"{what} '{self.list_file}' has the line {line[:80]!r}; it "
                                     f"wants `name label` with a label from 0 up")
            names.append(name.strip())
            labels.append(int(label))
        return names, labels

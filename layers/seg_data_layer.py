"""Data layer for segmentation: images and labels of one split, done once for all data sets.

In:   for each id of a split an image file or several, and label files (where they lie: from the subclass).
Out:  tops by name: images (N, C, H, W) float32 less the mean, labels (N, 1, H, W) with classes and 255; N is 1 as
    released, or `batch`.
Not here: threads (read_ahead_layer.py), order (draw_order.py), options (augment.py), any one data set.
Source: the FCN release's data layers; the keys from `mirror` on are ours, and all off by default.
"""

from __future__ import annotations

from typing import Any

import augment
import draw_order
import numpy as np
from draw_order import Draw
from image_files import IGNORE, bgr_bytes, check_label, less_mean, read_ids, read_image
from param_str import (
    COUNT,
    FACTOR,
    FLAG,
    PIXELS,
    REQUIRED,
    SEED,
    SHARD,
    SHARE,
    START,
    TEXT,
    WINDOW,
    Check,
    DataLayerError,
    one_of,
)
from read_ahead_layer import Item, ReadAheadLayer

Notes = tuple[str, ...]  # warnings that name a file
OPTIONS: dict[str, tuple[Check, Any]] = {
    "randomize": (FLAG, True), "seed": (SEED, None), "mirror": (FLAG, False), "scale": (FACTOR, 1),
    "start": (START, 0), "batch": (COUNT, 1), "jitter": (PIXELS, 0), "crop": (WINDOW, None),
    "loss_sampling": (SHARE, 1), "cache": (FLAG, False), "shard": (SHARD, None)}
MASK: dict[str, tuple[Check, Any]] = {"mask": (one_of(None, *augment.MASKS), None)}  # for sets with a background


class SegDataLayer(ReadAheadLayer):
    """Images and labels of one split.

    A subclass names its folders (`dir_keys`), its own keys, where the list and the files lie (`list_form`, `forms`:
    text with {key} for a folder and {id}), what its tops are, and reads a label file.

    param_str keys besides the folders:
        split: name of the list of ids. Unless it has `train` in it, `randomize` is off, and so is `crop`.
        randomize: draw with replacement (default True), else in file order, again and again.
        seed: of the draws (default None, from the system); the order is Python 2's, as in the release.
        mirror: toss a coin for each image whether it is flipped left to right (default False).
        scale: multiplies the image after the mean is gone (default 1).
        start: how many passes an earlier run has made; the draws go on after them (default 0).
        batch: images a pass (default 1); smaller ones are padded with the mean, their labels with 255.
        jitter: move image and labels by up to so many pixels each way (default 0).
        crop: (H, W) of a random window (default None, the whole image).
        loss_sampling: probability with which a pixel's label counts (default 1); else it becomes 255.
        cache: keep decoded files in memory (default False).
        shard: (number, of how many): walk only every so-manieth id, from that number on (default None, all).

    Where several processes train together, each takes the passes of its rank, in turn, of the one sequence.
    """

    dir_keys: tuple[str, ...] = ()
    own_keys: dict[str, tuple[Check, Any]] = {}
    list_form = ""
    forms: dict[str, str] = {}  # by top
    means: dict[str, tuple[float, ...]] = {}  # by top; a top without a mean is a label
    classes: dict[str, int] = {}  # by label top

    @property
    def keys(self) -> dict[str, tuple[Check, Any]]:  # type: ignore[override]
        """The keys of param_str with their checks and defaults."""
        return {**{key: (TEXT, REQUIRED) for key in self.dir_keys}, "split": (TEXT, REQUIRED), **self.own_keys,
                **OPTIONS}

    def open(self, params: dict[str, Any]) -> None:
        """Read the split's list and prepare the draws."""
        self.dirs = {key: params[key] for key in self.dir_keys}
        self.split, self.seed = params["split"], params["seed"]
        if "mean" in params:
            self.means = {"data": params["mean"]}
        if "classes" in params:
            self.classes = dict.fromkeys(self.classes, params["classes"])
        self.options = params
        self.random = params["randomize"] and "train" in self.split
        self.crop = params["crop"] if "train" in self.split else None
        self.indices = read_ids(self.split_file(), f"{type(self).__name__}: the list of ids",
                                f"check {self.dir_keys[0]} and split; "
                                "`python -m data check NAME` says what comes from where")
        if params["shard"]:
            number, count = params["shard"]
            if count > len(self.indices):
                raise DataLayerError(f"{type(self).__name__}: split '{self.split}' has {len(self.indices)} ids and is "
                                     f"to be shared out to {count} processes; want at most one for each id")
            self.indices = self.indices[number::count]
        self._kept: dict[int, list[np.ndarray]] = {}
        rank, count = self.place()
        self._passes = draw_order.dealt(self._prepare_draws(params, count), params["batch"], rank, count)

    def _prepare_draws(self, params: dict[str, Any], count: int) -> Any:
        """Give the endless draws of all `count` processes, after those that an earlier run has used."""
        n, seed = len(self.indices), params["seed"]
        order = draw_order.with_replacement(n, seed) if self.random else draw_order.in_file_order(n)
        return draw_order.draws(
            order, draw_order.coin_tosses(params["mirror"], seed), params["start"] * params["batch"] * count,
            draw_order.shifts(params["jitter"], seed), draw_order.windows(self.crop is not None, seed),
            draw_order.noises(params["loss_sampling"] < 1, seed))

    def next_key(self) -> tuple[Draw, ...]:
        """Draw the next items; `idx` is the index of the first."""
        key = next(self._passes)
        self.idx = key[0].idx
        return key

    def load(self, key: tuple[Draw, ...]) -> Item:  # type: ignore[override]
        """Read the items of a pass and put each top's together."""
        notes: list[str] = []
        items = [self._arranged(draw, notes) for draw in key]
        arrays = (augment.batched(of_top, self._fill(top)) for top, of_top in zip(self.top_names, zip(*items)))
        return Item(tuple(arrays), tuple(notes))

    def _arranged(self, draw: Draw, notes: list[str]) -> list[np.ndarray]:
        """Prepare an item and do what was drawn for it, to all its tops alike."""
        item = [self.prepare(top, array) for top, array in zip(self.top_names, self._read_all(draw.idx, notes))]
        which, share = self.options.get("mask"), self.options["loss_sampling"]
        if which and "label" in self.top_names:
            label = item[self.top_names.index("label")]
            item = [augment.masked(array, label, which) if top in self.means else array
                    for top, array in zip(self.top_names, item)]
        if draw.shift != (0, 0):
            item = [augment.moved(array, draw.shift, self._fill(top)) for top, array in zip(self.top_names, item)]
        if self.crop:
            item = [augment.cropped(array, self.crop, draw.window) for array in item]
        if draw.mirrored:
            item = [array[..., ::-1] for array in item]
        if share < 1:
            item = [array if top in self.means else augment.sampled(array, share, draw.noise)
                    for top, array in zip(self.top_names, item)]
        return item

    def _fill(self, top: str) -> int:
        return 0 if top in self.means else IGNORE

    def _read_all(self, index: int, notes: list[str]) -> list[np.ndarray]:
        """Read what each top shows of an item, all of one size, or take it from memory."""
        if index in self._kept:
            return self._kept[index]
        name = self.indices[index]
        item: list[np.ndarray] = []
        for top in self.top_names:
            array, found = self.read(top, name, item[0].shape[1:] if item else None)
            item.append(array)
            notes.extend(found)
        if self.options["cache"]:
            self._kept[index] = item
        return item

    def read(self, top: str, name: str, size: tuple | None = None) -> tuple[np.ndarray, Notes]:
        """Read what a top shows of the id `name`, as it is on disk: (C, H, W) uint8, images in BGR; and warnings.

        Raises:
            DataLayerError: a file that cannot be used, or is not of `size` (H, W).
        """
        path = self.file_of(top, name)
        if top in self.classes:
            label = self.read_label(path, top)
            return check_label(label, size or label.shape[:2], self.classes[top], path)
        image, notes = self.read_image(path, top)
        if size and image.shape[1:] != size:
            raise DataLayerError(
                f"{top} '{path}' has {image.shape[2]} x {image.shape[1]} pixels, the files of the other tops "
                f"{size[1]} x {size[0]}; make all files of an id in one size")
        return image, notes

    def read_image(self, path: str, top: str) -> tuple[np.ndarray, Notes]:
        """Read a colour image as (3, H, W) uint8 in BGR order, and warnings (subclass: other kinds of image)."""
        image, notes = read_image(path)
        return bgr_bytes(image), notes

    def read_label(self, path: str, top: str) -> np.ndarray:
        """Read a label file as (H, W) class indices and 255 (subclass)."""
        raise NotImplementedError

    def prepare(self, top: str, array: np.ndarray) -> np.ndarray:
        """Give what the net sees: images less the mean, times `scale`, float32; labels as they are."""
        if top not in self.means:
            return array
        data = np.empty(array.shape, np.float32)
        less_mean(array, np.array(self.means[top], np.float64), self.options["scale"], data)
        return data

    def load_image(self, idx: str) -> np.ndarray:
        """Read the image with the id `idx`, as the released method did: (3, H, W) float32."""
        return self.load_top(next(iter(self.means)), idx)

    def load_label(self, idx: str) -> np.ndarray:
        """Read the label with the id `idx`, as the released method did: (1, H, W) uint8."""
        return self.load_top(next(iter(self.classes)), idx)

    def load_top(self, top: str, idx: str) -> np.ndarray:
        """Read what a top shows of the id `idx`: (C, H, W)."""
        return self.prepare(top, self.read(top, idx)[0])

    def split_file(self) -> str:
        """Path of the list of ids."""
        return self.list_form.format(id=self.split, **self.dirs)

    def file_of(self, top: str, name: str) -> str:
        """Path of the file that a top shows of an id."""
        return self.forms[top].format(id=name, **self.dirs)

    def image_file(self, name: str) -> str:
        """Path of the image with this id."""
        return self.file_of(next(iter(self.means)), name)

    def label_file(self, name: str) -> str:
        """Path of the label with this id; of the first, where there are several."""
        return self.file_of(next(iter(self.classes)), name)

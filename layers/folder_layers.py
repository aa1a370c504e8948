"""Data layer for pairs of plain folders: images in one, labels of the same names in the other.

In:   images_dir/ID.jpg (or .png and others), labels_dir/ID.png, lists_dir/SPLIT.txt.
Out:  FolderSegDataLayer: tops data and label, one image a pass.
Not here: order, threads, preprocessing (seg_data_layer.py).
Source: ours, in the manner of voc_layers.py.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from image_files import read_label
from param_str import REQUIRED, TEXT
from seg_data_layer import SegDataLayer

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG", ".BMP", ".tif", ".tiff")


class FolderSegDataLayer(SegDataLayer):
    """Images and palette or grey labels of two folders.

    param_str: `images_dir`, `labels_dir`, `lists_dir` (with SPLIT.txt in it) and SegDataLayer's keys.
    """

    dir_key = "images_dir"

    @property
    def keys(self) -> dict[str, tuple[Any, Any]]:  # type: ignore[override]
        """The keys of param_str with their checks and defaults."""
        return {**super().keys, "labels_dir": (TEXT, REQUIRED), "lists_dir": (TEXT, REQUIRED)}

    def open(self, params: dict[str, Any]) -> None:
        """Take the folders, then read the list."""
        self.labels_dir, self.lists_dir = params["labels_dir"], params["lists_dir"]
        super().open(params)

    def split_file(self) -> str:
        """Path of the list of ids."""
        return os.path.join(self.lists_dir, f"{self.split}.txt")

    def image_file(self, name: str) -> str:
        """Path of the image with this id; of several kinds of file, the first in the order of SUFFIXES."""
        paths = [os.path.join(self.dir, name + suffix) for suffix in SUFFIXES]
        return next((path for path in paths if os.path.exists(path)), paths[0])

    def label_file(self, name: str) -> str:
        """Path of the label with this id."""
        return os.path.join(self.labels_dir, f"{name}.png")

    def read_label(self, name: str) -> np.ndarray:
        """Read a palette or grey PNG as (H, W) class indices."""
        return read_label(self.label_file(name))

"""Data layer for PASCAL-Context, under the name the released nets ask for.

In:   the folder that VOC2010 lies in, and the data set's own folder (labels.txt, 59_labels.txt, trainval/ID.mat).
Out:  PASCALContextSegDataLayer: tops data and label; class 0 is background, which is all that has no class.
Not here: order, threads, preprocessing (seg_data_layer.py); getting the data (data/).
Source: pascalcontext_layers.py of the FCN release (class name, keys, files, mean, names of classes).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from image_files import read_lines
from mat_files import read_mat
from param_str import CLASSES, DataLayerError
from seg_data_layer import MASK, SegDataLayer

ALIASES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}  # our name, that of labels.txt


class PASCALContextSegDataLayer(SegDataLayer):
    """PASCAL-Context: VOC2010/JPEGImages/ID.jpg, trainval/ID.mat, VOC2010/ImageSets/Main/SPLIT.txt.

    param_str: `voc_dir` (data/pascal), `context_dir`, `classes` (default 60: background and the 59 of 59_labels.txt;
    34 takes 33_labels.txt, K the names in (K - 1)_labels.txt), `mask`, and SegDataLayer's keys. Nothing is void.
    """

    dir_keys = ("voc_dir", "context_dir")
    own_keys = {"classes": (CLASSES, 60), **MASK}
    list_form = "{voc_dir}/VOC2010/ImageSets/Main/{id}.txt"
    forms = {"data": "{voc_dir}/VOC2010/JPEGImages/{id}.jpg", "label": "{context_dir}/trainval/{id}.mat"}
    means = {"data": (104.007, 116.669, 122.679)}
    classes = {"label": 60}

    def open(self, params: dict[str, Any]) -> None:
        """Read the split's list and the two lists of names."""
        super().open(params)
        self.class_of = _class_of(self.dirs["context_dir"], self.classes["label"])

    def read_label(self, path: str, top: str) -> np.ndarray:
        """Read LabelMap of a .mat file, one of 459 classes, as (H, W) indices of ours."""
        label, last = read_mat(path, "LabelMap"), len(self.class_of) - 1
        low, high = int(label.min()), int(label.max())
        if low < 0 or high > last:
            raise DataLayerError(f"label '{path}' has the value {low if low < 0 else high}; it wants 1 to {last}, the "
                                 f"lines of labels.txt; correct the label, or fetch labels.txt again")
        return self.class_of[label]


def _class_of(folder: str, classes: int) -> np.ndarray:
    """Give our class, uint8, of each line of labels.txt, counted from 1; the rest is background.

    Raises:
        DataLayerError: a list is missing or broken, has another number of names, or one that labels.txt has not.
    """
    short = os.path.join(folder, f"{classes - 1}_labels.txt")
    known = {name: place for place, name in enumerate(_names(os.path.join(folder, "labels.txt")), start=1)}
    names = _names(short)
    if len(names) != classes - 1:
        raise DataLayerError(f"the list of classes '{short}' has {len(names)} names; it wants {classes - 1}, without "
                             f"background; fetch it again, or correct `classes` in param_str")
    class_of = np.zeros(max(known.values()) + 1, np.uint8)
    for k, name in enumerate(names, start=1):
        place = known.get(ALIASES.get(name, name))
        if place is None:
            raise DataLayerError(f"the list of classes '{short}' has '{name}', which labels.txt beside it has not; it "
                                 f"wants names of labels.txt, without background; fetch both again")
        class_of[place] = k
    return class_of


def _names(path: str) -> list[str]:
    """Read lines `number: name`; it is the line's place that counts, as in the release."""
    lines = read_lines(path, "the list of labels", "`python -m data check pascalcontext` says where it is from")
    names = []
    for line in lines:
        number, colon, name = line.partition(":")
        if not colon or not number.strip().isdecimal() or not name.strip():
            raise DataLayerError(f"the list of labels '{path}' has the line {line[:80]!r}; it wants `number: name`; "
                                 f"fetch it again")
        names.append(name.strip())
    return names

"""Data layers for PASCAL VOC and SBD, under the names the released nets ask for.

In:   a VOC devkit folder, or SBD's `dataset` folder.
Out:  VOCSegDataLayer and SBDDSegDataLayer: tops data and label.
Not here: order, threads, preprocessing (seg_data_layer.py); getting the data (data/).
Source: voc_layers.py of the FCN release (class names, keys, files).
"""

from __future__ import annotations

import numpy as np
from image_files import read_label
from mat_files import read_mat
from param_str import CLASSES, MEAN, REQUIRED
from seg_data_layer import MASK, SegDataLayer


class VOCSegDataLayer(SegDataLayer):
    """PASCAL VOC: JPEGImages/ID.jpg, SegmentationClass/ID.png, ImageSets/Segmentation/SPLIT.txt.

    param_str: `voc_dir` (for example data/pascal/VOC2011), `mean` (blue, green, red), `classes` (default 21: labels
    have 0 ... 20 and 255, void), `mask` (foreground, background or both, by the label) and SegDataLayer's keys.
    """

    dir_keys = ("voc_dir",)
    own_keys = {"mean": (MEAN, REQUIRED), "classes": (CLASSES, 21), **MASK}
    list_form = "{voc_dir}/ImageSets/Segmentation/{id}.txt"
    forms = {"data": "{voc_dir}/JPEGImages/{id}.jpg", "label": "{voc_dir}/SegmentationClass/{id}.png"}
    classes = {"label": 21}

    def read_label(self, path: str, top: str) -> np.ndarray:
        """Read a palette PNG as (H, W) class indices."""
        return read_label(path)


class SBDDSegDataLayer(SegDataLayer):
    """Berkeley's SBD: img/ID.jpg, cls/ID.mat, SPLIT.txt.

    param_str: `sbdd_dir`, `mean`, `classes`, `mask` as VOCSegDataLayer, and SegDataLayer's keys. SBD has no
    void pixels.
    """

    dir_keys = ("sbdd_dir",)
    own_keys = VOCSegDataLayer.own_keys
    list_form = "{sbdd_dir}/{id}.txt"
    forms = {"data": "{sbdd_dir}/img/{id}.jpg", "label": "{sbdd_dir}/cls/{id}.mat"}
    classes = {"label": 21}

    def read_label(self, path: str, top: str) -> np.ndarray:
        """Read GTcls.Segmentation of a .mat file as (H, W) class indices."""
        return read_mat(path, "GTcls", "Segmentation")

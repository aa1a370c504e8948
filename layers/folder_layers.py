"""Data layer for pairs of plain folders: images in one, labels of the same names in the other.

In:   images_dir/ID.jpg (or another of SUFFIXES), labels_dir/ID.png, lists_dir/SPLIT.txt.
Out:  FolderSegDataLayer: tops data and label.
Not here: order, threads, preprocessing (seg_data_layer.py).
Source: ours, in the manner of voc_layers.py.
"""

from __future__ import annotations

import os

from voc_layers import VOCSegDataLayer

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".JPG", ".JPEG", ".PNG", ".BMP", ".TIF", ".TIFF")


class FolderSegDataLayer(VOCSegDataLayer):
    """Images and palette or grey labels of two folders.

    param_str: `images_dir`, `labels_dir`, `lists_dir` (with SPLIT.txt in it) and the other keys of VOCSegDataLayer.
    """

    dir_keys = ("images_dir", "labels_dir", "lists_dir")
    list_form = "{lists_dir}/{id}.txt"
    forms = {"data": "{images_dir}/{id}", "label": "{labels_dir}/{id}.png"}

    def file_of(self, top: str, name: str) -> str:
        """Path of an id's file; of images of several kinds, the first in the order of SUFFIXES."""
        path = super().file_of(top, name)
        if top == "label":
            return path
        return next((path + suffix for suffix in SUFFIXES if os.path.exists(path + suffix)), path + SUFFIXES[0])

"""Data layers for PASCAL VOC and SBD, under the names the released nets ask for.

In:   a VOC devkit folder, or SBD's `dataset` folder.
Out:  VOCSegDataLayer and SBDDSegDataLayer: tops data and label, one image a pass.
Not here: order, threads, preprocessing (seg_data_layer.py); getting the data (data/).
Source: voc_layers.py of the FCN release (class names, keys, files).
"""

from __future__ import annotations

import os

import numpy as np
from image_files import read_label
from param_str import DataLayerError
from seg_data_layer import SegDataLayer


class VOCSegDataLayer(SegDataLayer):
    """PASCAL VOC: JPEGImages/ID.jpg, SegmentationClass/ID.png, ImageSets/Segmentation/SPLIT.txt.

    param_str: `voc_dir` (for example data/pascal/VOC2011) and SegDataLayer's keys. 255 is void.
    """

    dir_key = "voc_dir"

    def split_file(self) -> str:
        """Path of the list of ids."""
        return os.path.join(self.dir, "ImageSets", "Segmentation", f"{self.split}.txt")

    def image_file(self, name: str) -> str:
        """Path of the image with this id."""
        return os.path.join(self.dir, "JPEGImages", f"{name}.jpg")

    def label_file(self, name: str) -> str:
        """Path of the label with this id."""
        return os.path.join(self.dir, "SegmentationClass", f"{name}.png")

    def read_label(self, name: str) -> np.ndarray:
        """Read a palette PNG as (H, W) class indices."""
        return read_label(self.label_file(name))


class SBDDSegDataLayer(SegDataLayer):
    """Berkeley's SBD: img/ID.jpg, cls/ID.mat, SPLIT.txt.

    param_str: `sbdd_dir` (for example data/sbdd/dataset) and SegDataLayer's keys. SBD has no void
        pixels.
    """

    dir_key = "sbdd_dir"

    def split_file(self) -> str:
        """Path of the list of ids."""
        return os.path.join(self.dir, f"{self.split}.txt")

    def image_file(self, name: str) -> str:
        """Path of the image with this id."""
        return os.path.join(self.dir, "img", f"{name}.jpg")

    def label_file(self, name: str) -> str:
        """Path of the label with this id."""
        return os.path.join(self.dir, "cls", f"{name}.mat")

    def read_label(self, name: str) -> np.ndarray:
        """Read GTcls.Segmentation of a .mat file as (H, W) class indices."""
        import scipy.io  # here, so that VOC alone needs no SciPy

        path = self.label_file(name)
        if not os.path.exists(path):
            raise DataLayerError(f"label '{path}' is missing, though its id is in the list; bring "
                                 f"the file, or take the id out")
        try:
            found = scipy.io.loadmat(path, variable_names=["GTcls"])["GTcls"]
            label = np.asarray(found[0]["Segmentation"][0])
        except Exception as error:  # SciPy's reader raises nearly anything on a broken file
            raise DataLayerError(f"label '{path}' cannot be read ({type(error).__name__}: "
                                 f"{error}); it wants a .mat file with GTcls.Segmentation; fetch "
                                 f"it again") from error
        if label.ndim != 2 or label.dtype.kind not in "uif" or label.size == 0:
            raise DataLayerError(f"label '{path}' has GTcls.Segmentation of shape {label.shape} "
                                 f"and type {label.dtype}; it wants H x W whole numbers; fetch it "
                                 f"again")
        return label.astype(np.int64) if label.dtype.kind == "f" else label

"""Data layer for NYUDv2, under the name the released nets ask for.

In:   the folder with data/{images,depth,hha}/img_ID.png and segmentation/img_ID.mat.
Out:  NYUDSegDataLayer: tops color, depth, hha and label, those that `tops` lists.
Not here: order, threads, options (seg_data_layer.py); making HHA of depth, getting the data (data/).
Source: nyud_layers.py of the FCN release (class name, keys, files, means).
"""

from __future__ import annotations

import numpy as np
from image_files import open_image
from mat_files import from_one, read_mat
from param_str import CLASSES, REQUIRED, DataLayerError, some_of
from seg_data_layer import Notes, SegDataLayer

MEAN_LOG_DEPTH = 7.844  # of the natural logarithm of millimetres


class NYUDSegDataLayer(SegDataLayer):
    """NYUDv2: SPLIT.txt in the folder itself; 40 classes.

    param_str: `nyud_dir`, `tops` (a list of color, depth, hha, label), `classes` (default 40; label files have 1 ... 40
    and 0, void) and SegDataLayer's keys. color is (N, 3, H, W) BGR, hha the same in the file's own order of channels,
    depth (N, 1, H, W) the logarithm of millimetres, each less its mean.
    """

    dir_keys = ("nyud_dir",)
    own_keys = {"tops": (some_of("color", "depth", "hha", "label"), REQUIRED), "classes": (CLASSES, 40)}
    list_form = "{nyud_dir}/{id}.txt"
    forms = {"color": "{nyud_dir}/data/images/img_{id}.png", "depth": "{nyud_dir}/data/depth/img_{id}.png",
             "hha": "{nyud_dir}/data/hha/img_{id}.png", "label": "{nyud_dir}/segmentation/img_{id}.mat"}
    means = {"color": (116.190, 97.203, 92.318), "depth": (MEAN_LOG_DEPTH,), "hha": (132.431, 94.076, 118.477)}
    classes = {"label": 40}

    def tops_of(self, params: dict) -> tuple[str, ...]:
        """Give the tops that param_str lists."""
        return tuple(params["tops"])

    def read_image(self, path: str, top: str) -> tuple[np.ndarray, Notes]:
        """Read colour (3, H, W) as BGR, HHA (3, H, W) as stored, or depth (1, H, W) in millimetres."""
        if top == "color":
            return super().read_image(path, top)
        if top == "hha":
            return read_hha(path)
        return read_depth(path)

    def read_label(self, path: str, top: str) -> np.ndarray:
        """Read `segmentation` of a .mat file as (H, W) class indices and 255."""
        return from_one(read_mat(path, "segmentation"), self.classes[top], path)

    def prepare(self, top: str, array: np.ndarray) -> np.ndarray:
        """Give what the net sees; depth as its logarithm less the mean, and the mean itself where it is unknown."""
        if top != "depth":
            return super().prepare(top, array)
        known = is_known(array)
        # DEVIATION D25: the release takes the logarithm of 0, and trains on -inf.
        data = np.log(np.where(known, array, 1).astype(np.float32)) - np.float32(MEAN_LOG_DEPTH)
        return np.where(known, data, np.float32(0)) * np.float32(self.options["scale"])

    def load_depth(self, idx: str) -> np.ndarray:
        """Read the depth with the id `idx`, as the released method did: (1, H, W) float32."""
        return self.load_top("depth", idx)

    def load_hha(self, idx: str) -> np.ndarray:
        """Read the HHA with the id `idx`, as the released method did: (3, H, W) float32."""
        return self.load_top("hha", idx)


def is_known(depth: np.ndarray) -> np.ndarray:
    """Tell where a depth is one: above 0 and finite."""
    return np.isfinite(depth) & (depth > 0)


def read_depth(path: str) -> tuple[np.ndarray, Notes]:
    """Read depth in millimetres as (1, H, W), uint16 or float32 as the file has it.

    Returns:
        the depth, and a warning where some of it is 0 or not finite: there the net sees the mean.

    Raises:
        DataLayerError: missing, broken, or of another kind.
    """
    image = open_image(path, "depth")
    if not (image.mode.startswith("I") or image.mode == "F"):
        raise DataLayerError(f"depth '{path}' has mode {image.mode}; it wants one channel of 16 bits, in millimetres; "
                             f"convert it from the depth itself, not from a picture of it")
    depth = np.asarray(image)[np.newaxis]
    unknown = depth.size - int(is_known(depth).sum())
    if not unknown:
        return depth, ()
    return depth, (f"depth '{path}' is 0 or not finite in {unknown} of {depth.size} pixels; they are set to the mean; "
                   f"fill the holes of the depth (in-paint it) to do better",)


def read_hha(path: str) -> tuple[np.ndarray, Notes]:
    """Read HHA (disparity, height, angle) as (3, H, W) uint8, the channels in the file's order.

    Raises:
        DataLayerError: missing, broken, or not of three channels.
    """
    image = open_image(path, "hha")
    if image.mode != "RGB":
        raise DataLayerError(f"hha '{path}' has mode {image.mode}; it wants three channels of 8 bits: disparity, "
                             f"height, angle; make it anew from the depth")
    return np.asarray(image).transpose(2, 0, 1), ()

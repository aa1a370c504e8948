"""Data layer for SIFT Flow, under the name the released nets ask for.

In:   the folder with Images, SemanticLabels and GeoLabels.
Out:  SIFTFlowSegDataLayer: tops data, sem (33 classes) and geo (3: sky, horizontal, vertical).
Not here: order, threads, preprocessing (seg_data_layer.py); getting the data (data/).
Source: siftflow_layers.py of the FCN release (class name, keys, files, mean).
"""

from __future__ import annotations

import numpy as np
from mat_files import from_one, read_mat
from seg_data_layer import SegDataLayer

SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
_GEO_VOID = -1


class SIFTFlowSegDataLayer(SegDataLayer):
    """SIFT Flow: SPLIT.txt in the folder itself; matrix `S` in both kinds of label files, 255 is void.

    param_str: `siftflow_dir` and SegDataLayer's keys. What is drawn for an image holds for both its labels.
    """

    dir_keys = ("siftflow_dir",)
    top_names = ("data", "sem", "geo")
    list_form = "{siftflow_dir}/{id}.txt"
    forms = {"data": f"{{siftflow_dir}}/Images/{SCENES}/{{id}}.jpg",
             "sem": f"{{siftflow_dir}}/SemanticLabels/{SCENES}/{{id}}.mat",
             "geo": f"{{siftflow_dir}}/GeoLabels/{SCENES}/{{id}}.mat"}
    means = {"data": (114.578, 115.294, 108.353)}
    classes = {"sem": 33, "geo": 3}

    def read_label(self, path: str, top: str) -> np.ndarray:
        """Read a label file, 0 (semantic) or -1 (geometric) for void and classes from 1, as indices and 255."""
        label = read_mat(path, "S")
        if top == "geo":
            label = np.where(label == _GEO_VOID, 0, label)
        return from_one(label, self.classes[top], path)

    def load_label(self, idx: str, label_type: str = "semantic") -> np.ndarray:
        """Read the `semantic` or `geometric` label with the id `idx`: (1, H, W) uint8."""
        return self.load_top({"semantic": "sem", "geometric": "geo"}[label_type], idx)

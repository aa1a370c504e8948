"""What goes into the LMDBs: the items of a Python data layer, in its own order.

In:   a set's name and split, a prototxt, or two folders.
Out:  Source: ids and arrays as they are on disk, pixels and classes as uint8, all else as float32.
Not here: the layouts of data sets and their draws, which are the layers' own (layers/).
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from data.lmdb_pairs.datums import FLOATS, IMAGE, LABEL
from data.sets import DataError, data_set

_TOLERANCE = 1e-3  # of a pixel, after the mean is added again


@dataclass(frozen=True)
class Source:
    """A Python data layer: where its class is, and its param_str as a dict."""

    module: str
    layer: str
    params: Dict[str, Any]

    def opened(self) -> Any:
        """Open the layer without a net.

        Raises:
            DataError: there is no such layer. DataLayerError: what the layer finds wrong.
        """
        try:
            kind = getattr(importlib.import_module(self.module), self.layer)
        except (ImportError, AttributeError) as error:
            raise DataError(f"data layer {self.module}.{self.layer} cannot be imported ({error}); put layers/ on "
                            "PYTHONPATH") from error
        if not hasattr(kind, "opened") or self.params.get("batch", 1) != 1:
            raise DataError(f"data layer {self.module}.{self.layer} gives no single pairs of image and label; want a "
                            "segmentation layer with one image a pass")
        return kind.opened(repr(self.params))

    def items(self, layer: Any, start: int = 0) -> Iterator[Tuple[str, Dict[str, np.ndarray]]]:
        """Go through an opened layer's items from number `start` on, endlessly: id, and array (C, H, W) of each top."""
        for _ in range(start):
            layer.next_key()
        while True:
            arrays = layer.load(layer.next_key()).arrays
            yield layer.indices[layer.idx], {
                top: self._as_stored(layer, top, array[0]) for top, array in zip(layer.top_names, arrays)}

    def _as_stored(self, layer: Any, top: str, array: np.ndarray) -> np.ndarray:
        """Undo mean and scale where pixels come out, as uint8; labels as they are, all else as float32."""
        if top in layer.classes:
            return array
        if top == "depth" or not stores_pixels(self.params):
            return array.astype(np.float32)
        mean = np.array(layer.means[top], np.float64)[:, np.newaxis, np.newaxis]
        values = array.astype(np.float64) / self.params.get("scale", 1) + mean
        pixels = np.rint(values)
        if np.abs(values - pixels).max() > _TOLERANCE or pixels.min() < 0 or pixels.max() > 255:
            raise DataError(f"{self.layer}: top {top} holds no whole numbers from 0 to 255 once its mean "
                            f"{layer.means[top]} is added again; was another mean subtracted?")
        return pixels.astype(np.uint8)


def stores_pixels(params: Dict[str, Any]) -> bool:
    """Tell whether a layer's images are stored as pixels: not where it fills some with the mean, which is no pixel."""
    return not (params.get("jitter") or params.get("mask"))


def kind_of(array: np.ndarray) -> str:
    """Tell what a record of this array is: image, label or floats."""
    if array.dtype != np.uint8:
        return FLOATS
    return LABEL if len(array) == 1 else IMAGE


def ordered(source: Source, order: str, seed: int) -> Source:
    """Give the source in file order, or in the layer's order of draws with a seed."""
    return Source(source.module, source.layer, {**source.params, "randomize": order == "draws", "seed": seed})


def of_set(name: str, split: str, root: Path, only: Tuple[str, ...] = ()) -> Source:
    """Give the source of a data set's split; `only` are NYUD's tops, by default color and label."""
    row = data_set(name)
    found = {one.name: one for one in row.splits if one.label}
    if split not in found:
        raise DataError(f"data set '{name}' has no split '{split}' of images and labels; it has "
                        f"{', '.join(found)}")
    folder, common = str(root / found[split].folder), {"split": split}
    if name in ("voc", "shapes"):
        kind, key = ("SBDDSegDataLayer", "sbdd_dir") if found[split].label.endswith(".mat") else (
            "VOCSegDataLayer", "voc_dir")
        return Source("voc_layers", kind, {key: folder, **common, "mean": row.mean_bgr, "classes": len(row.classes)})
    if name.startswith("pascalcontext"):
        classes = {"classes": len(row.classes)} if name != "pascalcontext" else {}
        return Source("pascalcontext_layers", "PASCALContextSegDataLayer",
                      {"voc_dir": str(root / "data/pascal"), "context_dir": str(root / row.train_dir), **common,
                       **classes})
    if name == "nyud":
        return Source("nyud_layers", "NYUDSegDataLayer",
                      {"nyud_dir": folder, **common, "tops": list(only or ("color", "label"))})
    return Source("siftflow_layers", "SIFTFlowSegDataLayer", {"siftflow_dir": folder, **common})


def of_prototxt(path: Path) -> Source:
    """Give the source of a net's Python data layer, with all that its param_str says (draws, mirror, start).

    Raises:
        DataError: no prototxt, or none with a Python data layer.
    """
    net = caffe_pb2.NetParameter()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), net)
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise DataError(f"'{path}' is no prototxt ({error})") from error
    layers = [layer.python_param for layer in net.layer if layer.type == "Python" and not layer.bottom]
    if len(layers) != 1:
        raise DataError(f"'{path}' has {len(layers)} Python layers without a bottom; want one, the data layer")
    try:
        params = ast.literal_eval(layers[0].param_str)
    except (ValueError, SyntaxError) as error:
        raise DataError(f"'{path}': param_str {layers[0].param_str!r} is no dict") from error
    return Source(layers[0].module, layers[0].layer, params)


def of_folders(images: Path, labels: Path, lists: Path, split: str) -> Source:
    """Give the source of two folders and `lists`/`split`.txt."""
    return Source("folder_layers", "FolderSegDataLayer",
                  {"images_dir": str(images), "labels_dir": str(labels), "lists_dir": str(lists), "split": split,
                   "mean": (0, 0, 0), "classes": 255})

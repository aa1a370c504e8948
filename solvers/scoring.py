"""Scoring within a training: the validation net takes the training's weights, and one number says how good.

In:   a solver whose first test net reads the validation split.
Out:  scores by name, and rows (image, truth, prediction) of the first images for a picture.
Not here: metrics and the release's lines (score.py), drawing (pictures).
"""

from __future__ import annotations

import ast
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

import score
from caffe.proto import caffe_pb2
from nets.prototxt import read_prototxt

PICTURED = 4  # validation images in the picture grid
Row = Tuple[np.ndarray, np.ndarray, np.ndarray]
Check = Callable[[], None]  # raises when the training is to stop


class Segmentation:
    """Scores a segmentation net on its whole validation split, as the release did."""

    key = "mean_iu"

    def __init__(self, val_prototxt: str) -> None:
        param = _data_param(val_prototxt)
        self.ids = _split_ids(param)
        self._mean = np.array(param["mean"])[:, None, None]  # BGR
        self._scale = param.get("scale", 1)
        self.rows: List[Row] = []

    def __call__(self, solver: Any, check: Check) -> Dict[str, float]:
        """Score the solver's first test net, calling `check` after each pass; `rows` holds the first images then."""
        self.rows = []
        self._check = check
        hist, loss = score.seg_tests(solver, None, self.ids, watch=self._watch)
        return {**{name: float(value) for name, value in score.scores(hist).items()}, "val_loss": loss}

    def _watch(self, net: Any, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Keep the first images with their truth and prediction."""
        self._check()
        if len(self.rows) < PICTURED:
            in_bgr = net.blobs["data"].data[0] / self._scale + self._mean  # (3, H, W)
            image = np.clip(np.rint(in_bgr[::-1].transpose(1, 2, 0)), 0, 255).astype(np.uint8)
            self.rows.append((image, truth.astype(np.uint8), prediction.astype(np.uint8)))


class Classification:
    """Scores a classifier: the mean of the validation net's accuracy and loss."""

    key = "accuracy"

    def __init__(self, passes: int) -> None:
        self._passes = passes
        self.rows: List[Row] = []

    def __call__(self, solver: Any, check: Check) -> Dict[str, float]:
        """Run the solver's first test net over the validation list, calling `check` after each pass."""
        net = solver.test_nets[0]
        net.share_with(solver.net)
        accuracy = loss = 0.0
        for _ in range(self._passes):
            net.forward()
            check()
            accuracy += float(net.blobs["accuracy"].data)
            loss += float(net.blobs["loss"].data)
        return {"accuracy": accuracy / self._passes, "val_loss": loss / self._passes}


def _data_param(val_prototxt: str) -> Dict[str, Any]:
    net = read_prototxt(val_prototxt, caffe_pb2.NetParameter())
    return ast.literal_eval(next(layer for layer in net.layer if layer.type == "Python").python_param.param_str)


def _split_ids(param: Dict[str, Any]) -> List[str]:
    with open(f"{param['voc_dir']}/ImageSets/Segmentation/{param['split']}.txt", encoding="utf-8-sig") as listing:
        return [line.strip() for line in listing if line.strip()]  # as the data layers read it

"""Scoring within a training: the validation net takes the training's weights, and one number says how good.

In:   a solver whose first test net reads the validation split; the blobs of its heads.
Out:  scores by name, and rows (image, truth, prediction) of the first images for a picture.
Not here: metrics and the release's lines (score.py), drawing (pictures).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from image_files import read_image

import score
from caffe.proto import caffe_pb2
from nets.prototxt import read_prototxt
from ranks import Meeting
from scoring.scored_net import data_layer, opened
from scoring.shards import added, to_plain
from scoring.tally import Blobs

PICTURED = 4  # validation images in the picture grid
Row = Tuple[np.ndarray, np.ndarray, np.ndarray]
Check = Callable[[], None]  # raises when the training is to stop


class Segmentation:
    """Scores a segmentation net on its whole validation split, every head of it, as the release did."""

    key = "mean_iu"  # of the first head

    def __init__(self, val_prototxt: str, heads: Sequence[Any] = (Blobs(),), meeting: Optional[Meeting] = None) -> None:
        """Open the validation split, or the share of it that this process walks.

        Args:
            val_prototxt: net whose Python data layer walks the split.
            heads: what has `score`, `label` and `loss`, names of blobs; rows of data.sets and records do.
            meeting: of the processes that score together, each on its share.
        """
        message = read_prototxt(val_prototxt, caffe_pb2.NetParameter())
        self._data = opened(data_layer(message, Path(val_prototxt))[0])
        self.ids: List[str] = list(self._data.indices)
        self.heads = heads
        self._meeting = meeting
        self.rows: List[Row] = []

    def __call__(self, solver: Any, check: Check) -> Dict[str, float]:
        """Score the solver's first test net, calling `check` after each pass; `rows` holds the first images then.

        Gives nothing in processes but the first of those that score together.
        """
        self.rows = []
        self._check = check
        print(">>>", datetime.now(), "Begin seg tests")
        net = solver.test_nets[0]
        net.share_with(solver.net)
        watches = [self._watch] + [None] * (len(self.heads) - 1)
        counted = score.tally_heads(net, self.ids, self.heads, watches=watches)
        if self._meeting is not None and self._meeting.ranks.count > 1:
            parts = self._meeting.gather(to_plain(self.ids, counted, [{}] * len(counted)), check)
            if parts is None:
                return {}
            counted, _ = added(parts)
        found: Dict[str, float] = {}
        for number, (head, of_head) in enumerate(zip(self.heads, counted)):
            score.print_scores(solver.iter, of_head)
            name = f"{head.label}_" if number else ""
            found.update({f"{name}{key}": value for key, value in score.scores(of_head.hist).items()})
            found[f"{name}val_loss"] = of_head.loss
        return found

    def _watch(self, net: Any, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Keep the first images with their truth and prediction."""
        self._check()
        if len(self.rows) < PICTURED:
            image, _ = read_image(self._data.file_of(self._data.top_names[0], self.ids[len(self.rows)]))
            self.rows.append((np.asarray(image), truth.astype(np.uint8), prediction.astype(np.uint8)))


class Classification:
    """Scores a classifier: the mean of the validation net's accuracy and loss."""

    key = "accuracy"

    def __init__(self, passes: int, is_first: bool = True) -> None:
        self._passes, self._is_first = passes, is_first
        self.rows: List[Row] = []

    def __call__(self, solver: Any, check: Check) -> Dict[str, float]:
        """Run the solver's first test net over the validation list, calling `check` after each pass.

        The first process alone does; the others give nothing.
        """
        if not self._is_first:
            return {}
        net = solver.test_nets[0]
        net.share_with(solver.net)
        accuracy = loss = 0.0
        for _ in range(self._passes):
            net.forward()
            check()
            accuracy += float(net.blobs["accuracy"].data)
            loss += float(net.blobs["loss"].data)
        return {"accuracy": accuracy / self._passes, "val_loss": loss / self._passes}

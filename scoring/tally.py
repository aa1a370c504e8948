"""One pass over a split: truths and predictions of every head of a net, counted.

In:   a net whose data layer walks the split, the ids, the blobs of its heads.
Out:  a Tally a head; label PNGs on request.
Not here: metrics (confusion.py), printing (report.py), opening nets (scored_net.py).
Source: compute_hist of the FCN release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scoring.confusion import fast_hist

IGNORE = 255  # what data layers write for pixels that do not count
Watch = Callable[[Any, np.ndarray, np.ndarray], None]  # net, truth (H, W), prediction (H, W)


class Blobs(NamedTuple):
    """Where a head's scores, truth and loss are."""

    score: str = "score"  # (1, K, H, W)
    label: str = "label"  # (1, 1, H, W); 255 does not count
    loss: str = "loss"


@dataclass
class Tally:
    """What one pass over a split has counted of one head."""

    hist: np.ndarray  # (K, K) int64; row = truth, column = prediction
    losses: list[float] = field(default_factory=list)  # of each image, the loss blob; nan where the net has none
    images: int = 0
    pixels: int = 0  # with the ignored ones
    unlabelled: list[str] = field(default_factory=list)  # ids without any pixel that counts

    @property
    def loss(self) -> float:
        """Mean over images of the loss blob; nan without images, or where the net has none."""
        return sum(self.losses) / len(self.losses) if self.losses else float("nan")


def tally(net: Any, save_dir: str | Path | None, dataset: Iterable[str], layer: str = "score",
          gt: str = "label", watch: Watch | None = None) -> Tally:
    """Count one head; arguments and errors as those of score.compute_hist.

    Args:
        net: as there.
        save_dir: as there.
        dataset: as there.
        layer: as there.
        gt: as there.
        watch: called after each pass with the net, the truth (H, W) and the prediction (H, W).
    """
    return tally_heads(net, dataset, [Blobs(layer, gt)], [save_dir], [watch])[0]


def tally_heads(net: Any, dataset: Iterable[str], heads: Sequence[Any], save_dirs: Sequence[str | Path | None] = (),
                watches: Sequence[Watch | None] = ()) -> list[Tally]:
    """Run the net once for each id and count every head's answers.

    Args:
        net: a caffe.Net whose data layer gives the images of `dataset` in this order, one a pass.
        dataset: ids.
        heads: what has `score`, `label` and `loss`: names of blobs.
        save_dirs: folder for a head's predictions as `ID.png` with the VOC palette, or None; a head each.
        watches: as for `tally`; a head each.

    Returns:
        A Tally a head.

    Raises:
        ValueError: blobs missing or of shapes that do not fit, or a label that is no class.
    """
    save_dirs, watches = list(save_dirs) or [None] * len(heads), list(watches) or [None] * len(heads)
    counted = [_empty(net, head) for head in heads]
    for folder in filter(None, save_dirs):
        # DEVIATION D24: the release stops at a folder that is there.
        Path(folder).mkdir(parents=True, exist_ok=True)
    for name in dataset:
        try:
            net.forward()
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"scoring '{name}': {error}") from error
        for head, into, folder, watch in zip(heads, counted, save_dirs, watches):
            label, prediction = _label_and_prediction(net, head, name)
            _count(into, name, label, prediction)
            into.losses.append(float(net.blobs[head.loss].data.flat[0]) if head.loss in net.blobs else float("nan"))
            if folder:
                _save(Path(folder) / f"{name}.png", prediction)
            if watch is not None:
                watch(net, label, prediction)
    return counted


def _empty(net: Any, head: Any) -> Tally:
    for name in (head.score, head.label):
        if name not in net.blobs:
            raise ValueError(f"scoring: the net has no blob '{name}'; it has {', '.join(net.blobs)}")
    classes = net.blobs[head.score].shape[1]
    return Tally(np.zeros((classes, classes), np.int64))


def _count(into: Tally, name: str, label: np.ndarray, prediction: np.ndarray) -> None:
    hist = fast_hist(label.ravel(), prediction.ravel(), len(into.hist))
    into.hist += hist
    into.images += 1
    into.pixels += label.size
    if not hist.any():
        into.unlabelled.append(name)


def _label_and_prediction(net: Any, head: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction of the pass just made, (H, W) each, checked against each other."""
    score, truth = net.blobs[head.score].data, net.blobs[head.label].data
    if len(score) != 1 or score.ndim != 4 or truth.shape != (1, 1, *score.shape[2:]):
        raise ValueError(f"scoring '{name}': blob '{head.score}' is {score.shape}, '{head.label}' "
                         f"{truth.shape}; want (1, K, H, W) and (1, 1, H, W); check the net's Crop")
    label, classes = truth[0, 0].astype(np.int64), score.shape[1]
    wrong = (label >= classes) & (label != IGNORE) | (label < 0)
    if wrong.any():  # DEVIATION D23: the release leaves such pixels out.
        raise ValueError(f"scoring '{name}': label {label[wrong][0]}, want 0 to {classes - 1} or "
                         f"{IGNORE}; the label, or the net's number of classes, is wrong")
    return label, score[0].argmax(0)


def _save(path: Path, prediction: np.ndarray) -> None:
    from vis import save_label

    path.parent.mkdir(parents=True, exist_ok=True)  # ids of some sets have folders in them
    save_label(path, prediction)

"""How good the trained net is on the validation images: counts, and each image with its own score.

In:   a record whose deploy net has a val net beside it.
Out:  an `Evaluation`.
Not here: metrics (scoring.confusion), the report (report).   Source: Long et al. 2015, section 5, for the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Sequence

import numpy as np

import score
from nets.loading import open_net
from nets.record import Record
from scoring.confusion import class_iu, fast_hist, scores


@dataclass(frozen=True)
class Judged:
    """One validation image: what it shows, what was made of it, how well."""

    id: str
    picture: np.ndarray  # (H, W, 3) uint8 RGB
    truth: np.ndarray  # (H, W), 255 = void
    prediction: np.ndarray  # (H, W)
    mean_iu: float  # over the classes in truth or prediction; nan where nothing is labelled


@dataclass(frozen=True)
class Evaluation:
    """The whole validation split, and its best and worst images."""

    hist: np.ndarray  # (K, K) int64; row = truth, column = prediction
    best: List[Judged]
    worst: List[Judged]

    @property
    def baseline(self) -> float:
        """Mean IU of a net that answers the most frequent class everywhere."""
        truth = self.hist.sum(1)
        if not truth.any():
            return float("nan")
        lazy = np.zeros_like(self.hist)
        lazy[:, truth.argmax()] = truth
        return scores(lazy)["mean_iu"]


def evaluate(record: Record, ids: Sequence[str], shown: int = 4) -> Evaluation:
    """Run the net over the validation split.

    Args:
        record: of the weights; its deploy prototxt has val.prototxt beside it.
        ids: of the split, in its order.
        shown: how many images are kept at either end.
    """
    net = open_net(Path(record.deploy).with_name("val.prototxt"), record.weights, record.net)
    kept: List[Judged] = []
    order = iter(ids)
    mean = np.array(record.mean_bgr)[:, None, None]  # BGR

    def watch(net: Any, truth: np.ndarray, prediction: np.ndarray) -> None:
        name = next(order)
        iu = class_iu(fast_hist(truth.ravel(), prediction.ravel(), len(record.classes)))
        value = float(np.nanmean(iu)) if np.isfinite(iu).any() else float("nan")
        picture = net.blobs["data"].data[0] / record.scale + mean  # (3, H, W)
        picture = np.clip(np.rint(picture[::-1].transpose(1, 2, 0)), 0, 255).astype(np.uint8)
        kept.append(Judged(name, picture, truth.astype(np.uint8), prediction.astype(np.uint8), value))
        _drop_middle(kept, shown)

    counted = score.tally(net, None, ids, watch=watch)
    return Evaluation(counted.hist, *_ends(kept, shown))


def _drop_middle(kept: List[Judged], shown: int) -> None:
    """Forget an image that is neither among the best nor among the worst."""
    kept.sort(key=lambda one: one.mean_iu if np.isfinite(one.mean_iu) else 2.0)
    if len(kept) > 2 * shown:
        del kept[shown]


def _ends(kept: List[Judged], shown: int) -> List[List[Judged]]:
    """Give the best, best first, and the worst, worst first; no image is both."""
    labelled = [one for one in kept if np.isfinite(one.mean_iu)]
    worst = labelled[:min(shown, len(labelled) // 2)]
    return [labelled[::-1][:min(shown, len(labelled) - len(worst))], worst]

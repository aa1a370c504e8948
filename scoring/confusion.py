"""Numbers from a confusion histogram.

In:   labels and predictions, or their histogram: rows are truth, columns prediction.
Out:  the histogram, the four scores of the FCN paper, accuracy and IU of each class.
Not here: nets, files, printing. NumPy only; score.py hands these on under the released names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BACKGROUND = "background"
SCORES = {"overall_accuracy": "overall accuracy", "mean_accuracy": "mean accuracy", "mean_iu": "mean IU",
          "fwavacc": "fwavacc"}  # of `scores`, as people write them
WAYS = {"present": "classes in the truth only", "without_background": "without class background",
        "background_ignored": "background as if void"}  # of `other_scores`


def fast_hist(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Count pairs of truth and prediction.

    Args:
        a: (P,) integers, the truth; values outside 0 ... n - 1 (such as 255) are left out.
        b: (P,) integers in 0 ... n - 1, the prediction.
        n: number of classes.

    Returns:
        (n, n) int64; row = truth, column = prediction.
    """
    counted = (a >= 0) & (a < n)
    pairs = n * a[counted].astype(np.int64) + b[counted]
    return np.bincount(pairs, minlength=n * n).reshape(n, n)


def scores(hist: np.ndarray, classes: np.ndarray | None = None) -> dict[str, float]:
    """Summarise a histogram as the FCN paper does.

    Args:
        hist: (K, K) counts of pixels; row = truth, column = prediction; ignored pixels left out.
        classes: (K,) bool, the classes that the figures go over; None: all, as in the release.

    Returns:
        overall_accuracy, mean_accuracy, mean_iu, fwavacc, each in [0, 1], nan without any pixel.
        A class in neither truth nor prediction is left out of the means; one that is only
        predicted counts as IU 0. With `classes`, the accuracy and the weights of fwavacc are of
        the pixels whose truth is one of them.
    """
    hist = np.asarray(hist, dtype=np.float64)
    over = np.ones(len(hist), bool) if classes is None else np.asarray(classes, bool)
    truth = hist.sum(1)
    total = truth[over].sum()
    nan = float("nan")
    if total == 0:
        return dict(overall_accuracy=nan, mean_accuracy=nan, mean_iu=nan, fwavacc=nan)
    accuracy, iu = class_accuracy(hist), class_iu(hist)
    present = over & (truth > 0)
    return dict(overall_accuracy=float(np.diag(hist)[over].sum() / total),
                mean_accuracy=float(np.nanmean(accuracy[over])), mean_iu=float(np.nanmean(iu[over])),
                fwavacc=float((truth[present] / total * iu[present]).sum()))


def other_scores(hist: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Summarise a histogram in the ways that the release does not have.

    Args:
        hist: (K, K), as for `scores`.
        classes: names; whether the first is `background` decides what can be left out.

    Returns:
        `scores` under these names. present: only classes that are in the truth, as the paper counts
        SIFT Flow. without_background: class 0 left out of all means; what it takes from others, and
        they from it, still lowers them. background_ignored: pixels whose truth is class 0 do not
        count at all, as if they were void.
    """
    hist = np.asarray(hist)
    ways = {"present": scores(hist, hist.sum(1) > 0)}
    if classes[0] == BACKGROUND:
        things = np.arange(len(hist)) > 0
        ways["without_background"] = scores(hist, things)
        ways["background_ignored"] = scores(np.where(things[:, np.newaxis], hist, 0), things)
    return ways


def class_accuracy(hist: np.ndarray) -> np.ndarray:
    """Share of each class's pixels that were found: (K,), nan for a class not in the truth."""
    with np.errstate(invalid="ignore"):
        return np.diag(hist) / hist.sum(1)


def class_iu(hist: np.ndarray) -> np.ndarray:
    """Intersection over union of each class: (K,), nan for one in neither truth nor prediction."""
    with np.errstate(invalid="ignore"):
        return np.diag(hist) / (hist.sum(1) + hist.sum(0) - np.diag(hist))

"""Numbers from a confusion histogram.

In:   labels and predictions, or their histogram: rows are truth, columns prediction.
Out:  the histogram, the four scores of the FCN paper, accuracy and IU of each class.
Not here: nets, files, printing. NumPy only; score.py hands these on under the released names.
"""

from __future__ import annotations

import numpy as np


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


def scores(hist: np.ndarray) -> dict[str, float]:
    """Summarise a histogram as the FCN paper does.

    Args:
        hist: (K, K) counts of pixels; row = truth, column = prediction; ignored pixels left out.

    Returns:
        overall_accuracy, mean_accuracy, mean_iu, fwavacc, each in [0, 1], nan without any pixel.
        A class in neither truth nor prediction is left out of the means; one that is only
        predicted counts as IU 0.
    """
    hist = np.asarray(hist, dtype=np.float64)
    total, truth = hist.sum(), hist.sum(1)
    nan = float("nan")
    if total == 0:
        return dict(overall_accuracy=nan, mean_accuracy=nan, mean_iu=nan, fwavacc=nan)
    accuracy, iu = class_accuracy(hist), class_iu(hist)
    present = truth > 0
    return dict(overall_accuracy=float(np.diag(hist).sum() / total),
                mean_accuracy=float(np.nanmean(accuracy)), mean_iu=float(np.nanmean(iu)),
                fwavacc=float((truth[present] / total * iu[present]).sum()))


def class_accuracy(hist: np.ndarray) -> np.ndarray:
    """Share of each class's pixels that were found: (K,), nan for a class not in the truth."""
    with np.errstate(invalid="ignore"):
        return np.diag(hist) / hist.sum(1)


def class_iu(hist: np.ndarray) -> np.ndarray:
    """Intersection over union of each class: (K,), nan for one in neither truth nor prediction."""
    with np.errstate(invalid="ignore"):
        return np.diag(hist) / (hist.sum(1) + hist.sum(0) - np.diag(hist))

"""Scores near the borders of things: pixels within a band around the label's boundaries (a trimap).

In:   truths and predictions, (H, W); widths of the band in pixels.
Out:  masks; a histogram a width.
Not here: metrics of a histogram (confusion.py).
Source: the trimap of Kohli et al. 2009, as later used for segmentation nets; ours in the details below.

A boundary pixel has one of another value above, below, left or right of it; void (255) is a value
too, so that the band runs along both sides of the void strip that VOC draws around things, and void itself
does not count. A pixel lies in the band of width w when it is less than w pixels (Euclidean) from a
boundary pixel: w = 1 is the boundary pixels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scoring.confusion import fast_hist


def boundary_pixels(label: np.ndarray) -> np.ndarray:
    """Mark the pixels of (H, W) labels that have a neighbour of another value: (H, W) bool."""
    edge = np.zeros(label.shape, bool)
    down, right = label[1:] != label[:-1], label[:, 1:] != label[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def distance_to_boundary(label: np.ndarray) -> np.ndarray:
    """Measure each pixel's distance to the nearest boundary pixel: (H, W) float; inf without any."""
    from scipy.ndimage import distance_transform_edt

    edge = boundary_pixels(label)
    return distance_transform_edt(~edge) if edge.any() else np.full(label.shape, np.inf)


class BoundaryBands:
    """Counts, while a net is scored, the pixels within each of several bands.

    To be used as `watch` of scoring.tally; `bands` holds a (K, K) histogram a width.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        if not widths or min(widths) < 1:
            raise ValueError(f"boundary bands: widths {list(widths)}, want whole numbers of pixels from 1 up")
        self.classes = classes
        self.bands = {width: np.zeros((classes, classes), np.int64) for width in sorted(set(widths))}

    def __call__(self, net: Any, label: np.ndarray, prediction: np.ndarray) -> None:
        """Count one image."""
        distance = distance_to_boundary(label)
        for width, hist in self.bands.items():
            inside = distance < width
            hist += fast_hist(label[inside], prediction[inside], self.classes)

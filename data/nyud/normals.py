"""Normals of a depth map: planes fitted in square windows.

In:   inverse depth, which pixels have one, the ray of each pixel.
Out:  a unit normal and a smoothed inverse depth for each pixel.
Not here: which way is down (gravity.py), pictures (hha.py).
Source: the plane aX + bY + cZ = 1 seen along the ray (x, y, 1) has 1 / Z = ax + by + c, so a linear
    fit of inverse depth gives its normal (Gupta et al., ECCV 2014, fit windows of depth as well);
    to choose among shifted windows is Kuwahara's smoothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt, uniform_filter

from data.whole import DataError

FEWEST = 6  # pixels with a depth that a window must have for three unknowns
FLATTEST = 1e-3  # of the window's spread squared: pixels on a line give no plane
PREFERENCE = 0.8  # a shifted window must leave this share of the centred one's error, or less
OWN = 0.25  # share of a pixel's own square error, beside its window's mean: it must lie on the plane, too


class Planes(NamedTuple):
    """1 / Z = a x + b y + c around each pixel, all (H, W), with the mean square error of the fit."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    error: np.ndarray  # inf where there is no plane


def surface_normals(inverse: np.ndarray, known: np.ndarray, x: np.ndarray, y: np.ndarray,
                    window: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the surface at each pixel; a window that straddles an edge gives way to one beside it.

    Args:
        inverse: (H, W) 1 / metres; what stands where `known` is False does not count.
        known: (H, W) bool, the pixels with a depth.
        x: (W,) or (H, W), X / Z of each pixel's ray.
        y: (H, 1) or (H, W), Y / Z of each pixel's ray.
        window: pixels from the middle of a window to its border; its side is 2 window + 1.

    Returns:
        Unit normals (H, W, 3) that point away from the camera (a floor's points down), and inverse
        depth (H, W) of the fitted surface; pixels without a plane have their nearest neighbour's.

    Raises:
        DataError: no window has enough pixels with a depth.
    """
    x, y = np.broadcast_to(x, inverse.shape), np.broadcast_to(y, inverse.shape)
    inverse = np.where(known, inverse, 0.0)
    planes = _fit(inverse, known, x, y, window)
    if not np.isfinite(planes.error).any():
        raise DataError(f"the depth map has {int(known.sum())} pixels with a depth, too few in every window of "
                        f"{2 * window + 1} x {2 * window + 1} to fit planes; give a fuller map or a larger window")
    chosen, found = _choose(planes, inverse, known, x, y, window)
    if not found.all():
        rows, cols = distance_transform_edt(~found, return_distances=False, return_indices=True)
        chosen = chosen[rows, cols]
    a, b, c = (part.ravel()[chosen] for part in planes[:3])
    normals = np.stack((a, b, c), axis=-1)  # (H, W, 3)
    normals /= np.sqrt((normals * normals).sum(axis=-1, keepdims=True))
    return normals, a * x + b * y + c


def _fit(q: np.ndarray, known: np.ndarray, x: np.ndarray, y: np.ndarray, window: int) -> Planes:
    """Fit a plane in the window around each pixel, by box filters over products."""
    side = 2 * window + 1

    def box(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, side, mode="constant")

    weight = known.astype(np.float64)
    share = box(weight)  # of the window's pixels
    enough = share > (FEWEST - 0.5) / side**2
    share = np.where(enough, share, 1.0)
    wx, wy = weight * x, weight * y
    mx, my, mq = box(wx) / share, box(wy) / share, box(q) / share
    xx, yy, xy = box(wx * x) / share - mx * mx, box(wy * y) / share - my * my, box(wx * y) / share - mx * my
    xq, yq = box(q * x) / share - mx * mq, box(q * y) / share - my * mq
    qq = box(q * q) / share - mq * mq
    spread = np.abs(np.diff(x[0])).max() * np.abs(np.diff(y[:, 0])).max() * window * window
    determinant = xx * yy - xy * xy
    enough &= determinant > FLATTEST * spread * spread
    determinant = np.where(enough, determinant, 1.0)
    a, b = (xq * yy - yq * xy) / determinant, (yq * xx - xq * xy) / determinant
    c = mq - a * mx - b * my
    enough &= a * a + b * b + c * c > 0
    return Planes(a, b, c, np.where(enough, np.maximum(qq - a * xq - b * yq, 0.0), np.inf))


def _choose(planes: Planes, q: np.ndarray, known: np.ndarray, x: np.ndarray, y: np.ndarray,
            window: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the flat index of the window that fits each pixel best, and whether there is one."""
    height, width = q.shape
    place = np.arange(height * width).reshape(height, width)
    best, chosen = np.full(q.shape, np.inf), place
    for down in (0, -window, window):
        for right in (0, -window, window):
            rows = np.clip(np.arange(height) + down, 0, height - 1)[:, np.newaxis]
            cols = np.clip(np.arange(width) + right, 0, width - 1)
            there = place[rows, cols]
            a, b, c, error = (part.ravel()[there] for part in planes)
            if not down and not right:
                error = error * PREFERENCE
            error = error + OWN * np.where(known, a * x + b * y + c - q, 0.0) ** 2
            better = error < best
            best, chosen = np.where(better, error, best), np.where(better, there, chosen)
    return chosen, np.isfinite(best)

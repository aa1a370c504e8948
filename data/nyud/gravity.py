"""Which way is down, from the normals of a room.

In:   unit normals of its surfaces.
Out:  the direction of gravity in the camera's axes (x right, y down, z ahead).
Not here: normals (normals.py), heights (hha.py).
Source: Gupta, Arbelaez, Malik, CVPR 2013: floors and tables look along gravity, walls across it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROUNDS = ((45.0, 5), (15.0, 5))  # degrees within which a normal counts, and how often
DOWN = (0.0, 1.0, 0.0)  # the camera's own vertical
TIE = 2e-3  # eigenvalues closer than this share of the normals say nothing about which to take


def find_gravity(normals: np.ndarray, start: Sequence[float] = DOWN,
                 rounds: Sequence[tuple[float, int]] = ROUNDS) -> np.ndarray:
    """Find gravity by turns: gather normals near and across it, then fit it to them.

    Args:
        normals: (..., 3) unit vectors; their signs do not matter.
        start: the first guess, of any length.
        rounds: pairs of degrees and how many rounds with them.

    Returns:
        (3,) unit vector, within 90 degrees of `start`.
    """
    normals = np.ascontiguousarray(normals, np.float64).reshape(-1, 3)
    gravity = np.asarray(start, np.float64) / np.linalg.norm(start)
    for degrees, times in rounds:
        for _ in range(times):
            gravity = _fitted(normals, gravity, np.radians(degrees))
    return gravity


def _fitted(normals: np.ndarray, gravity: np.ndarray, reach: float) -> np.ndarray:
    """Give the direction least like the normals across gravity and most like those along it."""
    cosine = np.abs(normals @ gravity)
    sign = np.where(cosine < np.sin(reach), 1.0, 0.0) - np.where(cosine > np.cos(reach), 1.0, 0.0)
    scatter = (normals * sign[:, np.newaxis]).T @ normals  # (3, 3)
    values, vectors = np.linalg.eigh(scatter)  # ascending
    # One lone wall leaves a whole plane of directions equally good: stay as near as they allow.
    tied = vectors[:, values - values[0] <= TIE * np.abs(sign).sum()]
    nearest = tied @ (tied.T @ gravity)
    length = np.linalg.norm(nearest)
    return nearest / length if length > 0 else gravity

"""HHA: disparity, height and angle of a depth map, as three channels of a picture.

In:   depth in metres, 0, NaN or infinite where it is missing; the camera.
Out:  (H, W, 3) uint8 in the order that the release's files have, or the figures behind it.
Not here: files (hha_files.py), planes (normals.py), the vertical (gravity.py).
Source: Gupta, Girshick, Arbelaez, Malik, ECCV 2014; the scales are those of the pictures that the
    released NYUDv2 nets were trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data.nyud.camera import NYUD, WINDOW, Camera
from data.nyud.gravity import find_gravity
from data.nyud.normals import surface_normals
from data.whole import DataError

DISPARITY, NEAREST = 31000.0, 100.0  # DISPARITY / depth in cm; what is nearer than NEAREST counts as NEAREST
ANGLE_OFFSET = 128 - 90  # a wall, at 90 degrees, becomes 128
FLOOR_ANGLE = 15.0  # degrees between a floor's normal and gravity
# A lowest point that is less than 90 cm under the camera is no floor; the camera is then taken to be
# 130 cm above one (both in Gupta's code).
LEAST_DROP, USUAL_DROP = 0.90, 1.30
LOWEST = 1.0  # percentile of the floor's points that counts as the lowest: noise reaches below the floor


class Geometry(NamedTuple):
    """What a depth map says about its room; all (H, W) but gravity."""

    depth: np.ndarray  # metres, without holes
    height: np.ndarray  # cm above the floor's lowest point
    angle: np.ndarray  # degrees between gravity and the normal that points away from the camera: 0 floor, 90 wall
    gravity: np.ndarray  # (3,) unit vector: x right, y down, z ahead


def hha(depth: np.ndarray, camera: Camera = NYUD, window: int = WINDOW) -> np.ndarray:
    """Turn depth into an HHA picture.

    Args:
        depth: (H, W) metres; 0, negative, NaN or infinite is missing and filled with the
            surface beside it.
        camera: intrinsics that fit these pixels.
        window: half the side of the windows planes are fitted in, pixels.

    Returns:
        (H, W, 3) uint8: 31000 / depth in cm (depth at least 100 cm), height in cm, angle + 38, each
        rounded and held within 0 ... 255. There is nothing but numbers in it, whatever is missing.

    Raises:
        DataError: not a map, no pixel has a depth, or too few to fit a plane.
    """
    found = geometry(depth, camera, window)
    disparity = DISPARITY / np.maximum(100 * found.depth, NEAREST)
    channels = np.stack((disparity, found.height, found.angle + ANGLE_OFFSET), axis=-1)
    return np.clip(np.rint(channels), 0, 255).astype(np.uint8)


def geometry(depth: np.ndarray, camera: Camera = NYUD, window: int = WINDOW) -> Geometry:
    """Find gravity, heights and angles; arguments and errors as for `hha`."""
    depth = np.asarray(depth, np.float64)
    known = _known(depth)
    inverse = np.divide(1.0, depth, out=np.zeros_like(depth), where=known)
    x = (np.arange(depth.shape[1]) - camera.cx) / camera.fx  # (W,)
    y = ((np.arange(depth.shape[0]) - camera.cy) / camera.fy)[:, np.newaxis]  # (H, 1)
    normals, smooth = surface_normals(inverse, known, x, y, window)
    smooth = np.clip(smooth, inverse[known].min(), inverse[known].max())
    depth = np.where(known, depth, 1 / smooth)  # holes lie on the surface beside them
    gravity = find_gravity(normals)
    along = normals @ gravity
    rise = -(gravity[0] * x + gravity[1] * y + gravity[2])  # metres up for each metre ahead, (H, W)
    height = rise * depth
    floor = along > np.cos(np.radians(FLOOR_ANGLE))
    # DEVIATION D28: Gupta's code takes the lowest of all points, which noise alone puts some cm too low.
    lowest = np.percentile(rise[floor] / smooth[floor], LOWEST) if floor.any() else height.min()
    if lowest > -LEAST_DROP:
        lowest = -USUAL_DROP
    return Geometry(depth, 100 * (height - lowest), np.degrees(np.arccos(np.clip(along, -1, 1))), gravity)


def _known(depth: np.ndarray) -> np.ndarray:
    """Tell which pixels of a map have a depth, (H, W) bool; DataError if none has."""
    if depth.ndim != 2 or min(depth.shape) < 2:
        raise DataError(f"depth has shape {depth.shape}, want (H, W) with at least 2 x 2 pixels")
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        raise DataError("no pixel has a depth (all are 0, negative or NaN); leave this frame out or measure it again")
    return known

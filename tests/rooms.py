"""Rooms of known planes, seen by a depth camera: floor, four walls, ceiling and a box.

The room's axes are x right, y down, z ahead with the floor at y = 0; the camera stands above the origin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIZE = (425, 560)


class View(NamedTuple):
    depth: np.ndarray  # (H, W) metres along the optical axis, without noise
    height: np.ndarray  # cm over the floor
    angle: np.ndarray  # degrees between gravity and the normal away from the camera
    part: np.ndarray  # which plane: 0 floor, 1 ceiling, 2-5 walls, 6-8 the box
    gravity: np.ndarray  # (3,) in the camera's axes


def tilt(pitch, roll):
    """Rotation from the camera's axes to the room's; degrees, a positive pitch looks down."""
    p, r = np.radians([pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_x @ about_z


def see(camera, pitch=0.0, roll=0.0, stand=1.4, size=SIZE, box=True):
    """Cast a ray through each pixel of a room 4.4 m wide, 2.5 m high, with its far wall 4.2 m ahead."""
    turn = tilt(pitch, roll)
    v, u = np.mgrid[:size[0], :size[1]]
    rays = np.stack(((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(size)), -1) @ turn.T
    eye = np.array([0.0, -stand, 0.0])
    planes = [(1, 0.0, None), (1, -2.5, None), (0, -2.0, None), (0, 2.4, None), (2, 4.2, None), (2, -1.5, None)]
    if box:  # 0.8 m wide, 0.7 m high, 0.6 m deep: top, front, left side
        planes += [(1, -0.7, ((0, -1.4, -0.5), (2, 2.2, 2.8))), (2, 2.2, ((0, -1.4, -0.5), (1, -0.7, 0))),
                   (0, -0.5, ((1, -0.7, 0), (2, 2.2, 2.8)))]
    depth, part, axis = np.full(size, np.inf), np.zeros(size, int), np.zeros(size, int)
    for number, (along, at, within) in enumerate(planes):
        with np.errstate(divide="ignore", invalid="ignore"):
            far = (at - eye[along]) / rays[..., along]
            where = eye + far[..., np.newaxis] * rays
        hit = (far > 1e-6) & (far < depth)
        for other, low, high in within or ():
            hit &= (where[..., other] >= low) & (where[..., other] <= high)
        depth[hit], part[hit], axis[hit] = far[hit], number, along
    points = eye + depth[..., np.newaxis] * rays
    down = np.where(np.take_along_axis(rays, axis[..., np.newaxis], -1)[..., 0] > 0, 0.0, 180.0)
    return View(depth, -100 * points[..., 1], np.where(axis == 1, down, 90.0), part, turn.T @ np.array([0.0, 1.0, 0.0]))


def inner(part, margin):
    """Pixels at least `margin` from another plane and from the border."""
    from scipy.ndimage import maximum_filter, minimum_filter

    side = 2 * margin + 1
    highest = maximum_filter(part, side, mode="constant", cval=-1)
    return highest == minimum_filter(part, side, mode="constant", cval=-1)

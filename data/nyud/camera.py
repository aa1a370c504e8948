"""The camera of a depth map.

In:   intrinsics in pixels, and what was cut off the frame.
Out:  `Camera`; NYUDv2's, before and after the crop of its white border.
Not here: what is computed with it (hha.py).
Source: NYUDv2's published calibration of the colour camera, onto which its depth is projected; the
    crop is that of the released nets' images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data.whole import DataError

WINDOW = 10  # pixels: half the side of the squares that planes are fitted in
FRAME = (480, 640)  # rows, columns of the Kinect
CROP = (slice(45, 470), slice(40, 600))  # what is left of them


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: focal lengths and optical centre in pixels, the first pixel's centre at (0, 0)."""

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if not (np.isfinite((self.fx, self.fy, self.cx, self.cy)).all() and min(self.fx, self.fy) > 0):
            raise DataError(f"camera: got {self}, want finite numbers and focal lengths above 0")

    def cropped(self, row: int, col: int) -> Camera:
        """Give the camera of frames of which `row` rows and `col` columns were cut off at the start."""
        return replace(self, cx=self.cx - col, cy=self.cy - row)


KINECT = Camera(518.857901, 519.469611, 325.582449, 253.736166)
NYUD = KINECT.cropped(CROP[0].start, CROP[1].start)
CROPPED = tuple(cut.stop - cut.start for cut in CROP)  # 425, 560


def usual_camera(shape: tuple[int, ...]) -> Camera:
    """Give NYUDv2's camera for a map of this shape; DataError where the shape is not of its frames."""
    if shape == CROPPED:
        return NYUD
    if shape == FRAME:
        return KINECT
    raise DataError(f"got {' x '.join(map(str, shape))} pixels; NYUDv2's camera has 425 x 560, or 480 x 640 before "
                    "the crop; give your own as --camera FX FY CX CY")

"""Windows of images as R-CNN lists them: the list, and where a window lies once context is added.

In:   a window file; a window, the image's size, the wanted size.
Out:  WindowList; Placement: what to cut out, how large to make it, where to put it.
Not here: pixels, draws (layers/window_data.py).
Source: BVLC window_data_layer.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import CaffeError

_FLOAT = np.float32


class Window(NamedTuple):
    """A rectangle in an image, both corners inside, and its class; 0 is background."""

    image: int
    label: int
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass
class WindowList:
    """What a window file holds."""

    images: list[str] = field(default_factory=list)  # paths, by their number
    channels: int = 0  # of the last image
    foreground: list[Window] = field(default_factory=list)
    background: list[Window] = field(default_factory=list)


def read_windows(path: str, fg_threshold: float, bg_threshold: float) -> WindowList:
    """Read a window file: for each image `# number path channels height width count`, then count windows.

    Args:
        path: of the file; a window is `class overlap x1 y1 x2 y2`, all separated by blanks or line ends.
        fg_threshold: windows of at least this overlap are foreground.
        bg_threshold: of the others, those below this are background.

    Raises:
        CaffeError: no such file, or one in another form, naming the image.
    """
    try:
        words = iter(Path(path).read_text(encoding="utf-8", errors="surrogateescape").split())
    except (OSError, ValueError) as problem:
        raise CaffeError(f"Failed to open window file {path!r} ({problem})") from problem
    found = WindowList()
    for mark in words:
        who = f"window file {path}, image {len(found.images)}"
        if mark != "#":
            raise CaffeError(f"{who}: got {mark!r}, want '#' (wrong number of windows before it?)")
        try:
            _read_image(words, found, _FLOAT(fg_threshold), _FLOAT(bg_threshold))
        except StopIteration:
            raise CaffeError(f"{who}: the file ends within it") from None
        except ValueError as problem:
            raise CaffeError(f"{who}: {problem}; want `# number path channels height width count`, then `class "
                             "overlap x1 y1 x2 y2` for each window") from problem
    if not found.images:
        raise CaffeError(f"Window file is empty: {path}")
    return found


def _read_image(words, found: WindowList, fg_threshold: np.float32, bg_threshold: np.float32) -> None:
    number = int(next(words))
    if number != len(found.images):
        raise ValueError(f"it has the number {number}, want 0, 1, 2 ... in order")
    found.images.append(next(words))
    found.channels, _, _, count = (int(next(words)) for _ in range(4))
    for _ in range(count):
        label, overlap = int(next(words)), _FLOAT(next(words))
        corners = [int(next(words)) for _ in range(4)]
        if overlap >= fg_threshold:
            if label <= 0:
                raise ValueError(f"a foreground window has the class {label}, want at least 1")
            found.foreground.append(Window(number, label, *corners))
        elif overlap < bg_threshold:
            found.background.append(Window(number, 0, *corners))


class Placement(NamedTuple):
    """Cut rows y1 … y2 and columns x1 … x2 (included), resize them to height x width, put that at (top, left)."""

    x1: int
    y1: int
    x2: int
    y2: int
    height: int
    width: int
    top: int
    left: int


def place(window: Window, rows: int, columns: int, size: int, context_pad: int, square: bool,
          mirrored: bool) -> Placement:
    """Place a window in a crop of size x size, with context_pad pixels of its surroundings on every side.

    Args:
        window: as listed.
        rows: of the image.
        columns: of the image.
        size: of the crop.
        context_pad: in pixels of the crop.
        square: take a square around the window, so that nothing is warped.
        mirrored: the cut-out will be flipped, together with the margin that the image lacks.

    Raises:
        CaffeError: a window outside the image, or an empty one.
    """
    x1, y1, x2, y2 = window[2:]
    beyond = (0, 0, 0, 0)
    if context_pad or square:
        x1, y1, x2, y2 = _expand(x1, y1, x2, y2, _FLOAT(size) / _FLOAT(size - 2 * context_pad), square)
        beyond = max(0, -x1), max(0, -y1), max(0, x2 - columns + 1), max(0, y2 - rows + 1)
    scale_x, scale_y = _FLOAT(size) / _FLOAT(x2 - x1 + 1), _FLOAT(size) / _FLOAT(y2 - y1 + 1)
    x1, y1, x2, y2 = x1 + beyond[0], y1 + beyond[1], x2 - beyond[2], y2 - beyond[3]
    if not (0 <= x1 <= x2 < columns and 0 <= y1 <= y2 < rows):
        raise CaffeError(f"the window {window.x1} {window.y1} {window.x2} {window.y2} is not inside the image of "
                         f"{columns} x {rows}, or is empty")
    if not (context_pad or square):
        return Placement(x1, y1, x2, y2, size, size, 0, 0)
    top = _round(_FLOAT(beyond[1]) * scale_y)
    left = _round(_FLOAT(beyond[2 if mirrored else 0]) * scale_x)
    # Caffe: anything rounding would push over the edge is cut off.
    height = min(_round(_FLOAT(y2 - y1 + 1) * scale_y), size - top)
    width = min(_round(_FLOAT(x2 - x1 + 1) * scale_x), size - left)
    if height < 1 or width < 1:
        raise CaffeError(f"the window {window.x1} {window.y1} {window.x2} {window.y2} with its context shows nothing "
                         f"of the image of {columns} x {rows}")
    return Placement(x1, y1, x2, y2, height, width, top, left)


def _expand(x1: int, y1: int, x2: int, y2: int, scale: np.float32, square: bool) -> tuple[int, int, int, int]:
    """Scale a rectangle, or the square around it, about its middle, in single precision."""
    half_height, half_width = _FLOAT((y2 - y1 + 1) / 2), _FLOAT((x2 - x1 + 1) / 2)
    center_x, center_y = _FLOAT(x1) + half_width, _FLOAT(y1) + half_height
    if square:
        half_height = half_width = max(half_height, half_width)
    return (_round(center_x - half_width * scale), _round(center_y - half_height * scale),
            _round(center_x + half_width * scale), _round(center_y + half_height * scale))


def _round(value: np.float32) -> int:
    """Round as C does: halves away from zero."""
    return int(np.copysign(np.floor(abs(float(value)) + 0.5), value))

"""What the options of a data layer do to an image and its labels: move, mirror, crop, mask, sample, pad.

In:   arrays of one item, (C, H, W), and what was drawn for it (draw_order.py).
Out:  arrays of the same kind; what comes in from outside the image is `fill`: 0 (the mean) or 255 (ignored).
Not here: chance, files, which options are on (seg_data_layer.py).
Source: the FCN papers: mirroring and jitter, sampling of the loss, masked foreground and background; cropping and
    padding are ours, for large images and for batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from image_files import IGNORE

BACKGROUND = 0
MASKS = ("foreground", "background", "both")


def moved(array: np.ndarray, shift: tuple[int, int], fill: int) -> np.ndarray:
    """Move (C, H, W) by (down, right) pixels within its own size."""
    if shift == (0, 0):
        return array
    out = np.full_like(array, fill)
    (to_y, from_y), (to_x, from_x) = (_overlap(step, side) for step, side in zip(shift, array.shape[1:]))
    out[:, to_y, to_x] = array[:, from_y, from_x]
    return out


def _overlap(step: int, side: int) -> tuple[slice, slice]:
    """Where pixels of a side go when moved by `step`, and where they come from."""
    step = max(-side, min(side, step))
    return slice(max(step, 0), side + min(step, 0)), slice(max(-step, 0), side + min(-step, 0))


def cropped(array: np.ndarray, size: tuple[int, int], window: tuple[float, float]) -> np.ndarray:
    """Cut a window of at most `size` (H, W) out of (C, H, W); a side that is shorter stays whole."""
    for axis, (want, place) in enumerate(zip(size, window), start=1):
        have = array.shape[axis]
        if have > want:
            start = int(place * (have - want + 1))
            array = array[(slice(None),) * axis + (slice(start, start + want),)]
    return array


def masked(image: np.ndarray, label: np.ndarray, which: str) -> np.ndarray:
    """Set an image (C, H, W) to 0, which is the mean, where `label` (1, H, W) is as `which` says.

    Void pixels, which are of neither kind, stay.
    """
    background = label[0] == BACKGROUND
    foreground = ~background & (label[0] != IGNORE)
    hidden = {"foreground": foreground, "background": background, "both": foreground | background}[which]
    return np.where(hidden, np.float32(0), image)


def sampled(label: np.ndarray, share: float, noise: int) -> np.ndarray:
    """Ignore each pixel of a label with probability 1 - share; the same ones for the same `noise` and size."""
    kept = np.random.RandomState(noise).random_sample(label.shape) < share
    return np.where(kept, label, np.array(IGNORE, label.dtype))


def batched(arrays: Sequence[np.ndarray], fill: int) -> np.ndarray:
    """Stack (C, H, W) arrays as (N, C, H, W), each in the upper left corner of the largest H and W."""
    if len(arrays) == 1:
        return arrays[0][np.newaxis]
    height, width = (max(array.shape[axis] for array in arrays) for axis in (1, 2))
    out = np.full((len(arrays), arrays[0].shape[0], height, width), fill, arrays[0].dtype)
    for into, array in zip(out, arrays):
        into[:, :array.shape[1], :array.shape[2]] = array
    return out

"""Pictures of what the checker found: image, label as it is, label as it was understood.

In:   a finding, the class table.
Out:  an RGB array, a row for each of its first pairs.
Not here: finding it (checker), files.   Source: ours.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from PIL import Image

from inference.photos import PhotoError, read_photo
from own.checker import Finding
from own.pairs import Pair
from own.survey import LabelError, read_codes
from own.table import Table
from vis import color_seg, legend, make_palette, panel

ROWS = 3
_LOW, _HIGH = 96, 240  # pixels of the longer side in a panel
_WRONG = (255, 0, 255)


def draw_finding(finding: Finding, table: Table) -> Optional[np.ndarray]:
    """Draw the first pairs of a finding: (H, W, 3) uint8, or None where nothing can be shown."""
    rows = [row for row in (_row(pair, table) for pair in finding.pairs[:ROWS]) if row is not None]
    if not rows:
        return None
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(rows)


def _row(pair: Pair, table: Table) -> Optional[np.ndarray]:
    """Image, label as a viewer shows it, label in class colours with what the table does not know in magenta."""
    pictures: List[np.ndarray] = []
    try:
        pictures.append(_sized(read_photo(pair.image)[0]))
    except PhotoError:
        pass
    try:
        with Image.open(pair.label) as label:
            shown = label.point(lambda value: value / 256).convert("L") if label.mode.startswith("I") else label
            pictures.append(_sized(np.asarray(shown.convert("RGB"))))
        numbers, strange = table.labels(read_codes(pair.label, table.form))
        understood = color_seg(numbers, make_palette(256))
        understood[strange] = _WRONG
        pictures.append(_sized(understood))
    except (LabelError, OSError, SyntaxError, ValueError):
        pass
    if not pictures:
        return None
    text = f"not in the class table; {pair.id}: image, label, label as understood"
    return panel(pictures, legend([(0, text)], np.array([_WRONG], np.uint8), 0))


def _sized(picture: np.ndarray) -> np.ndarray:
    """Bring a picture into a size that can be looked at, by the nearest pixel: values stay what they are."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    factor = _HIGH / longest if longest > _HIGH else max(1, _LOW // longest)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))

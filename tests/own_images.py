"""Tiny folders of images and labels as users have them.

In:   a folder, label arrays.
Out:  ROOT/images/ID.jpg and ROOT/labels/ID.png.
Not here: what must be made of them (test_own_*.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (20, 24)  # (H, W)


def halves(number: int, left: int = 0, size: tuple = SIZE) -> np.ndarray:
    """(H, W) uint8: `left` in the left half, `number` in the right."""
    label = np.full(size, left, np.uint8)
    label[:, size[1] // 2:] = number
    return label


def make_pairs(root: Path, labels: dict, ending: str = "png", **save: object) -> tuple:
    """Write a pair for each label, (H, W) or (H, W, 3); its image is bright where the label is high. Gives folders."""
    rng = np.random.RandomState(0)
    images, truths = root / "images", root / "labels"
    for folder in (images, truths):
        folder.mkdir(parents=True, exist_ok=True)
    for name, label in labels.items():
        flat = label if label.ndim == 2 else label.max(2)
        image = np.clip(flat[..., None] * 60.0 + rng.randint(0, 40, (*flat.shape, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(images / f"{name}.jpg")
        Image.fromarray(label).save(truths / f"{name}.{ending}", **save)
    return images, truths


def paint(label: np.ndarray, colours: dict) -> np.ndarray:
    """Turn class numbers into colours: (H, W, 3) uint8."""
    table = np.zeros((256, 3), np.uint8)
    for number, colour in colours.items():
        table[number] = colour
    return table[label]

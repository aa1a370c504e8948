"""Photographs and labels that are drawn, so that a measurement needs no data set.

In:   a folder, how many, sizes (height, width) in turn, how many classes.
Out:  images/NNN.jpg and labels/NNN.png (palette).
Not here: what is done with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vis import save_label


def draw(folder: Path, count: int, sizes: Sequence[tuple[int, int]] = ((375, 500),),
         classes: int = 21) -> tuple[Path, Path]:
    """Draw clouds of several grains and noise; labels with four rectangles. Returns both folders."""
    rng = np.random.RandomState(0)
    images, labels = folder / "images", folder / "labels"
    images.mkdir()
    labels.mkdir()
    for i in range(count):
        height, width = sizes[i % len(sizes)]
        cloud = sum(np.asarray(Image.fromarray(rng.randint(0, 256, (n, n + n // 3, 3)).astype(np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC), np.float32) / k for k, n in ((2, 6), (4, 24), (8, 90)))
        photo = np.clip(cloud + rng.normal(0, 6, cloud.shape), 0, 255).astype(np.uint8)
        Image.fromarray(photo).save(images / f"{i:03d}.jpg", quality=92)
        label = np.zeros((height, width), np.uint8)
        for _ in range(4):
            y, x = rng.randint(0, height * 4 // 5), rng.randint(0, width * 4 // 5)
            label[y:y + rng.randint(8, height // 2), x:x + rng.randint(8, width // 2)] = rng.randint(1, classes)
        save_label(labels / f"{i:03d}.png", label)
    return images, labels

"""One picture of the embedded set: objects on a background, and what each pixel is.

In:   the kind of picture and its index; nothing else decides how it looks.
Out:  `Scene`: RGB picture, label map (0 background, 1..8 OBJECTS, 255 border).
Not here: files (generate.py), outlines (objects.py), what lies behind (backgrounds.py).
Source: ours; sizes, counts and the share of the border as in PASCAL VOC's spirit.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from data.shapes.backgrounds import draw_background, soft_shadow
from data.shapes.colours import object_look, tinted
from data.shapes.objects import OBJECTS, STANDING, Drawn, draw_object
from data.shapes.textures import TILE, cut, sensor_noise

VERSION = 1  # raise it when a change alters any picture: older files are then made anew
SIZES = ((256, 192), (192, 256), (224, 224))  # width, height
RADIUS = (38.0, 95.0)
COVERED = 0.40  # at most this share of an earlier object may be hidden
BORDER = 255
TRIES = 14


class Scene(NamedTuple):
    """A picture (RGB, H x W) and its label map (H, W) uint8."""

    picture: Image.Image
    label: np.ndarray


class _Stage:
    """A picture in the making, with who owns which pixel."""

    def __init__(self, size: tuple[int, int], rng: random.Random) -> None:
        self.rng = rng
        self.picture, self.horizon = draw_background(size, rng)
        self.label = np.zeros(size[::-1], np.uint8)
        self.owner = np.zeros(size[::-1], np.uint8)  # 0 nobody, k the k-th object
        self.areas = [0]

    def add(self, index: int, radius: float) -> bool:
        """Draw an object of class OBJECTS[index] where it hides no other; False if it cannot."""
        name = OBJECTS[index]
        drawn = draw_object(name, radius, self.rng.uniform(-1, 1), self.rng)
        solid = np.asarray(drawn.cover) >= 128
        for _ in range(TRIES):
            corner = self._corner(name, radius, solid)
            if self._fits(solid, corner):
                self._paint(index, drawn, solid, corner)
                return True
        return False

    def _corner(self, name: str, radius: float, solid: np.ndarray) -> tuple[int, int]:
        """Choose where the upper left corner of an object's square lies."""
        (height, width), half = self.owner.shape, solid.shape[0] // 2
        x = self.rng.uniform(0.6 * radius, max(0.6 * radius, width - 0.6 * radius))
        if name in STANDING:
            foot = self.rng.uniform(max(self.horizon + 4, 1.3 * radius), 1.04 * height)
            return round(x) - half, round(foot) - int(np.flatnonzero(solid.any(axis=1))[-1])
        y = self.rng.uniform(0.7 * radius, max(0.7 * radius, height - 0.7 * radius))
        return round(x) - half, round(y) - half

    def _fits(self, solid: np.ndarray, corner: tuple[int, int]) -> bool:
        there, here = _overlap(self.owner.shape, solid.shape[0], corner)
        seen = solid[here]
        if seen.sum() < 0.75 * solid.sum():
            return False
        hidden = np.bincount(self.owner[there][seen], minlength=len(self.areas))
        left = np.bincount(self.owner.ravel(), minlength=len(self.areas)) - hidden
        return all(left[k] >= (1 - COVERED) * self.areas[k] for k in range(1, len(self.areas)))

    def _paint(self, index: int, drawn: Drawn, solid: np.ndarray, corner: tuple[int, int]) -> None:
        look, cover = object_look(index, self.rng), drawn.cover
        if OBJECTS[index] in STANDING:
            rows = np.flatnonzero(solid.any(axis=1))
            reach = int(0.36 * solid.shape[0])
            soft_shadow(
                self.picture, corner[0] + solid.shape[1] // 2, corner[1] + int(rows[-1]), reach
            )
        grey = cut(look.texture, cover.size, self.rng, look.turn, look.zoom)
        self.picture.paste(tinted(grey, look.dark, look.light, drawn.tone), corner, cover)
        there, here = _overlap(self.owner.shape, solid.shape[0], corner)
        self.label[there][_grown(solid)[here]] = BORDER
        self.label[there][solid[here]] = index + 1
        self.owner[there][solid[here]] = len(self.areas)
        self.areas.append(int(solid[here].sum()))

    def finish(self) -> Scene:
        """Lay light, blur and noise over the picture."""
        rng, picture = self.rng, self.picture
        if rng.random() < 0.5:
            picture = picture.filter(ImageFilter.BoxBlur(rng.uniform(0.2, 0.5)))
        height, width = self.owner.shape
        y, x = rng.randrange(TILE - height), rng.randrange(TILE - width)
        noise = sensor_noise()[y : y + height, x : x + width]
        across = np.linspace(rng.randrange(100, 150), rng.randrange(100, 150), width).astype(
            np.uint16
        )
        down = np.linspace(rng.randrange(-14, 15), rng.randrange(-14, 15), height).astype(np.int16)
        light = (across[None, :] + down[:, None]).astype(np.uint16)  # (H, W), 128 = as it is
        lit = (np.asarray(picture).astype(np.uint16) * light[..., None] >> 7).astype(np.int16)
        lit += noise * np.int16(rng.randrange(1, 5)) >> 2
        return Scene(Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)), self.label)


def _overlap(shape: tuple[int, int], side: int, corner: tuple[int, int]) -> tuple:
    """Return a square's part inside the picture, as slices of the picture and of itself."""
    there, here = [], []
    for start, limit in zip(corner[::-1], shape):
        low, high = max(0, start), max(max(0, start), min(limit, start + side))
        there.append(slice(low, high))
        here.append(slice(low - start, high - start))
    return tuple(there), tuple(here)


def _grown(solid: np.ndarray) -> np.ndarray:
    """Return the mask and everything within two pixels of it."""
    cross = solid.copy()
    cross[1:] |= solid[:-1]
    cross[:-1] |= solid[1:]
    cross[:, 1:] |= solid[:, :-1]
    cross[:, :-1] |= solid[:, 1:]
    square = cross.copy()
    square[1:] |= cross[:-1]
    square[:-1] |= cross[1:]
    grown = square.copy()
    grown[:, 1:] |= square[:, :-1]
    grown[:, :-1] |= square[:, 1:]
    return grown


def _rng(kind: str, index: int) -> random.Random:
    return random.Random(f"shapes {VERSION} {kind} {index}")


def draw_scene(split: str, index: int, among: Sequence[int] = range(len(OBJECTS))) -> Scene:
    """Draw scene `index` of a split.

    Args:
        split: `train` or `seg11valid`; another name gives other pictures.
        index: from 0.
        among: indices in OBJECTS that may occur.

    Returns:
        A picture of one of SIZES with 2 to 5 objects, drawn back to front, and its label map.
    """
    rng = _rng(split, index)
    stage = _Stage(SIZES[index % len(SIZES)], rng)
    wanted = rng.randint(2, 5)
    first = among[(index // len(SIZES)) % len(among)]  # each class leads equally often
    classes = [first] + [among[rng.randrange(len(among))] for _ in range(wanted - 1)]
    rng.shuffle(classes)
    placed, low = 0, RADIUS[0]
    for radius in sorted(_radius(rng) for _ in classes):  # the nearer, the larger
        if not stage.add(classes[placed], radius) and not stage.add(classes[placed], low):
            continue
        placed += 1
    return stage.finish()


def _radius(rng: random.Random, low: float = RADIUS[0]) -> float:
    return rng.triangular(low, RADIUS[1], 62.0)


def draw_single(split: str, index: int) -> tuple[Image.Image, int]:
    """Draw picture `index` of the classifier's set: one object, 224 x 224.

    Args:
        split: `classifier_train` or `classifier_val`.
        index: from 0; the classes take turns.

    Returns:
        The picture and the index of its class in OBJECTS.
    """
    rng, index_of_class = _rng(split, index), index % len(OBJECTS)
    stage = _Stage((224, 224), rng)
    while not stage.add(index_of_class, _radius(rng, 45.0)):
        pass
    return stage.finish().picture, index_of_class

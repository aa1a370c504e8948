"""Colours of the embedded set: what each class usually looks like, and how grey becomes colour.

In:   class indices and the random numbers of one picture.
Out:  `Look` (texture and two colours), `tinted` (grey picture + two colours -> RGB).
Not here: outlines (objects.py), tiles (textures.py).
Source: ours. A typical hue lets a small net learn in minutes; one object in twenty breaks the rule.
"""

import colorsys
import random
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image, ImageChops

from data.shapes.textures import TEXTURES

Colour = tuple[int, int, int]
TYPICAL_TEXTURE, TYPICAL_HUE, HUE_DEVIATION = 0.90, 0.95, 0.022
# Class k keeps hue HUES[k]; red, yellow, ... are dealt so that similar outlines differ in hue.
HUES = (0.02, 0.52, 0.08, 0.29, 0.15, 0.90, 0.40, 0.62)


class Look(NamedTuple):
    """What a surface wears: a tile's name, how it is turned and scaled, and its two colours."""

    texture: str
    turn: float
    zoom: float
    dark: Colour
    light: Colour


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Return 8-bit RGB of a hue (any real; 1 is a full turn), saturation and value in [0, 1]."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, saturation), min(1.0, value))
    return round(255 * red), round(255 * green), round(255 * blue)


def object_look(index: int, rng: random.Random) -> Look:
    """Dress an object of class OBJECTS[index]: mostly in its typical texture and hue."""
    typical = rng.random() < TYPICAL_TEXTURE
    texture = TEXTURES[index] if typical else rng.choice(TEXTURES)
    hue = rng.gauss(HUES[index], HUE_DEVIATION) if rng.random() < TYPICAL_HUE else rng.random()
    saturation, value = rng.uniform(0.55, 0.95), rng.uniform(0.7, 1.0)
    dark = colour(hue, saturation + 0.1, value * rng.uniform(0.45, 0.65))
    light = colour(hue, saturation * rng.uniform(0.5, 0.9), value)
    return Look(texture, rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.3), dark, light)


def clutter_look(rng: random.Random, textured: float = 0.6) -> Look:
    """Dress a thing of no class: any hue, any texture, often dull."""
    texture = rng.choice(TEXTURES) if rng.random() < textured else rng.choice(("rough", "clouds"))
    hue, saturation, value = rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.3, 0.95)
    dark = colour(hue, saturation, value * rng.uniform(0.5, 0.85))
    return Look(
        texture,
        rng.uniform(-1.5, 1.5),
        rng.uniform(0.75, 1.3),
        dark,
        colour(hue, saturation, value),
    )


def tinted(
    grey: Image.Image, dark: Colour, light: Colour, tone: Optional[Image.Image] = None
) -> Image.Image:
    """Turn a grey picture into colour.

    Args:
        grey: mode L; 0 becomes `dark`, 255 `light`.
        dark: RGB.
        light: RGB.
        tone: picture of the same size, 128 = leave as it is, 64 = half as bright,
            192 = half way to white.

    Returns:
        An RGB picture.
    """
    steps = np.arange(256)[:, None]
    table = (np.array(dark) * (255 - steps) + np.array(light) * steps) // 255  # (256, 3)
    picture = grey.copy()
    picture.putpalette(table.astype(np.uint8).tobytes())
    picture = picture.convert("RGB")
    if tone is None:
        return picture
    return ImageChops.hard_light(picture, Image.merge("RGB", (tone, tone, tone)))

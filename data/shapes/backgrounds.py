"""Backgrounds of the embedded set: sky or wall, ground in perspective, and things of no class.

In:   a size and the random numbers of one picture.
Out:  `draw_background` -> RGB picture and the row of the horizon.
Not here: objects with a label (objects.py), light and noise over the whole picture (scene.py).
Source: ours.
"""

import functools
import math
import random

from PIL import Image

from data.shapes.colours import clutter_look, colour, tinted
from data.shapes.objects import Canvas, oval
from data.shapes.textures import TEXTURES, TILE, cut, tile

CLUTTER = (6, 12)


def _sky(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Return clouds before a sky, or a papered wall."""
    if rng.random() < 0.5:
        hue = rng.uniform(0.5, 0.68)
        blue, white = (
            colour(hue, rng.uniform(0.3, 0.65), rng.uniform(0.6, 0.9)),
            colour(hue, 0.08, 0.96),
        )
        return tinted(cut("clouds", size, rng, 0.0, rng.uniform(0.8, 1.6)), blue, white)
    hue, saturation, value = rng.random(), rng.uniform(0.08, 0.4), rng.uniform(0.45, 0.9)
    paper = rng.choice(TEXTURES + ("rough",) * 4)
    dark = colour(hue, saturation, value * rng.uniform(0.8, 0.93))
    return tinted(
        cut(paper, size, rng, 0.0, rng.uniform(1.0, 1.4)), dark, colour(hue, saturation, value)
    )


def _ground(size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Return grass, sand, boards or tiles, seen from above at a slant."""
    width, height = size
    kind = rng.choice(("rough", "rough", "speckle", "grain", "checks", "bricks", "clouds"))
    far, near = TILE * rng.uniform(0.8, 0.98), width * rng.uniform(0.55, 0.9)
    depth = min(TILE, 2.2 * height)
    left, low = (TILE - far) / 2, (TILE - near) / 2
    quad = (left, 0, low, depth, low + near, depth, left + far, 0)
    piece = tile(kind).transform(size, Image.QUAD, quad, Image.BILINEAR)
    hue, saturation = (
        rng.choice((0.09, 0.12, 0.27, 0.33, 0.6, rng.random())),
        rng.uniform(0.12, 0.5),
    )
    value = rng.uniform(0.35, 0.85)
    light = colour(hue, saturation, value)
    return tinted(piece, colour(hue, saturation + 0.08, value * rng.uniform(0.6, 0.88)), light)


def _blob(rng: random.Random) -> list:
    """Return the corners of a lumpy outline."""
    count, corners = rng.randrange(5, 10), []
    for k in range(count):
        turn, reach = 2 * math.pi * (k + 0.6 * rng.random()) / count, rng.uniform(0.5, 1.0)
        corners.append((reach * math.cos(turn), reach * math.sin(turn)))
    return corners


def _clutter(rng: random.Random) -> Canvas:
    """Return one thing of no class: slab, lump, bar, wedge, half moon or corner."""
    kind, radius = rng.randrange(6), rng.uniform(10, 46)
    canvas = Canvas(radius, rng.uniform(-1.6, 1.6))
    tone, thick = rng.randrange(100, 156), rng.uniform(0.25, 0.7)
    if kind == 0:
        canvas.polygon([(-1, -thick), (1, -thick), (1, thick), (-1, thick)], tone)
    elif kind == 1:
        canvas.polygon(_blob(rng), tone)
    elif kind == 2:
        canvas.stroke(
            [(-1, 0), (rng.uniform(-0.3, 0.3), rng.uniform(-0.4, 0.4)), (1, 0)],
            rng.uniform(3, 9),
            tone,
        )
    elif kind == 3:
        canvas.polygon([(-1, 0.5), (1, 0.6 * thick), (rng.uniform(-1, 1), -thick)], tone)
    elif kind == 4:
        canvas.polygon(oval(0, 0, 1, 1, 32)[:17], tone)
    else:
        canvas.polygon(
            [(-1, -1), (thick - 1, -1), (thick - 1, 1 - thick), (1, 1 - thick), (1, 1), (-1, 1)],
            tone,
        )
    return canvas


def draw_background(size: tuple[int, int], rng: random.Random) -> tuple[Image.Image, int]:
    """Draw what lies behind the objects.

    Args:
        size: (width, height).
        rng: decides everything.

    Returns:
        An RGB picture of that size, and the row where the ground begins.
    """
    width, height = size
    horizon = round(height * rng.uniform(0.4, 0.72))
    picture = _sky(size, rng)
    picture.paste(_ground((width, height - horizon), rng), (0, horizon))
    for _ in range(rng.randint(*CLUTTER)):
        cover, tone = (drawn := _clutter(rng).done()).cover, drawn.tone
        look = clutter_look(rng)
        dressed = tinted(
            cut(look.texture, cover.size, rng, look.turn, look.zoom), look.dark, look.light, tone
        )
        half = cover.size[0] // 2
        picture.paste(dressed, (rng.randrange(width) - half, rng.randrange(height) - half), cover)
    return picture, horizon


def soft_shadow(picture: Image.Image, x: int, y: int, reach: int) -> None:
    """Darken the ground under an object that stands at (x, y), `reach` pixels to either side."""
    flat = max(3, reach // 5)
    veil = _veil().resize((2 * reach, 2 * flat), Image.BILINEAR)
    picture.paste((18, 16, 22), (x - reach, y - flat), veil)


@functools.cache
def _veil() -> Image.Image:
    return Image.radial_gradient("L").point([max(0, 150 - v) for v in range(256)])

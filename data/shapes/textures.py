"""Surfaces of the embedded set: grey tiles from which every object, wall and floor is cut.

In:   nothing; the tiles are drawn once a process, always alike.
Out:  `tile(name)`, a grey picture of TILE x TILE pixels; `cut`, a turned and scaled piece of it.
Not here: colours (colours.py), outlines (objects.py).
Source: ours. Everything is integer arithmetic on 8-bit pictures, so that all machines draw alike.
"""

import functools
import math
import random
from typing import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

TILE = 576  # a piece of 200 x 200 pixels, turned by 45 degrees and shrunk to .7, still fits


def _blank(grey: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a tile of one grey at twice the size, and a pen for it."""
    picture = Image.new("L", (2 * TILE, 2 * TILE), grey)
    return picture, ImageDraw.Draw(picture)


def _noise(cell: int, seed: int) -> Image.Image:
    """Return smooth noise whose grains are `cell` pixels wide."""
    side = TILE // cell + 2
    grains = random.Random(seed).getrandbits(8 * side * side).to_bytes(side * side, "little")
    return Image.frombytes("L", (side, side), grains).resize((TILE, TILE), Image.BICUBIC)


def _clouds(seed: int, cells: tuple[int, ...]) -> Image.Image:
    """Return noise of several grain sizes, each finer one added at half the weight."""
    picture = _noise(cells[0], seed)
    for step, cell in enumerate(cells[1:], start=1):
        picture = Image.blend(picture, _noise(cell, seed + step), 0.33)
    low, high = picture.getextrema()
    return picture.point([min(255, max(0, (v - low) * 255 // (high - low))) for v in range(256)])


def _stripes() -> Image.Image:
    picture, pen = _blank(40)
    for x in range(0, 2 * TILE, 32):
        pen.rectangle([x, 0, x + 15, 2 * TILE], fill=215)
    return picture.reduce(2)


def _checks() -> Image.Image:
    picture, pen = _blank(40)
    for row, y in enumerate(range(0, 2 * TILE, 26)):
        for x in range(26 * (row % 2), 2 * TILE, 52):
            pen.rectangle([x, y, x + 25, y + 25], fill=215)
    return picture.reduce(2)


def _dots() -> Image.Image:
    picture, pen = _blank(60)
    for row, y in enumerate(range(-20, 2 * TILE, 36)):
        for x in range(-21 * (row % 2), 2 * TILE, 42):
            pen.ellipse([x, y, x + 23, y + 23], fill=235)
    return picture.reduce(2)


def _bricks() -> Image.Image:
    rng, (picture, pen) = random.Random(11), _blank(25)
    for row, y in enumerate(range(0, 2 * TILE, 30)):
        for x in range(-34 * (row % 2), 2 * TILE, 68):
            pen.rectangle([x, y, x + 62, y + 24], fill=rng.randrange(120, 230))
    return Image.blend(picture.reduce(2), _noise(3, 12), 0.15)


def _plaid() -> Image.Image:
    picture, pen = _blank(90)
    for shade, at, width in ((150, 0, 34), (225, 44, 8), (30, 58, 5)):
        for start in range(0, 2 * TILE, 72):
            low, high = start + at, start + at + width
            pen.rectangle([low, 0, high, 2 * TILE], fill=shade)
    return Image.blend(picture, picture.transpose(Image.ROTATE_90), 0.5).reduce(2)


def _zigzag() -> Image.Image:
    picture, pen = _blank(50)
    for y in range(-60, 2 * TILE + 60, 34):
        points = [(x, y + 22 * (step % 2)) for step, x in enumerate(range(0, 2 * TILE + 24, 24))]
        pen.line(points, fill=225, width=13)
    return picture.reduce(2)


def _grain() -> Image.Image:
    """Draw wood: long wavy lines, finer and darker at random."""
    rng, (picture, pen) = random.Random(17), _blank(170)
    y = 0
    while y < 2 * TILE:
        lean, shade = rng.uniform(0, 6.28), rng.randrange(40, 230)
        points = [(x, y + round(9 * math.sin(x / 90 + lean))) for x in range(0, 2 * TILE + 40, 40)]
        pen.line(points, fill=shade, width=rng.randrange(4, 11))
        y += rng.randrange(6, 13)
    return picture.reduce(2)


def _speckle() -> Image.Image:
    spots = _clouds(23, (9, 5)).point(
        [30 if v < 118 else 120 if v < 150 else 235 for v in range(256)]
    )
    return spots.filter(ImageFilter.SMOOTH)


_TILES: dict[str, Callable[[], Image.Image]] = {
    "dots": _dots, "stripes": _stripes, "bricks": _bricks, "plaid": _plaid,
    "speckle": _speckle, "checks": _checks, "grain": _grain, "zigzag": _zigzag,
    "clouds": lambda: _clouds(31, (110, 52, 24)), "rough": lambda: _clouds(41, (24, 9, 4, 2)),
}  # fmt: skip
TEXTURES = tuple(_TILES)[:8]  # those an object may wear


@functools.cache
def tile(name: str) -> Image.Image:
    """Return the tile `name`: mode L, TILE x TILE."""
    return _TILES[name]()


@functools.cache
def sensor_noise() -> np.ndarray:
    """Return noise of a camera: (TILE, TILE, 3) int16, about normal with deviation 13."""
    count = TILE * TILE * 3
    draws = random.Random(53).getrandbits(8 * 3 * count).to_bytes(3 * count, "little")
    sums = np.frombuffer(draws, np.uint8).reshape(3, TILE, TILE, 3).sum(axis=0, dtype=np.int16)
    return (sums - 382) // 10


def cut(
    name: str, size: tuple[int, int], rng: random.Random, turn: float, zoom: float
) -> Image.Image:
    """Cut a piece of a tile.

    Args:
        name: tile.
        size: (width, height) of the piece in pixels.
        rng: decides where the piece lies.
        turn: angle in radians.
        zoom: size of the pattern, 1 as drawn; values below .7 may leave the tile.

    Returns:
        A picture, mode L, of that size.
    """
    width, height = size
    c, s = math.cos(turn) / zoom, math.sin(turn) / zoom
    reach_x = (abs(c) * width + abs(s) * height) / 2
    reach_y = (abs(s) * width + abs(c) * height) / 2
    x = reach_x + rng.random() * max(0.0, TILE - 2 * reach_x)
    y = reach_y + rng.random() * max(0.0, TILE - 2 * reach_y)
    matrix = (c, -s, x - (c * width - s * height) / 2, s, c, y - (s * width + c * height) / 2)
    return tile(name).transform(size, Image.AFFINE, matrix, Image.BILINEAR)

"""The eight objects of the embedded set: outlines and the light on their parts.

In:   a radius in pixels, an angle, and the random numbers of one picture.
Out:  `draw_object` -> Drawn: coverage (antialiased, 0..255) and tone (128 = colour as it is).
Not here: colours and textures (colours.py, textures.py), placing (scene.py).
Source: ours. Ring, cross, ropes, legs and pole are 3 to 8 pixels thin: what the stride decides.
"""

import functools
import math
import random
from collections.abc import Sequence
from typing import Callable, NamedTuple

from PIL import Image, ImageDraw

Point = tuple[float, float]
FINE = 3  # drawn this many times larger, then averaged


class Drawn(NamedTuple):
    """One object: two pictures of equal size, mode L, `centre` at their middle."""

    cover: Image.Image
    tone: Image.Image


class Canvas:
    """A pen in the object's own units: the object fills [-1, 1] x [-1, 1], y downwards."""

    def __init__(self, radius: float, angle: float, stretch: float = 1.0) -> None:
        """Start an empty canvas for an object of `radius` pixels, turned by `angle` radians."""
        self.half = int(radius * 1.12) + 3
        side = 2 * self.half * FINE
        self.cover = Image.new("L", (side, side), 0)
        self.tone = Image.new("L", (side, side), 128)
        self._pens = ImageDraw.Draw(self.cover), ImageDraw.Draw(self.tone)
        self.radius, self.stretch = radius, stretch
        self._cos, self._sin = math.cos(angle), math.sin(angle)

    def _place(self, points: Sequence[Point]) -> list:
        scale, middle, out = self.radius * FINE, self.half * FINE, []
        for x, y in points:
            x *= self.stretch
            out.append((round(middle + scale * (self._cos * x - self._sin * y)),
                        round(middle + scale * (self._sin * x + self._cos * y))))  # fmt: skip
        return out

    def polygon(self, points: Sequence[Point], tone: int = 128, cover: int = 255) -> None:
        """Fill a polygon; cover 0 cuts a hole."""
        placed = self._place(points)
        self._pens[0].polygon(placed, fill=cover)
        self._pens[1].polygon(placed, fill=tone)

    def paint(self, points: Sequence[Point], tone: int) -> None:
        """Change the tone only, without adding to the outline."""
        self._pens[1].polygon(self._place(points), fill=tone)

    def stroke(self, points: Sequence[Point], pixels: float, tone: int = 128) -> None:
        """Draw a line of a width given in pixels of the final picture."""
        placed, width = self._place(points), round(pixels * FINE)
        self._pens[0].line(placed, fill=255, width=width, joint="curve")
        self._pens[1].line(placed, fill=tone, width=width, joint="curve")

    def done(self) -> Drawn:
        """Return the two pictures in final size."""
        return Drawn(self.cover.reduce(FINE), self.tone.reduce(FINE))


def oval(x: float, y: float, rx: float, ry: float, count: int = 44) -> list:
    """Return the corners of an ellipse."""
    turns = (2 * math.pi * k / count for k in range(count))
    return [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns]


def thin(rng: random.Random, radius: float, low: float, high: float) -> float:
    """Return a width in pixels between low and high: nearer objects have thicker parts."""
    near = (radius - 38) / (95 - 38)
    return low + (high - low) * min(1.0, max(0.0, 0.7 * near + 0.4 * rng.random()))


def _ball(radius: float, angle: float, rng: random.Random) -> Drawn:
    canvas = Canvas(radius * 0.82, angle)
    canvas.polygon(oval(0, 0, 1, 1, 72))
    pole_x, pole_y = rng.uniform(-0.4, 0.4), rng.uniform(-0.5, 0.1)
    for panel in range(0, 6, 2):  # light panels that meet in one point, as on a beach ball
        rim = [math.pi * (panel + k / 5) / 3 for k in range(6)]
        canvas.paint([(pole_x, pole_y)] + [(math.cos(t), math.sin(t)) for t in rim], 158)
    canvas.paint(oval(pole_x, pole_y, 0.13, 0.13, 20), 70)
    cover, tone = canvas.done()
    return Drawn(cover, Image.blend(tone, _sphere(tone.size[0]), 0.55))


def _sphere(side: int) -> Image.Image:
    """Return light on a sphere: bright at the upper left, dark at the lower right rim."""
    return _glow().transform((side, side), Image.AFFINE, (178 / side, 0, 52, 0, 178 / side, 58))


@functools.cache
def _glow() -> Image.Image:
    return Image.radial_gradient("L").point([max(20, 235 - v) for v in range(256)])


def _ring(radius: float, angle: float, rng: random.Random) -> Drawn:
    flat, width = rng.uniform(0.6, 1.0), thin(rng, radius, 4.5, 8)
    canvas, band = Canvas(radius, angle), width / radius
    canvas.polygon(oval(0, 0, 1, flat, 96), 105)
    middle = 1 - 0.45 * band
    canvas.paint(oval(0, 0, middle, flat - 0.45 * band, 96), 165)
    canvas.polygon(oval(0, 0, 1 - band, flat - band, 96), 128, cover=0)
    return canvas.done()


def _box(radius: float, angle: float, rng: random.Random) -> Drawn:
    canvas = Canvas(radius * 0.88, 0.22 * angle)
    wide, high = rng.uniform(0.5, 0.75), rng.uniform(0.45, 0.7)
    deep, rise = rng.uniform(0.25, 0.45) * rng.choice((-1, 1)), rng.uniform(0.2, 0.4)
    left, right, top, low = -wide - deep / 2, wide - deep / 2, rise / 2 - high, rise / 2 + high
    canvas.polygon([(left, low), (right, low), (right, top), (left, top)], 128)
    canvas.polygon(
        [(left, top), (right, top), (right + deep, top - rise), (left + deep, top - rise)], 175
    )
    edge = right if deep > 0 else left
    canvas.polygon(
        [(edge, low), (edge, top), (edge + deep, top - rise), (edge + deep, low - rise)], 78
    )
    return canvas.done()


def _tent(radius: float, angle: float, rng: random.Random) -> Drawn:
    canvas = Canvas(radius, 0.25 * angle, rng.choice((-1, 1)) * rng.uniform(0.85, 1.0))
    back, top, rope = rng.uniform(0.3, 0.5), rng.uniform(-0.75, -0.6), thin(rng, radius, 3, 4)
    apex, foot, ridge = (-0.3, top), 0.7, (-0.3 + back + 0.1, top + 0.1)
    canvas.stroke([apex, (-1.0, foot)], rope, 80)
    canvas.stroke([ridge, (1.0, foot - 0.05)], rope, 80)
    canvas.polygon([apex, ridge, (0.82, foot - 0.12), (0.28, foot)], 88)
    canvas.polygon([apex, (0.28, foot), (-0.82, foot)], 140)
    canvas.paint([(-0.3, top + 0.45), (-0.1, foot), (-0.5, foot)], 38)
    return canvas.done()


def _star(radius: float, angle: float, rng: random.Random) -> Drawn:
    canvas, inner = Canvas(radius, 2 * angle), rng.uniform(0.36, 0.46)
    corners = []
    for k in range(10):
        reach, turn = (1.0 if k % 2 == 0 else inner), math.pi * (k / 5 - 0.5)
        corners.append((reach * math.cos(turn), reach * math.sin(turn)))
    canvas.polygon(corners)
    for k in range(10):  # facets, light and dark by turns
        canvas.paint([(0, 0), corners[k], corners[(k + 1) % 10]], 158 if k % 2 else 92)
    return canvas.done()


def _cross(radius: float, angle: float, rng: random.Random) -> Drawn:
    canvas, width = Canvas(radius, 2 * angle), thin(rng, radius, 5, 8)
    knob, reach = rng.uniform(0.17, 0.23), rng.uniform(0.72, 0.8)
    for tone, (x, y) in ((100, (1, 0)), (155, (0, 1))):
        canvas.stroke([(-reach * x, -reach * y), (reach * x, reach * y)], width, tone)
        for sign in (-1, 1):
            cx, cy = sign * reach * x, sign * reach * y
            canvas.polygon(
                [(cx - knob, cy), (cx, cy - knob), (cx + knob, cy), (cx, cy + knob)], tone
            )
    return canvas.done()


def _stool(radius: float, angle: float, rng: random.Random) -> Drawn:
    canvas = Canvas(radius, 0.2 * angle, rng.uniform(0.85, 1.1))
    leg, seat, flat = thin(rng, radius, 3.5, 6), rng.uniform(0.5, 0.62), rng.uniform(0.15, 0.22)
    top, spread = -0.62, rng.uniform(0.12, 0.25)
    for x, foot, tone in (
        (-0.16, 0.72, 70),
        (0.16, 0.72, 70),
        (-0.42, 0.97, 105),
        (0.42, 0.97, 130),
    ):
        canvas.stroke([(x, top), (x * (1 + spread), foot)], leg, tone)
    rung, out = rng.uniform(0.25, 0.5), 0.42 * (1 + spread * 0.6)
    canvas.stroke([(-out, rung), (out, rung)], max(3.0, 0.8 * leg), 95)
    canvas.polygon(oval(0, top + 0.13, seat, flat), 80)
    canvas.polygon([(-seat, top), (seat, top), (seat, top + 0.13), (-seat, top + 0.13)], 80)
    canvas.polygon(oval(0, top, seat, flat), 160)
    return canvas.done()


_PANELS = {
    "octagon": [(math.cos(t), math.sin(t)) for t in (math.pi * (k + 0.5) / 4 for k in range(8))],
    "diamond": [(0, -1.12), (1.12, 0), (0, 1.12), (-1.12, 0)],
    "board": [(-1.15, -0.7), (1.15, -0.7), (1.15, 0.7), (-1.15, 0.7)],
    "arrow": [(-1.15, -0.6), (0.55, -0.6), (1.2, 0), (0.55, 0.6), (-1.15, 0.6)],
}  # fmt: skip


def _sign(radius: float, angle: float, rng: random.Random) -> Drawn:
    canvas = Canvas(radius, 0.2 * angle, rng.choice((-1, 1)))
    size, pole = rng.uniform(0.44, 0.54), thin(rng, radius, 4, 7)
    panel = _PANELS[rng.choice(sorted(_PANELS))]
    middle = -1 + size * max(abs(y) for _, y in panel)
    canvas.stroke([(0, middle), (0, 0.98)], pole, 84)
    canvas.polygon([(size * x, middle + size * y) for x, y in panel], 190)
    canvas.paint([(0.84 * size * x, middle + 0.84 * size * y) for x, y in panel], 122)
    bar = 0.13 * size
    canvas.paint([(-0.5 * size, middle - bar), (0.5 * size, middle - bar),
                  (0.5 * size, middle + bar), (-0.5 * size, middle + bar)], 205)  # fmt: skip
    return canvas.done()


_DRAW: dict[str, Callable[[float, float, random.Random], Drawn]] = {
    "ball": _ball, "ring": _ring, "box": _box, "tent": _tent,
    "star": _star, "cross": _cross, "stool": _stool, "sign": _sign,
}  # fmt: skip
OBJECTS = tuple(_DRAW)  # class k of the labels is OBJECTS[k - 1]
STANDING = ("box", "tent", "stool", "sign")  # the others may hang in the air


def draw_object(name: str, radius: float, angle: float, rng: random.Random) -> Drawn:
    """Draw one object.

    Args:
        name: one of OBJECTS.
        radius: half its size in pixels.
        angle: in [-1, 1] radians; upright objects lean by a part of it only.
        rng: decides its proportions.

    Returns:
        Coverage and tone, square pictures with the object in the middle.
    """
    return _DRAW[name](radius, angle, rng)

"""Normal and exponential numbers by the ziggurat method, with the draws and rounding of Boost.

In:   an RNG, of which `peek` and `skip` (and `draw`) are used.
Out:  fill_normal: standard normal float32 numbers.
Not here: mean and standard deviation (rng.py).
Source: Marsaglia and Tsang 2000, in the form of Boost.Random >= 1.56: 128 layers for the normal,
        256 for the exponential distribution; one draw gives the layer (low bits), the sign, and 24
        bits of abscissa. Older Boosts used Box-Muller: the streams of 2015 differ by platform.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .rng import RNG

_TAIL_NORMAL = 3.4426198558966521214  # where the tail starts, for 128 layers of equal area
_TAIL_EXPONENTIAL = 7.6971174701310497140  # the same for 256 layers
_ROUNDS_UP_TO_ONE = 2**32 - 128  # as float32 / 2**32 these are 1; Boost then draws again
_F32 = np.float32
_LOW_BYTE = 0 if sys.byteorder == "little" else 3  # of a 32-bit word in memory


def _layers(count: int, tail: float, area: float, density: Callable[[float], float],
            inverse: Callable[[float], float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the (count + 1,) float64 corners of layers of equal area, widest first."""
    x, y = np.zeros(count + 1), np.zeros(count + 1)
    x[0], x[1] = area / density(tail), tail
    y[1], y[count] = density(tail), 1.0
    for i in range(2, count):
        y[i] = y[i - 1] + area / x[i - 1]
        x[i] = inverse(y[i])
    return x, y


def _normal_layers() -> tuple[np.ndarray, np.ndarray]:
    tail = _TAIL_NORMAL
    beyond = math.sqrt(math.pi / 2) * math.erfc(tail / math.sqrt(2))
    area = tail * math.exp(-tail * tail / 2) + beyond
    return _layers(128, tail, area, lambda x: math.exp(-x * x / 2),
                   lambda y: math.sqrt(-2 * math.log(y)))


def _exponential_layers() -> tuple[np.ndarray, np.ndarray]:
    tail = _TAIL_EXPONENTIAL
    area = (tail + 1) * math.exp(-tail)
    return _layers(256, tail, area, lambda x: math.exp(-x), lambda y: -math.log(y))


_X, _Y = _normal_layers()
_EX, _EY = _exponential_layers()
_WIDTH = _X[:-1].astype(_F32)  # (128,) a layer's width
_BASE = _Y[:-1].astype(_F32)
_RISE = np.diff(_Y).astype(_F32)
_EWIDTH, _EBASE, _ERISE = _EX.astype(_F32), _EY[:-1].astype(_F32), np.diff(_EY).astype(_F32)


def _inside_below() -> np.ndarray:
    """For each layer, from which 24-bit mantissa on its point is not surely under the curve."""
    limit = np.empty(128, np.uint32)
    for i in range(128):
        guess = int(_X[i + 1] / float(_WIDTH[i]) * 2**24)
        near = np.arange(max(guess - 4, 0), guess + 5, dtype=np.int64)
        x = near.astype(_F32) * _F32(2.0**-24) * _WIDTH[i]
        limit[i] = near[x.astype(np.float64) < _X[i + 1]].max() + 1 if _X[i + 1] > 0 else 0
    return limit


# By the low 8 bits of a draw: bit 0 is the sign (1 is plus), bits 1 to 7 the layer.
_LIMIT = np.repeat(_inside_below(), 2)
_STEP = np.stack([-_WIDTH, _WIDTH], 1).reshape(-1) * _F32(2.0**-24)


def fill_normal(rng: RNG, out: np.ndarray) -> None:
    """Fill a flat float32 array with standard normal numbers from the stream of `rng`."""
    done = 0
    while done < len(out):
        done += _fill_some(rng, out[done:])


def _fill_some(rng: RNG, out: np.ndarray) -> int:
    """Make numbers up to the first rare case (and this one), at most len(out); return how many."""
    n = min(len(out), 4096)  # a rare case (the tail) comes every 2000 numbers
    words = rng.peek(n + 1)  # a point near the curve takes a second draw
    low = words[:n].view(np.uint8)[_LOW_BYTE::4]
    mantissa = words[:n] >> np.uint32(8)
    value = mantissa.astype(_F32)
    value *= _STEP[low]
    unsure = np.flatnonzero(mantissa >= _LIMIT[low])
    keep = np.ones(n + 1, bool)
    end, rare = n, False
    if len(unsure):
        start = unsure[_every_other_of_runs(unsure)]
        stop = np.flatnonzero((low[start] < 2) | (words[start + 1] >= _ROUNDS_UP_TO_ONE))
        if len(stop):
            end, rare = int(start[stop[0]]), True
            start = start[:stop[0]]
        keep[start] = _under_curve(low[start] >> 1, np.abs(value[start]), words[start + 1])
        keep[start + 1] = False
    made = value[:end][keep[:end]]
    out[:len(made)] = made
    rng.skip(end if rare or keep[end] else end + 1)
    if rare:
        out[len(made)] = _one_normal(rng)
    return len(made) + rare


def _every_other_of_runs(unsure: np.ndarray) -> np.ndarray:
    """Mark which unsure draws start a number: the draw after such a one belongs to it."""
    index = np.arange(len(unsure))
    breaks = np.ones(len(unsure), bool)
    breaks[1:] = np.diff(unsure) != 1
    first = np.maximum.accumulate(np.where(breaks, index, 0))
    return (index - first) % 2 == 0


def _under_curve(layer: np.ndarray, x: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Tell which points (x, a height drawn within the layer) are under the normal density."""
    y = _BASE[layer] + words.astype(_F32) * _F32(2.0**-32) * _RISE[layer]
    exponent = (-(x * x) / _F32(2)).astype(np.float64)
    density = np.exp(exponent).astype(_F32)  # as C's expf: rounded once
    return y < density


def _one_normal(rng: RNG) -> np.float32:
    """Make one number by the plain algorithm, the tail included."""
    while True:
        word = rng.draw()
        layer, sign = word >> 1 & 127, _F32((word & 1) * 2 - 1)
        x = _F32(word >> 8) * _F32(2.0**-24) * _WIDTH[layer]
        if float(x) < _X[layer + 1]:
            return x * sign
        if layer == 0:
            return _tail(rng) * sign
        y = _BASE[layer] + _unit(rng) * _RISE[layer]
        if y < _F32(math.exp(float(-(x * x) / _F32(2)))):
            return x * sign


def _tail(rng: RNG) -> np.float32:
    """Draw from beyond the outermost layer, by rejection from an exponential distribution."""
    start = _F32(_TAIL_NORMAL)
    while True:
        x = _one_exponential(rng) / start
        y = _one_exponential(rng)
        if _F32(2) * y > x * x:
            return x + start


def _one_exponential(rng: RNG) -> np.float32:
    shift = _F32(0)
    while True:
        word = rng.draw()
        layer = word & 255
        x = _F32(word >> 8) * _F32(2.0**-24) * _EWIDTH[layer]
        if x < _EWIDTH[layer + 1]:
            return shift + x
        if layer == 0:
            shift += _EWIDTH[1]
            continue
        y = _EBASE[layer] + _unit(rng) * _ERISE[layer]
        if y < _F32(math.exp(-float(x))):
            return x + shift


def _unit(rng: RNG) -> np.float32:
    """Draw from [0, 1)."""
    while True:
        word = rng.draw()
        if word < _ROUNDS_UP_TO_ONE:
            return _F32(word) * _F32(2.0**-32)

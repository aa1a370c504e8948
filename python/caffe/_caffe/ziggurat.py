"""Normal and exponential numbers by the ziggurat method, with the draws and rounding of Boost.

In:   an RNG; its `peek`, `skip` and `draw` are used.
Out:  Normal, whose `fill` makes normal float32 numbers.
Not here: the stream of draws (rng.py).
How:  a block of draws at once. 97 draws in 100 make a number each; at the others (the few) an attempt takes two draws
      or more, so where one begins depends on those before. Each is computed as if an attempt began there; then those
      that belong to the attempt before are left out.
Source: Marsaglia and Tsang 2000, in the form of Boost.Random >= 1.56: 128 layers for the normal,
        256 for the exponential distribution; one draw gives the layer (low bits), the sign, and 24
        bits of abscissa. Older Boosts used Box-Muller: the streams of 2015 differ by platform.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .rng import RNG

_TAIL_NORMAL = 3.4426198558966521214  # where the tail starts, for 128 layers of equal area
_TAIL_EXPONENTIAL = 7.6971174701310497140  # the same for 256 layers
_ROUNDS_UP_TO_ONE = 2**32 - 128  # as float32 / 2**32 these are 1; Boost then draws again
_F32 = np.float32
_BLOCK = 1 << 17  # draws at once: enough for the work on the few to cost little each
_LONGEST = 32  # draws that an attempt may take to be made with its block
_TAIL = _F32(_TAIL_NORMAL)
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
_WIDTH = _X[:-1].astype(_F32)  # (128,) each layer's width
_BASE = _Y[:-1].astype(_F32)
_RISE = np.diff(_Y).astype(_F32)
_EWIDTH, _EBASE, _ERISE = _EX.astype(_F32), _EY[:-1].astype(_F32), np.diff(_EY).astype(_F32)


def _inside_below() -> np.ndarray:
    """Return for each layer the 24-bit mantissa from which a point is no longer surely under the curve."""
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
_BASE_AT, _RISE_STEP = np.repeat(_BASE, 2), np.repeat(_RISE, 2) * _F32(2.0**-32)
_LOW = np.uint32(255)
# By the low 8 bits of a draw, which are the layer of the exponential distribution.
_ESTEP, _ENEXT = _EWIDTH[:-1] * _F32(2.0**-24), _EWIDTH[1:]
_NEXT_TWO = np.array([1, 2])


class _Few(NamedTuple):
    """The draws of a block where an attempt takes more than one draw, in order."""

    at: np.ndarray  # (k,) int64, positions in the block
    end: np.ndarray  # (k,) int64, the draw after the attempt; 0: not yet known, as it takes an unusual number
    good: np.ndarray  # (k,) bool, whether it makes a number

    def part(self, chosen: np.ndarray | slice) -> _Few:
        """Return some of them."""
        return _Few(self.at[chosen], self.end[chosen], self.good[chosen])


class Normal:
    """Makes standard normal numbers; keeps its working memory from one block to the next."""

    def __init__(self) -> None:
        self._room: dict[str, np.ndarray] = {}

    def fill(self, rng: RNG, out: np.ndarray, mean: np.float32, std: np.float32) -> None:
        """Fill a flat float32 array from the stream of `rng`, with normal numbers * std + mean."""
        done = 0
        while done < len(out):
            made = self._make(rng, len(out) - done)
            part = out[done:done + len(made)]
            np.multiply(made, std, out=part)
            part += mean
            done += len(made)

    def _make(self, rng: RNG, wanted: int) -> np.ndarray:
        """Return the numbers of one block, at least one and at most `wanted`."""
        n = min(int(1.036 * wanted + 2 * math.sqrt(wanted)) + 8, _BLOCK)  # nearly always enough draws
        words = rng.peek(n + _LONGEST)
        value, sure = self._attempts(words, n)
        few = _few_attempts(words, value, np.flatnonzero(~sure[:n]))
        few, n = _make_slow_ones(words, value, few, n)
        if n == 0:
            return np.array([_one_normal(iter(rng.draw, None))])
        made, end = _chosen(value, sure, few.part(_begin(few)), n, wanted)
        rng.skip(int(end))
        return made

    def _attempts(self, words: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return for n draws the number that each makes if an attempt begins there, and whether it surely makes one."""
        if not self._room or n + _LONGEST > len(self._room["value"]):
            kinds = {"low": np.intp, "mantissa": np.uint32, "value": _F32, "step": _F32, "limit": np.uint32,
                     "sure": bool}
            self._room = {name: np.empty(n + _LONGEST, kind) for name, kind in kinds.items()}
        low, mantissa, value, step, limit = (memory[:n] for memory in list(self._room.values())[:5])
        sure = self._room["sure"]
        np.copyto(low, words.view(np.uint8)[_LOW_BYTE::4][:n])
        np.right_shift(words[:n], np.uint32(8), out=mantissa)
        np.copyto(value, mantissa)
        value *= np.take(_STEP, low, out=step, mode="wrap")  # the fastest mode; all of low is in range
        np.less(mantissa, np.take(_LIMIT, low, out=limit, mode="wrap"), out=sure[:n])
        sure[n:n + _LONGEST] = False  # no number of a block begins there
        return value, sure


def _few_attempts(words: np.ndarray, value: np.ndarray, at: np.ndarray) -> _Few:
    """Return the attempts at draws that do not surely make a number, and set the numbers of the tail among them."""
    low = words.take(at) & _LOW
    end = at + 1
    second = words.take(end)
    good = _under_curve(low, value.take(at), second)
    end += 1
    end[second >= _ROUNDS_UP_TO_ONE] = 0
    tails = np.flatnonzero(low < 2)
    if len(tails):
        place = at[tails]
        number, usual = _usual_tails(words.take(place[:, None] + _NEXT_TWO))
        value[place] = np.copysign(number, value[place])
        end[tails], good[tails] = np.where(usual, place + 3, 0), True
    return _Few(at, end, good)


def _make_slow_ones(words: np.ndarray, value: np.ndarray, few: _Few, n: int) -> tuple[_Few, int]:
    """Make one by one the numbers that take an unusual number of draws; return all the few and where the block ends."""
    for k in np.flatnonzero(few.end == 0).tolist():
        place = int(few.at[k])
        draws = iter(words[place:place + _LONGEST].tolist())
        try:
            value[place] = _one_normal(draws)
        except StopIteration:
            return few.part(slice(k)), place
        few.end[k], few.good[k] = place + _LONGEST - operator.length_hint(draws), True
    return few, n


def _begin(few: _Few) -> np.ndarray:
    """Return which of the few begin an attempt: those at draws that belong to no earlier attempt."""
    at, end, _ = few
    begin = np.ones(len(at), bool)
    begin[1:] = at[1:] >= np.maximum.accumulate(end)[:-1]
    others = np.flatnonzero(~begin)
    for k in others[~begin[others - 1]].tolist():  # near several others: the one before may not begin either
        last = k - 1
        while not begin[last]:
            last -= 1
        begin[k] = at[k] >= end[last]
    return begin


def _chosen(value: np.ndarray, good: np.ndarray, few: _Few, n: int, wanted: int) -> tuple[np.ndarray, int]:
    """Return the numbers of a block, at most `wanted`, and the draw after the last.

    Args:
        value: the numbers of all attempts.
        good: whether an attempt surely makes one; used up.
        few: the attempts of more than one draw that begin.
        n: the length of the block.
        wanted: how many numbers.
    """
    good[few.at] = few.good
    good[few.at + 1] = False
    more = np.flatnonzero(few.end - few.at > 2)  # of the tail, and slow ones
    good[few.at[more] + 2] = False
    for k in more[few.end[more] - few.at[more] > 3].tolist():
        good[few.at[k] + 3:few.end[k]] = False
    made = value[:n][good[:n]]
    if len(made) < wanted:
        return made, max(n, few.end[-1]) if len(few.end) else n
    last = _place(good[:n], len(made) - wanted)  # attempts after it are those of the next call
    k = np.searchsorted(few.at, last)
    return made[:wanted], few.end[k] if k < len(few.at) and few.at[k] == last else last + 1


def _place(good: np.ndarray, behind: int) -> int:
    """Return the position of the good one that has `behind` good ones after it."""
    length = 2 * behind + _LONGEST
    while True:
        start = max(0, len(good) - length)
        places = np.flatnonzero(good[start:])
        if len(places) > behind:
            return start + int(places[-1 - behind])
        length *= 2


def _under_curve(low: np.ndarray, x: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return which points (x, a height drawn within the layer) are under the normal density; x is used up."""
    height = words.astype(_F32)
    height *= _RISE_STEP.take(low)
    height += _BASE_AT.take(low)
    x *= x
    x *= _F32(-0.5)
    return height < np.exp(x.astype(np.float64)).astype(_F32)  # as C's expf: rounded once


def _usual_tails(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers beyond the outermost layer, each from two exponential numbers of one draw, and which are valid.

    Args:
        words: (k, 2) draws.
    """
    layer = words & np.uint32(255)
    exponential = (words >> np.uint32(8)).astype(_F32)
    exponential *= _ESTEP.take(layer)
    usual = (exponential < _ENEXT.take(layer)).all(1)
    x = exponential[:, 0] / _TAIL
    usual &= _F32(2) * exponential[:, 1] > x * x
    x += _TAIL
    return x, usual


# -- one by one ------------------------------------------------------------------------------------

# By layer, as Python's numbers: a mantissa times the step is exact in double precision, so it is rounded only once.
_STEPS, _NEXT = (_WIDTH.astype(np.float64) * 2.0**-24).tolist(), _X[1:].tolist()
_ESTEPS, _ENEXTS = _ESTEP.astype(np.float64).tolist(), _ENEXT.tolist()


def _one_normal(draws: Iterator[int]) -> np.float32:
    """Make one number by the plain algorithm, the tail included."""
    while True:
        word = next(draws)
        layer, sign = word >> 1 & 127, (word & 1) * 2 - 1
        if layer == 0 and word >> 8 >= _LIMIT[0]:
            return _tail(draws) * sign
        x = _F32((word >> 8) * _STEPS[layer])
        if float(x) < _NEXT[layer]:
            return x * sign
        y = _BASE[layer] + _unit(draws) * _RISE[layer]
        if y < _F32(math.exp(float(-(x * x) / _F32(2)))):
            return x * sign


def _tail(draws: Iterator[int]) -> np.float32:
    """Draw from beyond the outermost layer, by rejection from an exponential distribution."""
    while True:
        x = _one_exponential(draws) / _TAIL
        y = _one_exponential(draws)
        if _F32(2) * y > x * x:
            return x + _TAIL


def _one_exponential(draws: Iterator[int]) -> np.float32:
    shift = _F32(0)
    while True:
        word = next(draws)
        layer = word & 255
        x = _F32((word >> 8) * _ESTEPS[layer])
        if x < _ENEXTS[layer]:
            return shift + x
        if layer == 0:
            shift += _EWIDTH[1]
            continue
        y = _EBASE[layer] + _unit(draws) * _ERISE[layer]
        if y < _F32(math.exp(-float(x))):
            return x + shift


def _unit(draws: Iterator[int]) -> np.float32:
    """Draw from [0, 1)."""
    while True:
        word = next(draws)
        if word < _ROUNDS_UP_TO_ONE:
            return _F32(word) * _F32(2.0**-32)

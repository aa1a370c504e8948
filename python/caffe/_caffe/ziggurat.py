"""Normal and exponential numbers by the ziggurat method, with the draws and rounding of Boost.

In:   an RNG; its `peek`, `skip` and `taken` are used.
Out:  Normal, whose `fill` makes normal float32 numbers.
Not here: the stream of draws (rng.py).
How:  a block of draws at once. 97 draws in 100 make a number each; at the others (the few) an attempt takes two draws
      or more, so where one begins depends on those before. Each is computed as if an attempt began there; then those
      that belong to the attempt before are left out. Numbers that nobody took wait for the next call; their draws are
      in the stream until then, and if others take draws first, the numbers are made anew from where the stream is.
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
_BLOCK = 1 << 18  # draws at once: enough for the work on the few to cost little each
_PART = 1 << 14  # of a block, handed out at once: small enough for the cache
_TRIES = 3  # for a number of the tail, before it is made by itself
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
    limit = np.empty(128, np.int32)
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
_LOW, _MANTISSA_AT = np.uint32(255), np.uint32(8)
# By the low 8 bits of a draw, which are the layer of the exponential distribution.
_ESTEP, _ENEXT = _EWIDTH[:-1] * _F32(2.0**-24), _EWIDTH[1:]
_PAIR = np.arange(2)


class _Few(NamedTuple):
    """The draws of a block where an attempt takes more than one draw, in order."""

    at: np.ndarray  # (k,) int64, positions in the block
    end: np.ndarray  # (k,) int64, the draw after the attempt; 0: not yet known, as it takes an unusual number
    good: np.ndarray  # (k,) bool, whether it makes a number

    @classmethod
    def none(cls) -> _Few:
        """Return none of them."""
        return cls(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, bool))

    def part(self, chosen: np.ndarray | slice) -> _Few:
        """Return some of them."""
        return _Few(self.at[chosen], self.end[chosen], self.good[chosen])


class Normal:
    """Makes standard normal numbers a block ahead of who takes them; keeps the memory from one block to the next."""

    def __init__(self) -> None:
        self._room: list[np.ndarray] = []
        self._value, self._good = np.empty(0, _F32), np.empty(0, bool)  # a number for each draw of a block, if good
        self._few = _Few.none()  # of the numbers those that take more draws than one
        self._place = self._end = 0  # of the next draw in the block, and where the block ends
        self._taken = 0  # draws out of the stream until now

    def fill(self, rng: RNG, out: np.ndarray, mean: np.float32, std: np.float32) -> None:
        """Fill a flat float32 array from the stream of `rng`, with normal numbers * std + mean."""
        done = 0
        while done < len(out):
            if self._place >= self._end or self._taken != rng.taken:  # used up, or others drew since
                self._make(rng, len(out) - done, _LONGEST)
            made = self._next(rng, len(out) - done)
            part = out[done:done + len(made)]
            np.multiply(made, std, out=part)
            part += mean
            done += len(made)

    def _next(self, rng: RNG, most: int) -> np.ndarray:
        """Return some of the next numbers of the block, and take their draws out of the stream."""
        start, place = self._place, min(self._place + min(most + most // 16 + 16, _PART), self._end)
        made = self._value[start:place][self._good[start:place]]
        if len(made) >= most:  # the stream stays right behind the last of them
            made, place = made[:most], self._behind(start, most)
        elif place == self._end:
            place = max(place, int(self._few.end[-1]) if len(self._few.end) else 0)
        rng.skip(place - start)
        self._place, self._taken = place, rng.taken
        return made

    def _behind(self, place: int, count: int) -> int:
        """Return the draw behind so many numbers that begin at a place or later."""
        while count:  # a number takes one draw at least
            place += count
            count -= int(np.count_nonzero(self._good[place - count:place]))
        at, end, _ = self._few
        k = int(np.searchsorted(at, place - 1))
        return int(end[k]) if k < len(at) and at[k] == place - 1 else place

    def _make(self, rng: RNG, wanted: int, longest: int) -> None:
        """Make the numbers of one block: so many, or twice the last block where that was used up."""
        n = int(1.036 * wanted + 2 * math.sqrt(wanted)) + 8  # nearly always enough draws
        if self._place >= self._end and self._taken == rng.taken:
            n = max(n, 2 * self._end)
        n = min(n, _BLOCK)
        words = rng.peek(n + longest)
        low, value, good, others = self._attempts(words, n)
        few = _few_attempts(words, low, value, np.flatnonzero(others))
        few, n = _make_slow_ones(words, value, few, n, longest)
        if n == 0:
            self._make(rng, wanted, 2 * longest)
            return
        self._value, self._good, self._few = value, good, few.part(_begin(few))
        _settle(good, self._few)
        self._place, self._end, self._taken = 0, n, rng.taken

    def _attempts(self, words: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return of n draws the low bits, the numbers made if attempts begin there, which surely are, and the others.

        The third is as long as `words`, for attempts may end behind the n draws; none begins there.
        """
        if not self._room or len(words) > len(self._room[0]):
            self._room = [np.empty(len(words), kind) for kind in (np.intp, np.int32, _F32, _F32, np.int32, bool, bool)]
        low, mantissa, value, step, limit, others, sure = (memory[:n] for memory in self._room)
        np.copyto(low, words.view(np.uint8)[_LOW_BYTE::4][:n])
        np.right_shift(words[:n], _MANTISSA_AT, out=mantissa.view(np.uint32))
        np.copyto(value, mantissa)
        value *= np.take(_STEP, low, out=step, mode="wrap")  # the fastest mode; all of low is in range
        np.less(mantissa, np.take(_LIMIT, low, out=limit, mode="wrap"), out=sure)
        np.logical_not(sure, out=others)
        sure = self._room[-1][:len(words)]
        sure[n:] = False
        return low, value, sure, others


def _few_attempts(words: np.ndarray, lows: np.ndarray, value: np.ndarray, at: np.ndarray) -> _Few:
    """Return the attempts at draws that do not surely make a number, and set the numbers of the tail among them."""
    low = lows.take(at)
    end = at + 1
    second = words.take(end)
    good = _under_curve(low, value.take(at), second)
    end += 1
    end[second >= _ROUNDS_UP_TO_ONE] = 0
    tails = np.flatnonzero(low < 2)
    if len(tails):
        place = at.take(tails)
        number, end[tails] = _tails(words, place + 1)
        value[place] = np.copysign(number, value.take(place))
        good[tails] = True
    return _Few(at, end, good)


def _make_slow_ones(words: np.ndarray, value: np.ndarray, few: _Few, n: int, longest: int) -> tuple[_Few, int]:
    """Make one by one the numbers that take an unusual number of draws; return all few and where the block ends."""
    for k in np.flatnonzero(few.end == 0).tolist():
        place = int(few.at[k])
        draws = iter(words[place:place + longest].tolist())
        try:
            value[place] = _one_normal(draws)
        except StopIteration:
            return few.part(slice(k)), place
        few.end[k], few.good[k] = place + longest - operator.length_hint(draws), True
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


def _settle(good: np.ndarray, few: _Few) -> None:
    """Note which attempts make a number: of the few that begin some, and none at the other draws that they take."""
    good[few.at] = few.good
    good[few.at + 1] = False
    more = np.flatnonzero(few.end - few.at > 2)  # of the tail, and slow ones
    good[few.at[more] + 2] = False
    for k in more[few.end[more] - few.at[more] > 3].tolist():
        good[few.at[k] + 3:few.end[k]] = False


def _under_curve(low: np.ndarray, x: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return which points (x, a height drawn within the layer) are under the normal density; x is used up."""
    height = words.astype(_F32)
    height *= _RISE_STEP.take(low)
    height += _BASE_AT.take(low)
    x *= x
    x *= _F32(-0.5)
    return height < np.exp(x.astype(np.float64)).astype(_F32)  # as C's expf: rounded once


def _tails(words: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers beyond the outermost layer, and the draws after each; 0: it takes an unusual number.

    Args:
        words: draws.
        first: (k,) places of the draws with which the numbers begin.
    """
    number, end = np.zeros(len(first), _F32), np.zeros(len(first), np.intp)
    left = np.arange(len(first))
    for _ in range(_TRIES):
        x, usual, good = _usual_tails(words.take(first[:, None] + _PAIR))
        first = first + 2
        made = np.flatnonzero(usual & good)
        number[left[made]], end[left[made]] = x[made], first[made]
        again = np.flatnonzero(usual & ~good)
        if not len(again):
            break
        left, first = left[again], first[again]
    return number, end


def _usual_tails(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return numbers made of two exponential ones, whether those are of one draw each, and whether the number is valid.

    Args:
        words: (k, 2) draws.
    """
    layer = words & _LOW
    exponential = (words >> _MANTISSA_AT).astype(_F32)
    exponential *= _ESTEP.take(layer)
    usual = exponential < _ENEXT.take(layer)
    x = exponential[:, 0] / _TAIL
    good = _F32(2) * exponential[:, 1] > x * x
    x += _TAIL
    return x, usual[:, 0] & usual[:, 1], good


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

"""Caffe's random numbers, bit for bit: boost::mt19937 and the distributions Caffe draws from it.

In:   a 32-bit seed, or None for the system's entropy.
Out:  RNG: raw draws, uniform, Gaussian, Bernoulli numbers and shuffles. Every call takes exactly
      as many draws from the stream as Caffe's, so mixed calls stay in step.
      Threads may share a stream: each call's draws stay together.
Not here: the generator of the process (common.rng), fillers, dropout on the GPU (not repeatable).
Source: BVLC util/math_functions.cpp and util/rng.hpp over Boost.Random 1.56 or newer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import forks, mt19937, ziggurat
from .errors import CaffeError

_BLOCK = 1 << 16  # numbers made at a time: small enough for the cache, large enough for NumPy
_REFILL = 1024
_SCALE = np.float32(2.0**-32)
_DRAW_MAX = 2**32 - 1


class RNG:
    """One stream of Caffe's random numbers.

    Args:
        seed: any integer; Caffe keeps its low 32 bits. None: the system's entropy.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._source = mt19937.source(seed)
        self._memory = self._words = np.empty(0, np.uint32)  # drawn; those before _at are taken
        self._at = 0
        self.taken = 0  # draws until now
        self._lock = forks.brief_lock()
        self._normal = ziggurat.Normal()

    # -- the stream ----------------------------------------------------------------------------

    def peek(self, n: int) -> np.ndarray:
        """Return the next n draws, (n,) uint32, without taking them; they stay in place until the next call."""
        if self._at + n > len(self._words):
            self._draw_more(n)
        return self._words[self._at:self._at + n]

    def _draw_more(self, n: int) -> None:
        """Draw until at least n draws are there to be taken."""
        rest = self._words[self._at:]
        start = len(rest) + len(rest) % 2  # an even position: sources fill pairs
        length = start + max(n - len(rest), _REFILL) // 2 * 2 + 2
        memory = self._memory if len(self._memory) >= length else np.empty(length, np.uint32)
        memory[start - len(rest):start] = rest
        self._source.draw(memory[start:length])
        self._memory, self._words, self._at = memory, memory[:length], start - len(rest)

    def skip(self, n: int) -> None:
        """Take the next n draws that `peek` showed."""
        self._at += n
        self.taken += n

    def draw(self) -> int:
        """Return one raw draw, 0 to 2**32 - 1 (caffe_rng_rand)."""
        with self._lock:
            word = int(self.peek(1)[0])
            self.skip(1)
            return word

    def rand(self, n: int) -> int:
        """Return an integer from 0 to n - 1 as Caffe's data layers draw it: a raw draw modulo n."""
        if n < 1:
            raise CaffeError(f"RNG.rand: got n = {n}, want at least 1")
        return self.draw() % n

    # -- distributions -------------------------------------------------------------------------

    def uniform(self, a: float, b: float, n: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return n numbers from [a, b], float32, flat; into `out` (contiguous) where given.

        Raises:
            CaffeError: a > b, either of them or their difference not finite, or n < 0.
        """
        low, high = np.float32(a), np.float32(b)
        if not low <= high:
            raise CaffeError(f"uniform: got min {low:g}, max {high:g}, want min <= max (a <= b)")
        # Caffe: the upper bound moves up by one float, and Boost draws again when it is reached.
        bound = np.nextafter(high, np.float32(np.inf))
        with np.errstate(over="ignore", invalid="ignore"):
            width = bound - low
        if not np.isfinite(width):  # Caffe: draws forever
            raise CaffeError(f"uniform: got min {low:g}, max {high:g}, want finite numbers with a finite difference")
        flat = _flat(n, out)
        done = 0
        with self._lock:
            while done < n:
                words = self.peek(min(n - done, _BLOCK))
                value = flat[done:done + len(words)]
                np.copyto(value, words)
                value *= _SCALE
                value *= width
                value += low
                self.skip(len(words))
                if not value.max() < bound:
                    kept = value[value < bound]
                    value = flat[done:done + len(kept)]
                    value[:] = kept
                done += len(value)
        return flat

    def gaussian(self, mean: float, std: float, n: int,
                 out: np.ndarray | None = None) -> np.ndarray:
        """Return n normally distributed numbers; as `uniform` otherwise.

        Raises:
            CaffeError: std <= 0, or n < 0.
        """
        mu, sigma = np.float32(mean), np.float32(std)
        if not sigma > 0:
            raise CaffeError(f"gaussian: got std {sigma:g}, want std > 0 (sigma > 0)")
        flat = _flat(n, out)
        with self._lock:
            self._normal.fill(self, flat, mu, sigma)
        return flat

    def bernoulli(self, p: float | np.float32, n: int) -> np.ndarray:
        """Return n draws of 1 (with probability p) or 0, uint32, flat.

        Args:
            p: in [0, 1]. A np.float32 is compared in single precision (Caffe's sparse gaussian
                filler), a float in double precision (its dropout).
            n: how many.

        Raises:
            CaffeError: p outside [0, 1], or n < 0.
        """
        if not 0 <= p <= 1:
            raise CaffeError(f"bernoulli: got p = {p}, want 0 <= p <= 1")
        flat = np.zeros(_count(n), np.uint32)
        if p == 0:  # Caffe: then Boost takes nothing from the stream.
            return flat
        single = isinstance(p, np.float32)
        real = np.float32 if single else np.float64
        limit = real(p) * real(_DRAW_MAX)
        whole = np.uint32(min(int(np.floor(limit)), _DRAW_MAX))
        with self._lock:
            for start in range(0, n, _BLOCK):
                part = flat[start:start + _BLOCK]
                words = self.peek(len(part))
                part[:] = words.astype(np.float32) <= limit if single else words <= whole
                self.skip(len(part))
        return flat

    def shuffle(self, items: Any) -> None:
        """Shuffle a list or array in place as Caffe's shuffle does (Fisher-Yates from the end)."""
        with self._lock:
            for i in range(len(items) - 1, 0, -1):
                j = self._uniform_int(i)
                if i != j:
                    items[i], items[j] = _copied(items[j]), _copied(items[i])

    def _uniform_int(self, last: int) -> int:
        """Draw from 0 to last: Boost divides draws into equal buckets, and draws again above them."""
        bucket, rest = divmod(_DRAW_MAX, last + 1)
        if rest == last:
            bucket += 1
        while True:
            result = self.draw() // bucket
            if result <= last:
                return result


def _copied(item: Any) -> Any:
    return item.copy() if isinstance(item, np.ndarray) else item


def _count(n: int) -> int:
    if n < 0:
        raise CaffeError(f"random numbers: got n = {n}, want n >= 0")
    return n


def _flat(n: int, out: np.ndarray | None) -> np.ndarray:
    """Return where the n float32 numbers go, as a flat view."""
    if out is None:
        return np.empty(_count(n), np.float32)
    if out.size != n or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise CaffeError(f"random numbers: got out of {out.size} {out.dtype}, "
                         f"want {n} contiguous float32")
    return out.reshape(-1)

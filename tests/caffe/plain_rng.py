"""Boost's distributions one number at a time, as their definitions read: the oracle for blocks of numbers.

In:   an iterator of 32-bit draws.
Out:  PlainRNG, with the calls of caffe._caffe.rng.RNG.
Not here: the corners of the ziggurat's layers, which are the engine's (held against genuine Caffe by test_rng.py).
Source: Boost.Random 1.56 and newer; BVLC util/math_functions.cpp, util/rng.hpp.
"""

from __future__ import annotations

import math

import numpy as np

from caffe._caffe import ziggurat

F32 = np.float32
WIDTH, BASE = ziggurat._X.astype(F32), ziggurat._Y.astype(F32)
RISE = np.diff(ziggurat._Y).astype(F32)
EWIDTH, EBASE, ERISE = ziggurat._EX.astype(F32), ziggurat._EY.astype(F32), np.diff(ziggurat._EY).astype(F32)
TAIL = F32(ziggurat._X[1])


class PlainRNG:
    """One stream, taken draw by draw."""

    def __init__(self, draws):
        self.draw = lambda: int(next(draws))

    def rand(self, n):
        return self.draw() % n

    def uniform(self, a, b, n):
        low, bound = F32(a), np.nextafter(F32(b), F32(np.inf))
        numbers = []
        while len(numbers) < n:
            number = F32(self.draw()) * F32(2.0**-32) * F32(bound - low) + low
            if number < bound:
                numbers.append(number)
        return np.array(numbers, F32)

    def gaussian(self, mean, std, n):
        return np.array([self._normal() * F32(std) + F32(mean) for _ in range(n)], F32)

    def bernoulli(self, p, n):
        if p == 0:
            return np.zeros(n, np.uint32)
        if isinstance(p, np.float32):
            return np.array([F32(self.draw()) <= p * F32(2**32 - 1) for _ in range(n)], np.uint32)
        return np.array([self.draw() <= p * (2**32 - 1) for _ in range(n)], np.uint32)

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            bucket = (2**32 - 1) // (i + 1) + ((2**32 - 1) % (i + 1) == i)
            j = self.draw() // bucket
            while j > i:
                j = self.draw() // bucket
            items[i], items[j] = items[j], items[i]

    def _unit(self):
        while True:
            number = F32(self.draw()) * F32(2.0**-32)
            if number < 1:
                return number

    def _normal(self):
        while True:
            word = self.draw()
            layer, sign = word >> 1 & 127, F32(1 if word & 1 else -1)
            x = F32(word >> 8) * F32(2.0**-24) * WIDTH[layer]
            if float(x) < ziggurat._X[layer + 1]:
                return x * sign
            if layer == 0:
                return self._tail() * sign
            y = BASE[layer] + self._unit() * RISE[layer]
            if y < F32(math.exp(float(-(x * x) / F32(2)))):
                return x * sign

    def _tail(self):
        while True:
            x = self._exponential() / TAIL
            y = self._exponential()
            if F32(2) * y > x * x:
                return x + TAIL

    def _exponential(self):
        shift = F32(0)
        while True:
            word = self.draw()
            layer = word & 255
            x = F32(word >> 8) * F32(2.0**-24) * EWIDTH[layer]
            if x < EWIDTH[layer + 1]:
                return shift + x
            if layer == 0:
                shift += EWIDTH[1]
                continue
            y = EBASE[layer] + self._unit() * ERISE[layer]
            if y < F32(math.exp(-float(x))):
                return x + shift

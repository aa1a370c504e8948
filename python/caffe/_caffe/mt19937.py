"""boost::mt19937: the raw draws behind all of Caffe's random numbers, in blocks.

In:   a 32-bit seed, or None for the system's entropy.
Out:  source(seed), whose `draw(out)` fills an array with the next draws.
Not here: who takes how many draws (rng.py), distributions.
Source: Matsumoto and Nishimura 1998. NumPy and PyTorch both have this generator, with the seeding of Boost. PyTorch's
        is faster, but does not promise what it makes of a seed; so its draws are compared once per process.
"""

from __future__ import annotations

import functools
import sys

import numpy as np
import torch

_BLOCK = 1 << 16  # draws at once: their memory stays in the cache
_WORD_BITS = np.uint64(32)


class NumpySource:
    """Draws as numpy.random.RandomState makes them."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def draw(self, out: np.ndarray) -> None:
        """Fill a flat uint32 array of even length with the next draws."""
        out[:] = self._state.randint(0, 2**32, size=len(out), dtype=np.uint32)


class TorchSource:
    """Draws as torch.Generator makes them, two to a 64-bit integer."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._first = np.empty(_BLOCK // 2, np.uint64)

    def draw(self, out: np.ndarray) -> None:
        """Fill a flat uint32 array of even length, aligned to 8 bytes, with the next draws."""
        for start in range(0, len(out), _BLOCK):
            pairs = out[start:start + _BLOCK].view(np.uint64)
            torch.from_numpy(pairs.view(np.int64)).random_(-2**63, None, generator=self._generator)
            if sys.byteorder == "little":  # the first draw of a pair is in the upper half
                first = np.right_shift(pairs, _WORD_BITS, out=self._first[:len(pairs)])
                pairs <<= _WORD_BITS
                pairs |= first


def source(seed: int | None) -> NumpySource | TorchSource:
    """Return the generator for a seed; Caffe keeps its low 32 bits."""
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    return (TorchSource if _torch_agrees() else NumpySource)(int(seed) & 0xFFFFFFFF)


@functools.lru_cache(maxsize=1)
def _torch_agrees() -> bool:
    """Return whether PyTorch's draws of a seed are those of Boost."""
    found, want = np.zeros((2, 2000), np.uint32)
    TorchSource(5489).draw(found)
    NumpySource(5489).draw(want)
    return np.array_equal(found, want)

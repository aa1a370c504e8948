"""What chance decides in a data layer: the order of the items and, for each, the options that are on.

In:   how many items there are, a seed.
Out:  endless iterators, one for each decision; `draws`, which ties them together, item by item; `dealt`, which shares
    them out among processes.
Not here: files, what the decisions do to an image (augment.py).
Source: the FCN release's data layers, trained under Python 2: with replacement, one draw before the first item and one
    after each. The options, which the papers tried, draw from generators of their own: the order stays as it is.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple, Union

Seed = Union[int, str, None]  # None: from the system


class Draw(NamedTuple):
    """One item and what is done to it; as it stands, nothing."""

    idx: int
    mirrored: bool = False
    shift: tuple[int, int] = (0, 0)  # pixels down and to the right
    window: tuple[float, float] = (0.0, 0.0)  # in [0, 1): which of the places for a crop, down and to the right
    noise: int = 0  # seed of what is drawn for each pixel


def randint_py2(rng: random.Random, n: int) -> int:
    """Draw from [0, n) as Python 2's random.randint did, when the released nets were trained."""
    return int(rng.random() * n)


def with_replacement(n: int, seed: Seed) -> Iterator[int]:
    """Draw indices in [0, n) independently, as the release did."""
    rng = random.Random(seed)  # DEVIATION D22: the release seeds and draws from the global generator.
    while True:
        yield randint_py2(rng, n)


def in_epochs(n: int, seed: Seed) -> Iterator[int]:
    """Go through a new permutation of range(n) each epoch (Fisher-Yates, alike on every Python)."""
    rng = random.Random(seed)
    while True:
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = randint_py2(rng, last + 1)
            order[last], order[other] = order[other], order[last]
        yield from order


def in_file_order(n: int) -> Iterator[int]:
    """Go through range(n) again and again."""
    return itertools.cycle(range(n))


def coin_tosses(mirror: bool, seed: Seed) -> Iterator[bool]:
    """Toss whether an item is mirrored."""
    rng = _generator("mirror", seed)
    return (rng.random() < 0.5 for _ in itertools.count()) if mirror else itertools.repeat(False)


def shifts(jitter: int, seed: Seed) -> Iterator[tuple[int, int]]:
    """Draw by how many pixels an item is moved, each way at most `jitter`."""
    rng, places = _generator("jitter", seed), 2 * jitter + 1
    moves = ((randint_py2(rng, places) - jitter, randint_py2(rng, places) - jitter) for _ in itertools.count())
    return moves if jitter else itertools.repeat((0, 0))


def windows(crop: bool, seed: Seed) -> Iterator[tuple[float, float]]:
    """Draw where the window of an item lies, in [0, 1) of the places that there are."""
    rng = _generator("crop", seed)
    return ((rng.random(), rng.random()) for _ in itertools.count()) if crop else itertools.repeat((0.0, 0.0))


def noises(wanted: bool, seed: Seed) -> Iterator[int]:
    """Draw the seed of what is drawn for each pixel of an item, 32 bits."""
    rng = _generator("noise", seed)
    return (rng.getrandbits(32) for _ in itertools.count()) if wanted else itertools.repeat(0)


def draws(indices: Iterator[int], tosses: Iterator[bool], skip: int, *more: Iterator) -> Iterator[Draw]:
    """Tie indices, tosses and further fields of Draw together, but for the first `skip`, which a run used before."""
    return itertools.islice(itertools.starmap(Draw, zip(indices, tosses, *more)), skip, None)


def dealt(items: Iterator[Draw], batch: int, rank: int = 0, count: int = 1) -> Iterator[tuple[Draw, ...]]:
    """Put items together to passes of `batch` and deal these out to processes in turn: every count-th, from rank on."""
    passes = iter(lambda: tuple(itertools.islice(items, batch)), ())
    return itertools.islice(passes, rank, None, count)


def _generator(option: str, seed: Seed) -> random.Random:
    return random.Random() if seed is None else random.Random(f"{option} {seed}")

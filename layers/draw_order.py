"""The order in which data layers go through their items, and which of them are mirrored.

In:   how many items there are, a seed.
Out:  endless iterators of indices and of coin tosses.
Not here: files.
Source: the FCN release's data layers, trained under Python 2: with replacement, one draw before the
first item and one after each.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator


def randint_py2(rng: random.Random, n: int) -> int:
    """Draw from [0, n) as Python 2's random.randint did, when the released nets were trained."""
    return int(rng.random() * n)


def with_replacement(n: int, seed: int | None) -> Iterator[int]:
    """Draw indices in [0, n) independently, as the release did; None seeds from the system."""
    rng = random.Random(seed)  # DEVIATION D22: the release seeds and draws from the global generator.
    while True:
        yield randint_py2(rng, n)


def in_epochs(n: int, seed: int | None) -> Iterator[int]:
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


def coin_tosses(mirror: bool, seed: int | None) -> Iterator[bool]:
    """Toss whether an item is mirrored, from a generator of its own: the order stays as it is."""
    if not mirror:
        return itertools.repeat(False)
    rng = random.Random() if seed is None else random.Random(f"mirror {seed}")
    return (rng.random() < 0.5 for _ in itertools.count())


def draws(indices: Iterator[int], tosses: Iterator[bool], skip: int) -> Iterator[tuple[int, bool]]:
    """Pair indices with tosses and leave out the first `skip` pairs, which an earlier run used."""
    return itertools.islice(zip(indices, tosses), skip, None)

"""Blocks of random numbers are those of the plain algorithms, draw for draw, in any sequence of calls."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from caffe._caffe import mt19937, ziggurat
from caffe._caffe.rng import RNG
from tests.caffe.plain_rng import PlainRNG

USUAL = 0x40000000 + 77  # ends whatever it comes to
SIZES = [0, 1, 2, 3, 7, 31, 100, 1000, 1023, 5000]


def mersenne(seed):
    """Yield the draws of a seed, from NumPy."""
    state = np.random.RandomState(seed)
    while True:
        yield from state.randint(0, 2**32, 4096, np.uint32)


class Given:
    """A source whose draws are given, and then the same usual one for ever."""

    def __init__(self, draws):
        self.rest = iter(draws)

    def draw(self, out):
        out[:] = list(itertools.islice(itertools.chain(self.rest, itertools.repeat(USUAL)), len(out)))


def a_call(rng, size):
    """Return a random call, as a function of an RNG."""
    a, b = sorted([rng.uniform(-3, 3), rng.choice([0, 1, 1e-3, rng.uniform(-3, 3)])])
    p = rng.choice([0.0, 1.0, 0.5, rng.random(), np.float32(rng.random()), np.float32(1)])
    mean, std = rng.choice([0.0, 0.3]), rng.choice([1.0, 0.01, rng.random() + 1e-3])

    def shuffled(stream):
        items = list(range(min(size, 300)))
        stream.shuffle(items)
        return items

    return rng.choice([lambda s: s.uniform(a, b, size), lambda s: s.gaussian(mean, std, size),
                       lambda s: s.gaussian(mean, std, size), lambda s: s.bernoulli(p, size),
                       lambda s: s.draw(), lambda s: s.rand(7), shuffled])


def same(one, other):
    """Whether two results agree to the bit, the sign of a zero included."""
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_of_calls(seed):
    rng = random.Random(seed)
    blocks, plain = RNG(seed), PlainRNG(mersenne(seed))
    for step in range(25):
        call = a_call(rng, rng.choice(SIZES))
        assert same(call(blocks), call(plain)), step
    assert [blocks.draw() for _ in range(9)] == [plain.draw() for _ in range(9)]


@pytest.mark.parametrize("size", [100_000, 131_072, 270_000])
def test_several_blocks(size):
    blocks, plain = RNG(5), PlainRNG(mersenne(5))
    assert same(blocks.gaussian(0, 1, size), plain.gaussian(0, 1, size))
    assert same(blocks.uniform(-1, 1, 50_000), plain.uniform(-1, 1, 50_000))
    assert blocks.draw() == plain.draw()


@pytest.mark.parametrize("seed", range(6))
def test_numbers_made_ahead_are_those_of_the_stream(seed):
    rng = random.Random(seed)
    blocks, plain = RNG(seed), PlainRNG(mersenne(seed))
    assert same(blocks.gaussian(0, 1, 20_000), plain.gaussian(0, 1, 20_000))  # from now on more is made than wanted
    for step in range(200):
        size = rng.choice([0, 1, 2, 3, 5, 30, 100, 700])
        mean, std = rng.choice([0.0, 0.5]), rng.choice([1.0, 0.02])
        assert same(blocks.gaussian(mean, std, size), plain.gaussian(mean, std, size)), step
        if rng.random() < 0.1:
            assert same(blocks.uniform(-1, 1, size), plain.uniform(-1, 1, size)), step
        if rng.random() < 0.2:
            assert blocks.draw() == plain.draw(), step


def test_no_more_is_made_than_wanted_where_others_draw_in_between():
    rng = RNG(1)
    for _ in range(20):
        rng.gaussian(0, 1, 1000)
        rng.uniform(0, 1, 1)
    assert rng._normal._end < 1200
    for _ in range(20):
        rng.gaussian(0, 1, 1000)
    assert rng._normal._end > 4000


RARE = {  # draws at which attempts take several draws: by what they are
    "tail": lambda rng: rng.randrange(0xFF0000, 1 << 24) << 8 | rng.randrange(2),
    "top layer": lambda rng: rng.randrange(1 << 24) << 8 | 254 | rng.randrange(2),
    "near the curve": lambda rng: rng.randrange(0xF00000, 1 << 24) << 8 | rng.randrange(256),
    "unit of 1": lambda rng: rng.randrange(2**32 - 128, 2**32),
    "tail of the exponential": lambda rng: rng.randrange(0xFF0000, 1 << 24) << 8,
    "largest": lambda rng: 2**32 - 1,
    "zero": lambda rng: rng.choice([0, 1]),
    "any": lambda rng: rng.randrange(1 << 32),
}


@pytest.mark.parametrize("seed", range(60))
def test_rare_draws_in_a_row(seed):
    rng = random.Random(seed)
    weights = [rng.random() ** 3 for _ in RARE]
    draws = [kind(rng) for kind in rng.choices(list(RARE.values()), weights, k=4000)]
    blocks, plain = RNG(0), PlainRNG(itertools.chain(iter(draws), itertools.repeat(USUAL)))
    blocks._source = Given(draws)
    for size in (rng.randrange(1, 5), 40, rng.randrange(300), 1, 700, *rng.choices(range(9), k=20)):
        assert same(blocks.gaussian(0, 1, size), plain.gaussian(0, 1, size))
    assert [blocks.draw() for _ in range(9)] == [plain.draw() for _ in range(9)]


def test_an_attempt_longer_than_a_block_looks_ahead():
    reject = [0xFFFFFF << 8, 200 << 24 | 5, 5]  # a tail whose exponentials are refused: x too large for y
    draws = [123 << 8 | 20, *reject[:1], *(reject[1:] * 3 * ziggurat._LONGEST), *range(1, 500)]
    blocks, plain = RNG(0), PlainRNG(itertools.chain(iter(draws), itertools.repeat(USUAL)))
    blocks._source = Given(draws)
    assert same(blocks.gaussian(0, 1, 4), plain.gaussian(0, 1, 4))
    assert blocks.draw() == plain.draw()


def test_many_refused_after_the_last_number_wanted():
    refused = [0xFFF000 << 8 | 254, 0xFFF000 << 8 | 2]
    draws = [USUAL] * 720 + refused * 60
    blocks, plain = RNG(0), PlainRNG(itertools.chain(iter(draws), itertools.repeat(USUAL)))
    blocks._source = Given(draws)
    assert same(blocks.gaussian(0, 1, 700), plain.gaussian(0, 1, 700))
    assert blocks.draw() == plain.draw()


def test_the_numbers_after_a_full_array_are_not_begun():
    for size in range(1, 200):
        blocks, plain = RNG(size), PlainRNG(mersenne(size))
        assert same(blocks.gaussian(0, 1, size), plain.gaussian(0, 1, size))
        assert blocks.draw() == plain.draw()


# -- the draws themselves --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [mt19937.NumpySource, mt19937.TorchSource])
def test_both_sources_are_mt19937(kind):
    for seed in (0, 1, 5489, 2**31, 2**32 - 1):
        source, want = kind(seed), np.random.RandomState(seed).randint(0, 2**32, 100_000, np.uint32)
        memory = np.zeros(len(want) + 2, np.uint32)
        for start, end in ((0, 2), (2, 1000), (1000, 1624), (1624, 100_000)):
            source.draw(memory[start:end])
        assert np.array_equal(memory[:-2], want)


def test_another_pytorch_with_other_draws_is_not_used(monkeypatch):
    assert isinstance(mt19937.source(3), mt19937.TorchSource)
    monkeypatch.setattr(mt19937, "_torch_agrees", lambda: False)
    rng = RNG(3)
    assert isinstance(rng._source, mt19937.NumpySource)
    plain = PlainRNG(mersenne(3))
    assert same(rng.gaussian(0, 1, 5000), plain.gaussian(0, 1, 5000))


def test_seeds_keep_their_low_32_bits():
    assert RNG(2**32 + 11).draw() == RNG(11).draw()
    assert RNG(-1).draw() == RNG(2**32 - 1).draw()

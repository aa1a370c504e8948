"""Random convolutions, each computed in every way that says it serves, against float64.

Bounds on sizes are lowered, so that small tensors reach ways made for large ones.
"""

from __future__ import annotations

import random

import pytest
import torch

from caffe._caffe import common
from caffe._caffe.kernels import choose, grouped, in_place, matmul, onednn, strips
from caffe._caffe.kernels.convolution import Convolution
from caffe._caffe.kernels.scratch import Scratch
from caffe._caffe.kernels.winograd import learning, tiles, tilings

SEEDS = range(40)
CASES = 12  # per seed
BOUND = {torch.float32: 2e-5, torch.bfloat16: 4e-2}  # of the largest value
OPERATIONS = ("convolve", "data_gradient", "add_weight_gradient")
MUST_SERVE = {"Winograd", "Matmul", "Grouped", "Strips", "InPlace", "TorchKernel", "Upsampling", "Transposed"}
taken: set[tuple[str, str]] = set()


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    for module, name, value in (
            (in_place, "LARGE", 1), (matmul, "LARGE", 1), (grouped, "HEAVY", 1), (strips, "LARGE", 1),
            (strips, "FEW", 1), (strips, "STRIP", 60), (tiles, "CHANNELS", {3: 1, 7: 1}),
            (tiles, "BOTH", dict.fromkeys(BOUND, 1))):
        monkeypatch.setattr(module, name, value)


def draw(rng: random.Random, dtype: torch.dtype) -> tuple[Convolution, tuple[int, ...], tuple[int, int]]:
    """Return a convolution, the shape of x, and the channels of x and y per group."""
    def pair(*of: int) -> list[int]:
        return [rng.choice(of) for _ in "hw"] if rng.random() < 0.4 else [rng.choice(of)] * 2

    kernel, dilation = pair(1, 1, 2, 3, 3, 3, 4), pair(1, 1, 1, 2, 3)
    transposed = dtype == torch.float32 and rng.random() < 0.35  # layers deconvolve in float32
    conv = Convolution(kernel, dilation, pair(0, 0, 1, 2, 5), pair(1, 1, 1, 2, 3), 1, transposed, dtype)
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    sides = [rng.randint(max(1, e - 2 * p), 14) for e, p in zip(extent, conv.pad)]
    if conv.transposed:
        pad = [min(p, (e - 1) // 2) for p, e in zip(conv.pad, extent)]
        conv, sides = conv._replace(pad=pad), [rng.randint(1, 7) for _ in "hw"]
    group, per_group, out_per_group = rng.choice([1, 1, 1, 2, 3]), rng.randint(1, 9), rng.randint(1, 9)
    if rng.random() < 0.2:
        group, per_group, out_per_group = rng.randint(2, 9), 1, 1
    if rng.random() < 0.3:
        group, per_group, out_per_group = 1, rng.randint(30, 70), rng.randint(30, 70)
    x = rng.randint(1, 3), group * per_group, *sides
    return conv._replace(group=group), x, (per_group, out_per_group)


def tensors(conv: Convolution, shape: tuple[int, ...], channels: tuple[int, int], rng: random.Random):
    """Return x, weight, bias, dy, and in float64 y, dx, dw."""
    generator = torch.Generator().manual_seed(rng.randrange(1 << 30))

    def normal(*size: int) -> torch.Tensor:
        tensor = torch.randn(*size, generator=generator)
        return tensor.contiguous(memory_format=torch.channels_last) if rng.random() < 0.6 and len(size) == 4 else tensor

    per_group, out_per_group = channels
    outer, inner = (shape[1], out_per_group) if conv.transposed else (out_per_group * conv.group, per_group)
    x, weight = normal(*shape), torch.randn(outer, inner, *conv.kernel, generator=generator)
    bias = normal(out_per_group * conv.group) if rng.random() < 0.7 else None
    exact = [None if t is None else t.double() for t in (x, weight, bias)]
    y = torch.convolution(*exact, *conv.geometry)
    dy = normal(*y.shape)
    dx, dw, _ = torch.ops.aten.convolution_backward(dy.double(), *exact[:2], [0], *conv.geometry, [True, True, False])
    return (x, weight, bias, dy), (y, dx, dw)


def run(way, operation, conv, given, wanted, rng) -> torch.Tensor | None:
    """Return what a way makes of memory that holds something else, None if it does not serve."""
    x, weight, bias, dy = given
    out = torch.full(wanted.shape, 7.0)
    if operation != "add_weight_gradient" and rng.random() < 0.6:
        out = out.contiguous(memory_format=torch.channels_last)
    x_like, y_like = {"convolve": (x, out), "data_gradient": (out, dy), "add_weight_gradient": (x, dy)}[operation]
    if not way.serves(operation, conv, weight, x_like, y_like):
        return None
    taken.add((type(way).__name__, operation))
    with Scratch() as scratch:
        if not way.takes_float32:
            x, weight, bias, dy = (None if t is None else scratch.cast(t, conv.dtype) for t in given)
        if operation == "convolve":
            way.convolve(conv, x, weight, bias, out)
        elif operation == "data_gradient":
            way.data_gradient(conv, dy, weight, out)
        else:
            way.add_weight_gradient(conv, dy, x, out)
            out -= 7
    return out


@pytest.mark.parametrize("dtype", BOUND, ids=str)
@pytest.mark.parametrize("seed", SEEDS)
def test_each_way_that_serves_computes_the_convolution(seed, dtype, monkeypatch):
    if dtype == torch.bfloat16 and not common.has_bf16():
        pytest.skip("this CPU has no bf16")
    rng = random.Random(f"{seed} {dtype}")
    small = dtype == torch.float32 and rng.random() < 0.5
    monkeypatch.setattr(learning, "_best_tiling", lambda *_: tilings.tiling_for(3, dtype, small))
    for case in range(CASES):
        conv, shape, channels = draw(rng, dtype)
        given, exact = tensors(conv, shape, channels, rng)
        for operation, want in zip(OPERATIONS, exact, strict=True):
            if dtype == torch.bfloat16 and onednn.bf16_kernel_errs(operation, conv, given[0], given[3].shape[1]):
                continue  # layers know
            for way in choose.TRANSPOSED if conv.transposed else choose.PLANAR:
                got = run(way, operation, conv, given, want, rng)
                if got is not None:
                    error = (got - want).abs().max() / want.abs().max().clamp_min(1)
                    who = f"{type(way).__name__}.{operation}, case {case}"
                    assert float(error) <= BOUND[dtype], f"{who}: {conv} {shape}"


def test_every_way_was_taken():
    if not taken:
        pytest.skip("the tests above were not run")
    assert {name for name, _ in taken} == MUST_SERVE, sorted(taken)

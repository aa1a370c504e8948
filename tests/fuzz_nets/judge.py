"""Run a case both ways and say what differs.

In:   the name of a comparison, a Case.
Out:  the first Difference, if any.
        plan: by plan against layer by layer.   genuine, train: layer by layer against genuine Caffe.
Not here: bounds (compare), the process around it (remote), smaller cases (shrink).
"""

from __future__ import annotations

import contextlib
import functools
import math
import tempfile
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import torch

import caffe
from caffe._caffe import log
from caffe._caffe.kernels.winograd import tiles
from caffe._caffe.plan import packing, pointwise, space

from . import scenario
from .compare import Difference, Run, compare
from .genuine import Genuine
from .spec import Case

# What a plan does with large values only, done with all: memory of its own, weights ordered for oneDNN; tiles.
FOR_LARGE = ((space, "LARGE", 1), (packing, "LARGE", 1), (pointwise, "LARGE", 1), (packing, "SMALL", 0))
BY_TILES = ((tiles, "CHANNELS", {3: 1, 7: 1}), (tiles, "BOTH", dict.fromkeys((torch.float32, torch.bfloat16), 1)),
            (tiles, "WORTH", math.inf))
JUMPS = {"Threshold", "ArgMax", "Accuracy"}  # tops that jump where tiles leave next to nothing in place of 0
Judge = Callable[[str, Case], "Difference | None"]  # LocalJudge, and RemoteJudge


class LocalJudge:
    """Judges in this process; a context manager that ends genuine Caffe's."""

    def __init__(self) -> None:
        self._genuine = Genuine()

    def __enter__(self) -> LocalJudge:
        return self

    def __exit__(self, *problem) -> None:
        self._genuine.end()

    def __call__(self, comparison: str, case: Case) -> Difference | None:
        """Return where the two ways differ first."""
        return self._plan(case) if comparison == "plan" else self._by_genuine(case)

    def _plan(self, case: Case) -> Difference | None:
        return compare(run_ours(case, True), run_ours(case, False), functools.partial(run_ours, case, False))

    def _by_genuine(self, case: Case) -> Difference | None:
        if not runs_in_genuine(case):
            return None
        got, want = run_ours(case, False), self._genuine.run(case)
        if want[1] and not got[1] and _has_nan(case):
            return None  # D18: a maximum of NaN alone writes its gradient beyond the blob
        difference = compare(got, want, functools.partial(run_ours, case, False), genuine=True)
        # what BLAS makes of NaN depends on its kernel: genuine Caffe's scales by it and gives 0
        return None if difference is not None and _has_nan(case) else difference


def run_ours(case: Case, plans: bool, noise: int = 0) -> Run:
    """Run a case in this Caffe, by plan where one serves, or layer by layer.

    With odd seeds a plan's small values take the ways that are made for large ones.
    """
    caffe.set_plans(plans)
    caffe.set_random_seed(case.seed)
    try:
        with _failures() as failures, _bounds(_lowered(case)):
            seen, raised = scenario.run(caffe, case.message(), _folder(), noise, caffe.set_plans if plans else None)
    finally:
        caffe.set_plans(True)
    return seen, raised or next(iter(failures), None)


def _lowered(case: Case) -> Sequence[tuple[ModuleType, str, Any]]:
    if case.seed % 2 == 0:
        return ()
    return FOR_LARGE if any(layer.type in JUMPS for layer in case.layers) else FOR_LARGE + BY_TILES


@contextlib.contextmanager
def _bounds(lowered: Sequence[tuple[ModuleType, str, Any]]) -> Iterator[None]:
    """Let constants have other values for a while."""
    with contextlib.ExitStack() as stack:
        for module, name, value in lowered:
            stack.enter_context(unittest.mock.patch.object(module, name, value))
        yield


@contextlib.contextmanager
def _failures() -> Iterator[list[str]]:
    """Collect what plans fail with: they warn, and the net runs layer by layer from then on."""
    found: list[str] = []

    def warning(message: str, *more) -> None:
        if "plan failed" in message:
            found.append(message)

    with unittest.mock.patch.object(log, "warning", warning):
        yield found


def runs_in_genuine(case: Case) -> bool:
    """Whether genuine Caffe has all that the case asks for, and agrees where nothing is wrong."""
    if any(step[0] == "poison" for step in case.steps):
        return False  # D18, D40; and what BLAS makes of 0 times NaN depends on its kernel
    # D19: in an Eltwise in place Caffe writes over the first bottom, or its gradient, before it reads it
    return not any(layer.type == "Clip" or (layer.type == "Eltwise" and layer.in_place) for layer in case.layers)


def _has_nan(case: Case) -> bool:
    """Whether any blob is not finite after any pass."""
    steps = [one for step in case.steps for one in ((step, ("look_all",)) if step[0] == "forward" else (step,))]
    seen, _ = run_ours(replace(case, steps=tuple(steps)), False)
    return not all(np.isfinite(array).all() for _, array in seen)


@functools.cache
def _keeper() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="fuzz_nets_")


def _folder() -> str:
    """Return a folder that lasts as long as the process."""
    return _keeper().name

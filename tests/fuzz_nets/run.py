"""Run cases in this Caffe, by plan and layer by layer, and say what differs.

In:   a Case.
Out:  the first Difference, if any.
Not here: genuine Caffe (genuine), bounds (compare), smaller cases (shrink).
"""

from __future__ import annotations

import functools
import tempfile

import caffe

from . import scenario
from .compare import RELATIVE_GENUINE, Difference, Run, compare
from .genuine import Genuine
from .spec import Case

REFUSAL = "weights were written through a view since the last forward"  # DEVIATION D38's error
ALLOW_REFUSALS = False


@functools.cache
def folder() -> str:
    """Return a folder that lasts as long as the process."""
    found = tempfile.TemporaryDirectory(prefix="fuzz_nets_")
    _KEPT.append(found)
    return found.name


_KEPT: list = []


def run_ours(case: Case, plans: bool, noise: int = 0) -> Run:
    """Run a case in this Caffe, by plan where one serves, or layer by layer."""
    before = caffe.set_plans(plans)
    caffe.set_random_seed(case.seed)
    try:
        return scenario.run(caffe, case.message(), folder(), noise, caffe.set_plans if plans else None)
    finally:
        caffe.set_plans(True)
        del before


def plan_differs(case: Case) -> Difference | None:
    """Return where a case by plan differs from the same layer by layer."""
    got, want = run_ours(case, True), run_ours(case, False)
    if want[1]:
        return Difference("what is raised layer by layer", want[1], "no error", 0)
    if ALLOW_REFUSALS and got[1] and REFUSAL in got[1]:
        got, want = (got[0], None), (want[0][:len(got[0])], None)
    return compare(got, want, lambda seed: run_ours(case, False, seed))


def genuine_differs(case: Case, genuine: Genuine) -> Difference | None:
    """Return where a case layer by layer differs from the same in genuine Caffe."""
    got, want = run_ours(case, False), genuine.run(case)
    return compare(got, want, lambda seed: run_ours(case, False, seed), RELATIVE_GENUINE)

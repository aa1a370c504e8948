"""Seeds, the comparisons of each, and the findings.

In:   a seed; genuine Caffe, if it is found.
Out:  Findings: shrunk cases and where they differ.
Not here: the command (__main__).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import run
from .compare import Difference
from .generate_steps import TEST, TRAIN, make_case, runs_in_genuine
from .genuine import Genuine
from .shrink import shrink
from .spec import Case

Judge = Callable[[Case], Difference | None]


@dataclass
class Finding:
    """A case that differs."""

    seed: int
    comparison: str
    case: Case
    difference: Difference

    @property
    def key(self) -> tuple[str, ...]:
        """What like findings have in common: the types of the layers, save inputs."""
        return tuple(f"{layer.type}{'*' if layer.in_place else ''}" for layer in self.case.layers
                     if layer.type != "Input")

    def __str__(self) -> str:
        steps = "\n".join(f"  {' '.join(str(word) for word in step)}" for step in self.case.steps)
        return f"seed {self.seed}, {self.comparison}\n{self.case.text()}{steps}\n{self.difference}"


class Campaign:
    """Runs seeds and keeps what it finds.

    Args:
        genuine: the process of genuine Caffe, or None.
        only: which comparisons: plan, genuine, train; None for all.
        shrinks: whether findings are made small.
    """

    def __init__(self, genuine: Genuine | None, only: list[str] | None = None, shrinks: bool = True) -> None:
        self.genuine, self.only, self.shrinks = genuine, only, shrinks
        self.findings: list[Finding] = []

    def run(self, seed: int) -> list[Finding]:
        """Run the comparisons of a seed; return what differs."""
        found = [finding for name, case, judge in self._comparisons(seed)
                 if (finding := self._finding(seed, name, case, judge)) is not None]
        self.findings += found
        return found

    def _comparisons(self, seed: int):
        """Yield the name of each comparison, its case and its judge."""
        case = make_case(seed, TEST)
        if self._wants("plan"):
            yield "plan", case, run.plan_differs
        if self.genuine is not None:
            if self._wants("genuine") and runs_in_genuine(case):
                yield "genuine", case, self._by_genuine
            if self._wants("train") and seed % 4 == 0:
                train = make_case(seed, TRAIN)
                if runs_in_genuine(train):
                    yield "train", train, self._by_genuine

    def _wants(self, name: str) -> bool:
        return self.only is None or name in self.only

    def _by_genuine(self, case: Case) -> Difference | None:
        return run.genuine_differs(case, self.genuine)

    def _finding(self, seed: int, name: str, case: Case, judge: Judge) -> Finding | None:
        difference = judge(case)
        if difference is None:
            return None
        if self.shrinks:
            case = shrink(case, lambda smaller: _alike(judge(smaller), difference))
            difference = judge(case) or difference
        return Finding(seed, name, case, difference)


def _alike(found: Difference | None, first: Difference) -> bool:
    """Whether a smaller case is wrong in the same way: values, an error here, or one of both."""
    return found is not None and found.kind == first.kind

"""Seeds, the comparisons of each, and the findings.

In:   seeds; a judge.
Out:  Findings: shrunk cases and where they differ; a report that groups like ones.
Not here: the command (__main__), judging (judge).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .compare import Difference
from .generate_steps import TEST, TRAIN, make_case
from .shrink import shrink
from .spec import Case

COMPARISONS = ("plan", "genuine", "train")
TRAINED = 4  # every fourth seed is a TRAIN net, too


@dataclass
class Finding:
    """A case that differs."""

    seed: int
    comparison: str
    case: Case
    difference: Difference

    @property
    def key(self) -> str:
        """What like findings have in common: the types of the layers, a star where in place, and what is raised."""
        types = [f"{layer.type}{'*' * layer.in_place}" for layer in self.case.layers if layer.type != "Input"]
        raised = [] if self.difference.kind == "values" else [f"({self.difference.kind})"]
        return " ".join([f"{self.comparison}:", *types, *raised])

    def __str__(self) -> str:
        steps = "\n".join(f"  {' '.join(str(word) for word in step)}" for step in self.case.steps)
        return f"seed {self.seed}, {self.comparison}\n{self.case.text()}{steps}\n{self.difference}"


def run_seed(seed: int, judge, comparisons: tuple[str, ...] = COMPARISONS, shrinks: bool = True) -> list[Finding]:
    """Run the comparisons of a seed; return what differs.

    Args:
        seed: of the net and its scenario.
        judge: LocalJudge or RemoteJudge.
        comparisons: which.
        shrinks: whether what differs is made small.
    """
    found = []
    for name, case in _cases(seed, comparisons):
        difference = judge(name, case)
        if difference is not None:
            found.append(_finding(seed, name, case, difference, judge, shrinks))
    return found


def _cases(seed: int, comparisons: tuple[str, ...]) -> Iterator[tuple[str, Case]]:
    case = make_case(seed, TEST)
    for name in ("plan", "genuine"):
        if name in comparisons:
            yield name, case
    if "train" in comparisons and seed % TRAINED == 0:
        yield "train", make_case(seed, TRAIN)


def _finding(seed: int, name: str, case: Case, difference: Difference, judge, shrinks: bool) -> Finding:
    def wrong(smaller: Case) -> bool:
        nonlocal difference
        found = judge(name, smaller)
        if found is None or found.kind != difference.kind:
            return False
        difference = found
        return True

    return Finding(seed, name, shrink(case, wrong) if shrinks else case, difference)


def report(findings: list[Finding]) -> list[str]:
    """Return a text for each group of like findings, the most frequent last, with its smallest case."""
    counts = Counter(found.key for found in findings)
    texts = []
    for key, count in sorted(counts.items(), key=lambda item: item[1]):
        group = [found for found in findings if found.key == key]
        smallest = min(group, key=lambda found: len(found.case.layers) + len(found.case.steps))
        seeds = " ".join(str(found.seed) for found in group[:10])
        texts.append(f"\n== {count} x {key} (seeds {seeds})\n{smallest}")
    return texts

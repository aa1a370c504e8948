"""Whether two runs of a case saw the same, and whether what differs is more than rounding.

In:   what scenario.run returned, twice.
Out:  Difference: where they part first by more than the bound.
Not here: running (judge).

The bound is relative to the blob's largest magnitude. Beyond it a difference still counts only if it is larger than
what noise of the size of rounding errors, in inputs, weights and the top of every layer, does to the same blob layer
by layer: maxima that tie, thresholds, differences of like numbers and divisions by next to nothing move far by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RELATIVE = 1e-5
RELATIVE_GENUINE = 1e-4
FLOOR = 1e-10
FLOOR_GENUINE = 5e-7  # a few ulps of 1: its ELU is exp(x) - 1, its sums run on in float32
NOISY_RUNS = 5
TIMES = 10  # how much larger than what noise does
Seen = list[tuple[str, np.ndarray]]
Run = tuple[Seen, str | None]


@dataclass
class Difference:
    """The first place where two runs part. `size` is relative to the largest magnitude; infinite where not a number."""

    label: str
    got: str
    want: str
    size: float = float("inf")

    @property
    def kind(self) -> str:
        """What differs: values, or the words of an error without its numbers and names."""
        if "raised" not in self.label:
            return "values"
        return " ".join(re.sub(r"'.*?'|-?\d+|step \w+|/\S+", "", f"{self.got} {self.want}").split())

    def __str__(self) -> str:
        size = f": differs by {self.size:.3g} of the largest" if self.kind == "values" else ""
        return f"{self.label}{size}\n  got  {self.got}\n  want {self.want}"


def compare(got: Run, want: Run, by_layer: Callable[[int], Run], genuine: bool = False) -> Difference | None:
    """Return where two runs differ first, if they do.

    Args:
        got: the run to be judged.
        want: the run it must equal.
        by_layer: runs the case layer by layer with the noise of a seed; 0: none.
        genuine: whether `want` is genuine Caffe's, whose bound is wider.
    """
    if got[1] or want[1]:
        return Difference("what is raised", str(got[1]), str(want[1]))
    labels = [[label for label, _ in run[0]] for run in (got, want)]
    if labels[0] != labels[1]:
        return Difference("what is seen (nothing is raised)", str(labels[0]), str(labels[1]))
    suspects = [i for i, ((label, a), (_, b)) in enumerate(zip(got[0], want[0]))
                if distance(a, b) > bound(b, genuine) and not (genuine and _left_open(label, b))]
    if not suspects:
        return None
    base = by_layer(0)[0]
    for i in suspects:  # what reads memory of no meaning moves by itself, and noise must not excuse it
        label, first = (got if genuine else want)[0][i]
        if distance(base[i][1], first) > bound(first, False):
            return _described(f"{label}, layer by layer once more", base[i][1], first)
    moved = [_moved(base, by_layer(seed), suspects) for seed in range(1, NOISY_RUNS + 1)]
    for i in suspects:
        (label, a), (_, b) = got[0][i], want[0][i]
        if label.endswith("bytes") or distance(a, b) > TIMES * max(found[i] for found in moved):
            return _described(label, a, b)
    return None


def _moved(base: Seen, noisy: Run, suspects: list[int]) -> dict[int, float]:
    """Return how far noise moved each suspect; infinitely where it made other values NaN."""
    return {i: distance(noisy[0][i][1], base[i][1]) if i < len(noisy[0]) else float("inf") for i in suspects}


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference; infinite for other shapes, or where NaN or Inf stand elsewhere."""
    if a.shape != b.shape:
        return float("inf")
    if not a.size:
        return 0.0
    with np.errstate(all="ignore"):
        largest = float(np.abs(np.subtract(a, b, dtype=np.float64)).max())
    if np.isfinite(largest):
        return largest
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    return float(np.abs(a[finite].astype(np.float64) - b[finite]).max(initial=0))


def _left_open(label: str, want: np.ndarray) -> bool:
    """Whether it is not said what stands here: gradients of weights where they are not finite (D40)."""
    return "diff of weight" in label and not np.isfinite(want).all()


def bound(want: np.ndarray, genuine: bool) -> float:
    """Return how far values may lie apart."""
    relative, floor = (RELATIVE_GENUINE, FLOOR_GENUINE) if genuine else (RELATIVE, FLOOR)
    return relative * float(np.abs(want[np.isfinite(want)]).max(initial=0)) + floor


def _described(label: str, a: np.ndarray, b: np.ndarray) -> Difference:
    if a.shape != b.shape:
        return Difference(label, f"shape {a.shape}", f"shape {b.shape}")
    with np.errstate(all="ignore"):
        apart = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64), out=np.empty(a.shape))
        apart[np.isnan(apart) & ~(np.isnan(a) & np.isnan(b))] = np.inf
        apart[np.isnan(apart)] = 0
        place = np.unravel_index(int(np.argmax(apart)), a.shape) if a.ndim else ()
        size = float(apart.max() / max(1e-30, np.abs(b[np.isfinite(b)]).max(initial=0)))
    at = f"at {[int(i) for i in place]} " if a.ndim else ""
    return Difference(label, f"{at}{a[place]:.8g}, all: {_values(a)}", f"{at}{b[place]:.8g}, all: {_values(b)}", size)


def _values(array: np.ndarray) -> str:
    flat = array.ravel()
    return " ".join(f"{value:.5g}" for value in flat[:8]) + (f" ... ({flat.size})" if flat.size > 8 else "")

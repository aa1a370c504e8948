"""Record what genuine Caffe makes of whole architectures: `python -m tests.reference.record_architectures`.

In:   genuine Caffe, where it is installed; nets, weights and inputs of tests/caffe/architectures.py, batch 1.
Out:  architectures.npz: "net/form" -> a row for each value and gradient: the mean of its sizes and, of values, the one
      in its middle.
Not here: the comparison with float64, which needs no record.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from bench.architectures import ARCHITECTURES
from tests.caffe.architectures import compare

RECORDED = Path(__file__).with_name("architectures.npz")
# of an array's mean size: weights come from a pass, which every machine rounds in its own way; where two values are as
# good as equal, each machine decides for itself, which gradients show
VALUES, GRADIENTS = 1e-3, 2e-2


def load() -> dict[str, np.ndarray]:
    """Read the recorded rows."""
    with np.load(RECORDED) as stored:
        return dict(stored)


def faults(where: str, found: np.ndarray, recorded: np.ndarray, values: int) -> list[str]:
    """Compare rows, of which so many are values and the others gradients; returns faults as lines."""
    if found.shape != recorded.shape:
        return [f"{where}: {len(found)} arrays, recorded are {len(recorded)}: record anew"]
    bound = np.where(np.arange(len(found)) < values, VALUES, GRADIENTS)[:, None] * recorded[:, :1]
    wrong = ~(np.abs(found - recorded) <= np.maximum(bound, 1e-30)).all(1)
    return [f"{where}, array {row}: {found[row]}, recorded {recorded[row]}" for row in np.flatnonzero(wrong)[:3]]


def main() -> None:
    """Write the rows, through a temporary name."""
    rows = {}
    for name in ARCHITECTURES:
        found = compare(name, 1, ("test", "train"), genuine=True)
        rows.update((f"{name}/{form}", genuine) for form, (_, genuine, _) in found.figures.items())
        print(name, flush=True)
    part = RECORDED.with_suffix(".part.npz")
    np.savez_compressed(part, **rows)
    os.replace(part, RECORDED)
    print(f"{RECORDED.name}: {len(rows)} passes, {RECORDED.stat().st_size} bytes")


if __name__ == "__main__":
    main()

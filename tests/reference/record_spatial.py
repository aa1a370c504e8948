"""Record genuine Caffe's answers in the cases with weights and windows: `python -m tests.reference.record_spatial`.

In:   tests/caffe/spatial_cases.py; genuine Caffe (.venv-bvlc).
Out:  tests/reference/spatial.npz, laid out as elementary.npz.
Not here: the script that genuine Caffe runs (record_elementary.py), the comparison.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc
from tests.caffe.elementary_cases import SEED, inputs
from tests.caffe.spatial_cases import CASES
from tests.reference.record_elementary import SCRIPT

RECORDED = Path(__file__).with_name("spatial.npz")


def ask_oracle() -> dict[str, np.ndarray]:
    """Run every case in genuine Caffe, in one process."""
    keys = ("name", "layer_text", "shapes", "tops", "in_place", "backward")
    cases = [{key: getattr(case, key) for key in keys} for case in CASES]
    arrays = {f"{c.name}/{key}": value for c in CASES for key, value in inputs(c).items()}
    return run_bvlc(SCRIPT, cases=np.array(json.dumps(cases)), seed=np.array(SEED), **arrays)


def load() -> dict[str, np.ndarray]:
    """Read the recorded answers."""
    with np.load(RECORDED) as stored:
        names, joined = stored["names"], stored["values"]
    answers, start = {}, 0
    for row in names:
        name, dims = str(row).split(" ")
        shape = tuple(int(d) for d in dims.split(",") if d)
        stop = start + int(np.prod(shape))
        answers[name] = joined[start:stop].reshape(shape)
        start = stop
    return answers


def main() -> None:
    """Write the answers, through a temporary name."""
    answers = ask_oracle()
    names = [f"{name} {','.join(map(str, value.shape))}" for name, value in answers.items()]
    joined = np.concatenate([value.ravel() for value in answers.values()]).astype(np.float32)
    part = RECORDED.with_suffix(".part.npz")
    np.savez_compressed(part, names=np.array(names), values=joined)
    os.replace(part, RECORDED)
    print(f"{RECORDED.name}: {len(names)} arrays of {len(CASES)} cases, {RECORDED.stat().st_size} bytes")


if __name__ == "__main__":
    main()

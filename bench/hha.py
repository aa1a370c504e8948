"""Time of HHA for one 425 x 560 frame: `python -m bench.hha [--runs 10]`.

In:   nothing; the frame is a synthetic room with noise and holes.
Out:  one JSON object on stdout: best and median seconds on this machine, one process.
Not here: reading and writing files. The aim is 1.5 s on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from data.nyud.camera import CROPPED, NYUD
from data.nyud.hha import hha


def frame() -> np.ndarray:
    """Return a floor and a far wall with noise and a hole, (425, 560) metres."""
    rng = np.random.RandomState(0)
    down = (np.arange(CROPPED[0])[:, np.newaxis] - NYUD.cy) / NYUD.fy
    depth = np.minimum(1.4 / np.maximum(down, 1e-3), 4.0) + np.zeros(CROPPED)
    depth += 1e-3 * depth**2 * rng.randn(*CROPPED)
    depth[100:180, 300:360] = 0
    return depth


def main(argv: list[str] | None = None) -> int:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args(argv)
    depth, times = frame(), []
    for _ in range(args.runs + 1):
        start = time.perf_counter()
        hha(depth)
        times.append(time.perf_counter() - start)
    print(json.dumps({"frame": list(CROPPED), "runs": args.runs, "best_s": round(min(times[1:]), 3),
                      "median_s": round(statistics.median(times[1:]), 3), "aim_s": 1.5}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

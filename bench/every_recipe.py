"""Two iterations of every recipe's net in full size on miniature data: `python -m bench.every_recipe [NAME ...]`.

In:   nothing but the toolkit; data are the tests' miniatures, weights random.
Out:  JSON on stdout, a line a net: losses, seconds of each iteration, peak memory in GiB, or why it was left out.
Not here: the slim nets (tests/test_recipes_run.py), speed (`python -m bench`).
Each net has a process of its own, which is not started where too little memory is free.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "layers")]
GIB_A_TRUNK = 4  # weights, gradients, history and blobs of VGG16, with some to spare


def free_gib() -> float:
    """Memory that is free on this machine, or that the group of processes may still take."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2 ** 20
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and limit.read_text().strip() != "max":
        free = min(free, (int(limit.read_text()) - int(used.read_text())) / 2 ** 30)
    return free


def run(name: str) -> dict:
    """Do two iterations in a temporary project."""
    import numpy as np
    from recipe_projects import make_nets, make_sets, solver_text
    from release_order import losses_of

    import caffe
    import surgery

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_sets(root, size=(40, 50))
        make_nets(root, name, tiny=False)
        (root / f"models/{name}/snapshot").mkdir()
        (root / f"models/{name}/solver.prototxt").write_text(solver_text(name))
        os.chdir(root)
        solver = caffe.SGDSolver(f"models/{name}/solver.prototxt")
        rng = np.random.default_rng(0)
        for layer, blobs in solver.net.params.items():
            if not layer.startswith(("score", "up", "scale")):
                weights = blobs[0].data
                weights[...] = rng.standard_normal(weights.shape, np.float32) * np.sqrt(2 / weights[0].size)
        surgery.interp(solver.net, [layer for layer in solver.net.params if "up" in layer])
        losses, seconds = [], []
        for _ in range(2):
            start = time.perf_counter()
            solver.step(1)
            seconds.append(round(time.perf_counter() - start, 2))
            losses.append([float(solver.net.blobs[blob].data) for blob in losses_of(solver.net)])
        os.chdir(ROOT)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** 20
    return dict(net=name, losses=losses, seconds=seconds, peak_gib=round(peak, 2))


def main(names: list[str]) -> None:
    """Run each net in a process; a line of JSON each."""
    from nets.zoo import ZOO
    from solvers.recipes import RECIPES

    for name in names or RECIPES:
        needs = GIB_A_TRUNK * (len(ZOO[name].inputs) if getattr(ZOO[name], "fusion", "") == "late" else 1)
        if free_gib() < needs:
            print(json.dumps(dict(net=name, left_out=f"{free_gib():.1f} GiB free, wants {needs}")), flush=True)
            continue
        done = subprocess.run([sys.executable, "-m", "bench.every_recipe", "--one", name], cwd=ROOT,
                              capture_output=True, text=True)
        found = done.stdout.strip().splitlines()
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        print(found[-1] if done.returncode == 0 else json.dumps(dict(net=name, failed=lines[-1])), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(run(sys.argv[2])))
    else:
        main(sys.argv[1:])

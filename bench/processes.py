"""What several processes cost: `python -m bench.processes [--processes 2] [--values 134500000]`, on the CPU by gloo.

In:   nothing but the engine; the net of bench.step, and gradients as many as FCN-32s has.
Out:  JSON: seconds to reduce the gradients of a net of that size; seconds of an iteration of the slim net alone and
      together, one thread a process.
Not here: GPUs; the model that takes these figures further (docs/scale.md).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from multiprocessing import Process
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")
os.environ["OMP_NUM_THREADS"] = "1"

import caffe
from bench.step import slim_fcn8s

SHARES = (0.764, 0.125, 0.111)  # of FCN-32s' parameters in fc6, in fc7, in the trunk
RUNS = 5


def large_net(values: int) -> str:
    """Return a net of that many parameters and next to no work."""
    n = caffe.NetSpec()
    n.data = caffe.layers.DummyData(shape={"dim": [1, 1]})
    for i, share in enumerate(SHARES):
        n[f"ip{i}"] = caffe.layers.InnerProduct(n.data, num_output=int(values * share), bias_term=False)
        n[f"loss{i}"] = caffe.layers.Reduction(n[f"ip{i}"], loss_weight=1)
    return str(n.to_proto())


def slim_net() -> str:
    """Return the slim FCN-8s with made-up images of 256 x 192 pixels."""
    text = slim_fcn8s(192, 256)
    for name, dims in (("data", (1, 3, 192, 256)), ("label", (1, 1, 192, 256))):
        shape = " ".join(f"dim: {dim}" for dim in dims)
        begin = text.index(f'name: "{name}"')
        end = text.index("layer {", begin)
        text = (f'{text[:begin]}name: "{name}" type: "DummyData" top: "{name}" dummy_data_param {{ shape {{ {shape} }} '
                f'}} }}\n{text[end:]}')
    return text


def measure(uid: bytes, rank: int, count: int, nets: dict[str, str], out: Path) -> None:
    """Measure in one of the processes; the first writes what it found."""
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    found = {}
    for name, text in nets.items():
        Path(f"{name}-{rank}.prototxt").write_text(text)
        Path(f"{name}-{rank}.solver").write_text(f'net: "{name}-{rank}.prototxt" base_lr: 1e-9 lr_policy: "fixed" '
                                                 "snapshot_after_train: false")
        solver = caffe.SGDSolver(f"{name}-{rank}.solver")
        nccl = caffe.NCCL(solver, uid)
        nccl.bcast()
        solver.add_callback(nccl)
        solver.net.after_backward(nccl)
        once = nccl.on_gradients_ready if name == "reduce" else lambda solver=solver: solver.step(1)
        once()
        found[name] = sorted(_seconds(once) for _ in range(RUNS))
    if rank == 0:
        out.write_text(json.dumps(found))


def _seconds(once) -> float:
    begin = time.perf_counter()
    once()
    return time.perf_counter() - begin


def together(count: int, nets: dict[str, str]) -> dict[str, list[float]]:
    """Measure in that many processes."""
    uid, out = caffe.NCCL.new_uid(), Path(f"{count}.json")
    processes = [Process(target=measure, args=(uid, rank, count, nets, out)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a process ended with {process.exitcode}")
    return json.loads(out.read_text())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.processes", description="Measure several processes.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--values", type=int, default=134_500_000, help="parameters (default: as FCN-32s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        alone = together(1, {"step": slim_net()})
        several = together(args.processes, {"reduce": large_net(args.values), "step": slim_net()})
    seconds = statistics.median(several["reduce"])
    print(json.dumps({
        "processes": args.processes, "gradient_bytes": 4 * args.values, "reduce_seconds": several["reduce"],
        "gradient_bytes_a_second": round(4 * args.values / seconds), "step_seconds_alone": alone["step"],
        "step_seconds_together": several["step"],
        "efficiency": round(statistics.median(alone["step"]) / statistics.median(several["step"]), 3)}))


if __name__ == "__main__":
    main()

"""How fast each architecture is beside genuine Caffe: `python -m bench.architectures [--only NAME ...] [--rounds N]`.

In:   nothing but the generators. Sides: ours, ours layer by layer (caffe.set_plans(False)), genuine Caffe.
Out:  a table on stdout, or JSON: milliseconds of a TEST pass, of a TRAIN pass and its backward alone, of building the
      net with its fillers; ratios ours / genuine by round. Nothing is written.
Not here: whether the numbers agree (tests/caffe/test_architectures.py).

In TRAIN, BatchNorm uses stored statistics on both sides, for genuine's build computes no others; what ours takes with
learned ones is a column of its own. The clock is the wall's; `--clock cpu` counts the process's time on all cores,
which neighbours on the machine disturb less: use it with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np

import caffe
from bench.architectures import ARCHITECTURES, draft, weights
from bench.architectures.report import summary, table
from bench.machine import stamp
from bench.measure import counted
from bench.peers import PEERS, BenchError, Worker

SIDES = {"ours": ("ours", {}), "layers": ("ours", {"plans": False}), "genuine": ("genuine", {})}
# what is measured of a net, and who takes part
USES = {"forward": ("ours", "layers", "genuine"), "train": ("ours", "genuine"), "learned": ("ours",),
        "build": ("ours", "genuine")}
QUICK = ("lenet", "resnet_20", "mtcnn_p")


def prepare(name: str, batch: int, folder: Path) -> dict[str, dict]:
    """Write a net's files; returns for each use what a worker must know."""
    uses = {}
    for use in USES:
        train, build = use != "forward", use == "build"
        net = draft(name, batch=batch, train=train, global_stats=use == "train", fillers=build)
        if use == "learned" and "BatchNorm" not in net.text():
            continue
        path = folder / f"{use}.prototxt"
        path.write_text(net.text())
        uses[use] = {"prototxt": str(path), "phase": caffe.TRAIN if train else caffe.TEST}
        if not build:
            np.savez(folder / f"{use}.npz", **net.arrays())
            uses[use].update(caffemodel=str(folder / "weights.caffemodel"), inputs=str(folder / f"{use}.npz"))
    weights.write(name, batch, folder / "weights.caffemodel")
    return uses


def start(job: dict, threads: int) -> tuple[dict[str, Worker], dict[str, str]]:
    """Start all sides at once; returns workers, and why a side is left out."""
    def worker(side: str) -> Worker | str:
        peer, options = SIDES[side]
        try:
            return PEERS[peer].missing("architecture") or Worker(PEERS[peer], {**job, **options}, threads)
        except BenchError as error:
            return str(error)

    with ThreadPoolExecutor(len(SIDES)) as pool:
        found = dict(zip(SIDES, pool.map(worker, SIDES)))
    return ({side: got for side, got in found.items() if isinstance(got, Worker)},
            {side: got for side, got in found.items() if isinstance(got, str)})


def rounds_of(workers: dict[str, Worker], use: str, rounds: int, turn: float) -> dict[str, list[list[float]]]:
    """Let the sides of a use take turns; returns for each side the seconds of each part in each round."""
    names = [side for side in USES[use] if side in workers]
    for side in names:
        workers[side].ask({"do": "use", "what": use})
    found: dict[str, list[list[float]]] = {side: [] for side in names}
    for number in range(rounds + 1):
        first = number % max(1, len(names))
        for side in names[first:] + names[:first]:
            if number == 0 and use == "build":
                continue  # nothing of a build gets warm
            seconds = workers[side].ask({"do": "passes", "seconds": turn if number else 0})["seconds"]
            if number:
                found[side].append(seconds)
            time.sleep(0.02)  # threads of the last side stop spinning
    return found


def measure(name: str, args: argparse.Namespace, threads: int) -> dict:
    """Measure one net: milliseconds by use and side."""
    with tempfile.TemporaryDirectory() as folder:
        uses = prepare(name, args.batch, Path(folder))
        workers, out = start({"kind": "architecture", "uses": uses, "clock": args.clock}, threads)
        found: dict = {"net": name, "batch": args.batch, "threads": threads, "clock": args.clock, "left_out": out}
        try:
            for use in (use for use in uses if use in args.what):
                for side, runs in rounds_of(workers, use, args.rounds, args.turn).items():
                    whole = [1e3 * sum(parts) for parts in runs]
                    found.setdefault(use, {})[side] = counted(whole)
                    if use in ("train", "learned"):
                        kind = "backward" if use == "train" else "learned_backward"
                        found.setdefault(kind, {})[side] = counted([1e3 * parts[1] for parts in runs])
        finally:
            for worker in workers.values():
                worker.close()
    return found


def options(argv: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.architectures", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ARCHITECTURES, help="nets (default: all)")
    parser.add_argument("--what", nargs="+", choices=USES, default=list(USES), help="what is measured (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each side has (5)")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="threads a side may use (1 2)")
    parser.add_argument("--batch", type=int, default=1, help="images (1)")
    parser.add_argument("--turn", type=float, default=0.3, help="seconds that a turn lasts at least (0.3)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--quick", action="store_true", help="small nets, one short round: to see that it works")
    parser.add_argument("--json", action="store_true", help="print all runs as JSON")
    args = parser.parse_args(argv)
    if args.rounds < 1 or args.batch < 1 or min(args.threads) < 1:
        parser.error("want --rounds, --batch and --threads of 1 or more")
    if args.quick:
        args.only, args.rounds, args.turn = args.only or list(QUICK), 1, 0
    return args


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    args = options(argv)
    found = []
    for threads in args.threads:
        for name in args.only or ARCHITECTURES:
            found.append(measure(name, args, threads))
            if not args.json:
                last = [row for row in found if row["threads"] == threads]
                print(table(last[-1:], header=len(last) == 1), flush=True)
        if not args.json:
            print(summary([row for row in found if row["threads"] == threads]), flush=True)
    if args.json:
        print(json.dumps({**stamp(), "nets": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Run random nets and hold what a script sees equal: `python -m tests.fuzz_nets [--count 20000] [--seed 1]`.

In:   how many seeds, and the first. A seed's net and scenario are always the same.
Out:  the shrunk nets that differ, grouped by the types of their layers; exit code 1 if there are any.
      Each TEST net runs by plan and layer by layer; where genuine Caffe is found, also layer by layer and in it, and
      so do TRAIN nets.
Not here: a seed (campaign), running and comparing (judge).
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from .campaign import COMPARISONS, Finding, report, run_seed
from .genuine import Genuine
from .remote import RemoteJudge


def fuzz(seeds: list[int], args: argparse.Namespace) -> list[Finding]:
    """Run seeds in processes side by side; return what differs."""
    findings: list[Finding] = []
    queue, lock = iter(seeds), threading.Lock()
    with tqdm(total=len(seeds), desc="fuzz nets", unit="") as bar:
        def serve() -> None:
            with RemoteJudge() as judge:
                for seed in _shared(queue, lock):
                    found = run_seed(seed, judge, tuple(args.only), not args.no_shrink)
                    with lock:
                        findings.extend(found)
                        for finding in found:
                            bar.write(f"seed {seed}, {finding.key}: {finding.difference.label}", sys.stderr)
                        bar.set_postfix(wrong=len(findings), refresh=False)
                        bar.update()

        with ThreadPoolExecutor(args.jobs) as pool:
            for served in [pool.submit(serve) for _ in range(args.jobs)]:
                served.result()
    return findings


def _shared(queue: Iterator[int], lock: threading.Lock) -> Iterator[int]:
    while True:
        with lock:
            seed = next(queue, None)
        if seed is None:
            return
        yield seed


def main(argv: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="run this many seeds")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=COMPARISONS, nargs="+", default=list(COMPARISONS), help="these comparisons")
    parser.add_argument("--no-shrink", action="store_true", help="show nets as they were drawn")
    args = parser.parse_args(argv)
    if not Genuine.found:
        print("genuine Caffe is not installed (make setup): by plan against layer by layer alone", file=sys.stderr)
        args.only = [name for name in args.only if name == "plan"]
    findings = fuzz(list(range(args.seed, args.seed + args.count)), args)
    print("\n".join(report(findings)) or f"{args.count} seeds: no difference")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Run random nets and hold what a script sees equal: `python -m tests.fuzz_nets [--count 20000] [--seed 1]`.

In:   how many; the first seed. A seed's net and scenario are always the same.
Out:  the shrunk nets that differ, grouped by the types of their layers; exit code 1 if there are any.
      Each TEST net by plan and layer by layer; where genuine Caffe is found, also layer by layer and in it, and TRAIN
      nets, too.
Not here: running and comparing (run), shrinking (shrink).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter

os.environ.setdefault("GLOG_minloglevel", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tqdm import tqdm  # noqa: E402 - quiet and with one thread from the first import on

from . import run  # noqa: E402
from .campaign import Campaign, Finding  # noqa: E402
from .genuine import Genuine  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="run this many seeds")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--only", choices=["plan", "genuine", "train"], nargs="+", help="run these comparisons alone")
    parser.add_argument("--no-shrink", action="store_true", help="show nets as they were drawn")
    parser.add_argument("--allow-refusals", action="store_true", help="take D38's error for an answer")
    args = parser.parse_args(argv)
    run.ALLOW_REFUSALS = args.allow_refusals
    with Genuine() as genuine, tqdm(total=args.count, desc="fuzz nets", unit="") as bar:
        if not genuine.found:
            bar.write("genuine Caffe is not installed (make setup); by plan against layer by layer alone", sys.stderr)
        campaign = Campaign(genuine if genuine.found else None, args.only, not args.no_shrink)
        for seed in range(args.seed, args.seed + args.count):
            for finding in campaign.run(seed):
                bar.write(_first_line(finding), sys.stderr)
            bar.set_postfix(wrong=len(campaign.findings), refresh=False)
            bar.update()
    for text in report(campaign.findings):
        print(text)
    return 1 if campaign.findings else 0


def _first_line(finding: Finding) -> str:
    return f"seed {finding.seed}, {finding.comparison}: {' '.join(finding.key)}: {finding.difference.label}"


def report(findings: list[Finding]) -> list[str]:
    """Return a text for each group of findings, the most frequent last, with its smallest net."""
    counts = Counter((found.comparison, found.key) for found in findings)
    texts = []
    for (comparison, key), count in sorted(counts.items(), key=lambda item: item[1]):
        group = [found for found in findings if (found.comparison, found.key) == (comparison, key)]
        smallest = min(group, key=lambda found: len(found.case.layers) + len(found.case.steps))
        seeds = " ".join(str(found.seed) for found in group[:10])
        texts.append(f"\n== {count} x {comparison}: {' '.join(key)} (seeds {seeds})\n{smallest}")
    return texts


if __name__ == "__main__":
    raise SystemExit(main())

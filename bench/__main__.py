"""`make bench`: how fast the engine is beside genuine Caffe, OpenCV and eager PyTorch, as one table.

In:   names of measures (default: all); how many rounds; --quick for small nets.
Out:  the table; bench/results/NAME.json and .png; a line in bench/history.jsonl; the table of docs/bench.md.
Not here: the measures (measures), measuring (measure), profile, growth.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import startup

if __name__ == "__main__":
    startup.ensure_environment()

from bench import report
from bench.machine import stamp
from bench.measure import WARM, run
from bench.measures import MEASURES, Measure, quick
from bench.peers import PEERS, BenchError, say_threads


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"of {', '.join(measure.name for measure in MEASURES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="in each, every peer has one turn (default 5)")
    parser.add_argument("--quick", action="store_true", help="small nets, two rounds; to see that it runs")
    parser.add_argument("--peers", nargs="+", choices=PEERS, help="only these take part")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT") or None,
                        help="folder for results and record (default: $OUT, else bench/results; --quick or --peers: "
                             "output/bench)")
    parser.add_argument("--table", action="store_true", help="measure nothing; the table of what lies in the folder")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.names) - {measure.name for measure in MEASURES})
    if unknown:
        parser.error(f"got {', '.join(unknown)}, want of {', '.join(measure.name for measure in MEASURES)}")
    if args.rounds < 1:
        parser.error(f"--rounds {args.rounds}: want 1 or more")
    return args


def only(measure: Measure, peers: Sequence[str]) -> Measure:
    """Return the measure without the workers of other peers."""
    from dataclasses import replace

    return replace(measure, workers={name: of for name, of in measure.workers.items() if of[0] in peers})


def measured(measure: Measure, args: argparse.Namespace, where: dict) -> dict:
    """Run one measure, with a bar on stderr; a failure is a result, too."""
    from tqdm import tqdm

    rounds = 2 if args.quick else args.rounds
    with tempfile.TemporaryDirectory() as folder, tqdm(
            total=WARM + rounds, desc=measure.name, unit="round", file=sys.stderr, dynamic_ncols=True) as bar:
        try:
            rows = run(only(quick(measure) if args.quick else measure, args.peers or list(PEERS)), rounds,
                       Path(folder), args.quick, bar.update)
        except BenchError as error:
            rows = [{"name": measure.name, "what": measure.title, "left_out": f"failed: {error}"}]
    return {"name": measure.name, "title": measure.title, **where, "rounds": rounds, "quick": args.quick, "rows": rows}


def failed(results: Sequence[dict]) -> list[str]:
    """Return the rows in which our own side stopped."""
    return [row["name"] for result in results for row in result["rows"]
            if "stopped" in row.get("left_out", row.get("sides", {}).get("ours", {}).get("left_out", ""))]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, print; exit code 1 where our own side stopped."""
    args = arguments(argv)
    folder = report.folder_for(args.out, args.quick or args.peers is not None)
    results = []
    where = stamp()
    if not args.table:
        say_threads()
    for measure in [] if args.table else MEASURES:
        if args.names and measure.name not in args.names:
            continue
        result = measured(measure, args, where)
        # what was measured on another machine's GPU stays
        if any("sides" in row for row in result["rows"]) or not (folder / f"{measure.name}.json").exists():
            report.write_result(result, folder)
        results.append(result)
    own = folder == report.RESULTS
    if results:
        report.add_history(results, report.HISTORY if own else folder / "history.jsonl")
    shown = report.read_results(folder) if args.table else results
    if not shown:
        raise BenchError(f"no results in {folder}; leave out --table to measure")
    print(report.table(shown))
    if own:
        report.write_docs(report.read_results(folder))
    stopped = failed(results)
    if stopped:
        raise BenchError(f"our own side stopped in {', '.join(stopped)}; the lines above say why")
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

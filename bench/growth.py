"""How time and memory grow with the image and with the batch: `python -m bench.growth [--net voc-fcn8s] [--quick]`.

In:   a net's deploy prototxt; sides of square images, sizes of batches.
Out:  a table, growth.json and growth.png: seconds of a forward pass, peak GiB, and the exponent of both.
Not here: other peers, training. Each point has a process of its own, so that its peak is its own; a point that
      does not fit into memory is left out with the reason.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import numpy as np

from bench import report
from bench.machine import stamp
from bench.measure import of_ours
from bench.peers import PEERS, ROOT, BenchError, Worker, say_threads, threads

SIDES, BATCHES, BATCH_SIDE = (128, 192, 256, 384, 500, 750, 1000, 1414, 2000), (1, 2, 4, 8), 500


def point(net: str, folder: Path, side: int, batch: int, runs: int) -> dict:
    """Return the middle seconds and the peak of one size; the first pass does not count."""
    image = folder / "image.npy"
    np.save(image, np.random.default_rng(0).normal(0, 60, (batch, 3, side, side)).astype(np.float32))
    job = {"kind": "forward", "prototxt": str(ROOT / "models" / net / "deploy.prototxt"), "images": [str(image)],
           "caffemodel": str(folder / f"{net}.caffemodel")}
    found = {"side": side, "batch": batch}
    try:
        worker = Worker(PEERS["ours"], job, threads())
    except BenchError as error:
        return {**found, "left_out": str(error)}
    try:
        replies = [worker.run() for _ in range(1 + runs)]
    except BenchError as error:
        return {**found, "left_out": str(error)}
    finally:
        worker.close()
    return {**found, "seconds": statistics.median(reply["seconds"][0] for reply in replies[1:]),
            "peak_gib": replies[-1]["peak_gib"], "loaded_gib": worker.loaded_gib}


def exponent(points: list[dict], along: str, what: str) -> float | None:
    """Return the slope of `what` against `along` in logarithms, over the upper half of the points."""
    used = [(p[along], p[what] - (p["loaded_gib"] if what == "peak_gib" else 0)) for p in points if what in p]
    used = [(x, y) for x, y in used[len(used) // 2 - 1 if len(used) < 6 else len(used) // 2:] if y > 0]
    if len(used) < 2:
        return None
    return float(np.polyfit([math.log(x) for x, _ in used], [math.log(y) for _, y in used], 1)[0])


def series(points: list[dict], along: str) -> dict:
    """Return the points with the exponents of time and of the memory above that of the loaded net."""
    return {"along": along, "points": points, "exponent_seconds": exponent(points, along, "seconds"),
            "exponent_memory": exponent(points, along, "peak_gib")}


def text(result: dict) -> str:
    """Return the table."""
    lines = []
    for of in result["series"]:
        lines.append(f"{of['along']:>6}  {'seconds':>9}  {'peak GiB':>9}")
        lines += [f"{p[of['along']]:6d}  {p['seconds']:9.3f}  {p['peak_gib']:9.2f}" if "seconds" in p else
                  f"{p[of['along']]:6d}  left out: {p['left_out']}" for p in of["points"]]
        time, memory = (f"{e:.2f}" if e is not None else "not measured"
                        for e in (of["exponent_seconds"], of["exponent_memory"]))
        lines.append(f"time grows with {of['along']} to the power {time}, memory above the loaded net's to {memory} "
                     "(upper half of the points)")
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    """Draw time and memory against side and batch, both axes in logarithms."""
    from matplotlib.ticker import NullLocator

    drawn, axes = report.figure(10, 7, 2, 2)
    for row, of in zip(axes, result["series"]):
        points = [p for p in of["points"] if "seconds" in p]
        for ax, what, label in zip(row, ("seconds", "peak_gib"), ("seconds", "peak GiB")):
            ax.loglog([p[of["along"]] for p in points], [p[what] for p in points], "o-")
            slope = of["exponent_seconds" if what == "seconds" else "exponent_memory"]
            ax.set_title(f"{label}; exponent {slope:.2f}" if slope is not None else label, fontsize=9)
            ax.set_xlabel(of["along"])
            ax.set_xticks([p[of["along"]] for p in points])
            for axis, shown in ((ax.xaxis, "{x:g}"), (ax.yaxis, "{x:.2g}")):
                axis.set_major_formatter(shown)
            ax.xaxis.set_minor_locator(NullLocator())
            ax.yaxis.set_minor_formatter("{x:.2g}")
            ax.tick_params(which="both", labelsize=7)
            ax.grid(True, which="both", alpha=0.3)
    drawn.suptitle(f"{result['net']} forward, {result['date']}, {result['machine']}", fontsize=9)
    report.save(drawn, path)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--net", help="folder in models/ (default: voc-fcn8s; --quick: shapes-fcn8s)")
    parser.add_argument("--sides", type=report.runs, nargs="+", metavar="PIXELS")
    parser.add_argument("--batches", type=report.runs, nargs="+", metavar="N")
    parser.add_argument("--runs", type=report.runs, default=3, help="passes of each size that count")
    parser.add_argument("--quick", action="store_true", help="a small net, two sides, two batches, one run")
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT") or None)
    args = parser.parse_args(argv)
    net = args.net or ("shapes-fcn8s" if args.quick else "voc-fcn8s")
    if not (ROOT / "models" / net / "deploy.prototxt").exists():
        raise BenchError(f"net '{net}': no deploy.prototxt in models/{net}")
    say_threads()
    sides = args.sides or ((32, 64) if args.quick else SIDES)
    batches, batch_side = args.batches or ((1, 2) if args.quick else BATCHES), 32 if args.quick else BATCH_SIDE
    folder = report.folder_for(args.out, args.quick)
    runs = 1 if args.quick else args.runs
    with tempfile.TemporaryDirectory() as temporary:
        of_ours("bench.inputs", temporary, net)
        by_side = [point(net, Path(temporary), side, 1, runs) for side in sorted(sides)]
        by_batch = [point(net, Path(temporary), batch_side, batch, runs) for batch in sorted(batches)]
    result = {"name": "growth", "net": net, **stamp(), "series": [series(by_side, "side"), series(by_batch, "batch")]}
    report.write_json(result, folder)
    plot(result, folder / "growth.png")
    print(text(result))
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

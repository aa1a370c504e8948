"""plot_training_log.py: one of eight charts of training logs.

In:   plot_training_log.py CHART_TYPE OUT.png LOG [LOG ...].
Out:  a picture, one line per log.
Not here: reading logs (parse_log).
Source: BVLC tools/extra/plot_training_log.py.example, for behaviour.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from .._caffe.files.caffemodel_writer import atomic_write
from .entry import tool
from .parse_log import Row, parse_log

# what lies on the two axes, and which table it is from
_VALUES = (("Test accuracy", 1), ("Test loss", 1), ("Train learning rate", 0), ("Train loss", 0))
CHARTS = [(f"{what} vs. {axis}", table, what, axis) for what, table in _VALUES for axis in ("Iters", "Seconds")]
_AXES = {"Iters": "NumIters", "Seconds": "Seconds"}


def series(rows: Sequence[Row], what: str, axis: str) -> tuple[list[float], list[float]]:
    """Return x and y of a line.

    Raises:
        ValueError: no output of that kind is in the log; names those that are.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    word = what.split(" ", 1)[1].replace("learning rate", "LearningRate")
    found = [name for name in names if word == name] or [name for name in names if word in name.lower()]
    if not found:
        raise ValueError(f"no '{what}' in the log; its outputs are {', '.join(names[3:]) or 'none'}")
    points = [(row[_AXES[axis]], row[found[0]]) for row in rows if found[0] in row]
    return [x for x, _ in points], [y for _, y in points]


def plot_chart(chart_type: int, path_to_png: str, path_to_logs: Sequence[str]) -> None:
    """Draw logs into a picture; the file name determines the format.

    Raises:
        ValueError: an unknown chart type, a log without these values. ImportError: matplotlib is missing.
    """
    if not 0 <= chart_type < len(CHARTS):
        raise ValueError(f"chart type {chart_type}: want 0 to {len(CHARTS) - 1} (-h lists them)")
    try:
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise ImportError("plot_training_log.py draws with matplotlib; pip install matplotlib") from problem
    title, table, what, axis = CHARTS[chart_type]
    figure = Figure()
    axes = figure.add_subplot()
    for path in path_to_logs:
        try:
            axes.plot(*series(parse_log(path)[table], what, axis), label=os.path.basename(path), linewidth=0.75)
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}" if path not in str(problem) else str(problem)) from problem
    axes.set(title=title, xlabel=axis, ylabel=what)
    axes.legend()
    extension = os.path.splitext(path_to_png)[1][1:] or "png"
    if extension not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"{path_to_png}: no picture of that type; end it in .png")
    with atomic_write(path_to_png) as file:
        figure.savefig(file, format=extension)


@tool
def main(argv: list[str]) -> int:
    """Run plot_training_log.py; return the exit code."""
    charts = "\n".join(f"    {i}: {chart[0]}" for i, chart in enumerate(CHARTS))
    parser = argparse.ArgumentParser(prog="plot_training_log.py", description="Draw training logs.",
                                     epilog=f"Supported chart types:\n{charts}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chart_type", type=int, help="0 to 7, see below")
    parser.add_argument("path_to_png", help="picture to write")
    parser.add_argument("path_to_log", nargs="+", help="training logs")
    options = parser.parse_args(argv)
    plot_chart(options.chart_type, options.path_to_png, options.path_to_log)
    return 0

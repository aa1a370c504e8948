"""The confusion matrix as a picture.

In:   a histogram, the names of its classes, where to draw.
Out:  a PNG, whole or not at all.
Not here: counting, tables (report.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.whole import write_whole


def draw_confusion(hist: np.ndarray, classes: Sequence[str], path: Path, title: str = "") -> None:
    """Draw shares of each class's pixels by prediction: a row adds up to 100 %.

    Args:
        hist: (K, K) counts; row = truth, column = prediction. Classes that occur in neither are left out; the
            row of one that is only predicted is grey.
        classes: K names.
        path: PNG to write; K = 60 gives about 1800 x 1800 pixels.
        title: line above.

    Raises:
        ValueError: nothing was counted.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    hist = np.asarray(hist)
    shown = np.flatnonzero(hist.sum(0) + hist.sum(1))
    if not len(shown):
        raise ValueError("confusion matrix: no pixel counts, so that there is nothing to draw")
    counts = hist[np.ix_(shown, shown)].astype(np.float64)
    names, total = [classes[k] for k in shown], counts.sum(1, keepdims=True)
    share = np.divide(100 * counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    side = 2.6 + max(0.27 * len(shown), 2.2)  # inches
    figure = Figure(figsize=(side + 0.8, side), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    axes.set_facecolor("0.85")
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, len(names)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
    axes.grid(which="minor", color="0.92", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth")
    grey = "; grey: not in the truth" if (total == 0).any() else ""
    axes.set_title(f"{title}\n% of each class's pixels{grey}".strip(), fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.6, label="% of the row")
    _write_numbers(axes, share)
    write_whole(Path(path), canvas.print_png)


def _write_numbers(axes, share: np.ndarray) -> None:  # noqa: ANN001
    """Write each share of half a percent or more into its cell, as a whole number."""
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.5:
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                      color="white" if value > 55 else "black")

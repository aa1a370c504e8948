"""What a training shows: its curve of loss and score, and a grid of validation images.

In:   rows of the journal; (image, truth, prediction) of some validation images.
Out:  PNG files, whole or not at all.
Not here: colours (vis.py), scores (score.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np

import vis


def draw_curve(rows: List[Dict[str, Any]], key: str, title: str, path: Path) -> None:
    """Draw the loss of every display, its running mean, and the validation score over the iterations."""
    from matplotlib.figure import Figure  # late: its import takes longer than most commands

    losses = np.array([(row["iteration"], row["loss"]) for row in rows if "loss" in row])
    scored = np.array([(row["iteration"], row[key]) for row in rows if key in row])
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    left = figure.add_subplot()
    left.set(xlabel="iteration", ylabel="training loss", title=title)
    if len(losses):
        left.plot(*losses.T, color="0.8", linewidth=1)
        window = max(1, len(losses) // 20)
        means = np.convolve(losses[:, 1], np.ones(window) / window, mode="valid")
        left.plot(losses[window - 1:, 0], means, color="tab:blue", label="loss (running mean)")
        left.set_ylim(bottom=0)
    if len(scored):
        right = left.twinx()
        right.plot(*scored.T, "o-", color="tab:orange", label=key)
        right.set(ylim=(0, 1), ylabel=f"validation {key}")
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.9), ncols=2, frameon=False)
    temporary = path.with_suffix(".part")
    figure.savefig(temporary, format="png", dpi=100)
    os.replace(temporary, path)


def draw_grid(rows: Sequence[Any], classes: Sequence[str], path: Path) -> None:
    """Draw image, truth and prediction of a few validation images, with a legend."""
    vis.save_rgb(path, vis.grid(rows, classes))

"""Draw a net over its image: which pixels each layer's map lies over, and what is cropped away.

In:   an explained net.
Out:  an .svg or .png file: a row for each layer, a bar from the first pixel its map lies over to the last.
Not here: the figures and the words (explain, reasons).
Source: ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.whole import write_whole
from nets.analysis import Layer
from nets.reasons import Explained, makers, sides

ROW = 0.235  # inches
COARSE = 8  # strides from which on the places are drawn one by one
QUIET = ("ReLU", "Dropout", "LRN", "Scale", "BatchNorm", "PReLU", "ELU", "Split", "Softmax", "SoftmaxWithLoss",
         "InfogainLoss", "SigmoidCrossEntropyLoss", "Accuracy", "Silence")  # they move nothing
COLOURS = {1: "#4c78a8", 2: "#72b7b2", 4: "#54a24b", 8: "#eeca3b", 16: "#f58518", 32: "#e45756"}
OTHER, CUT = "#9d755d", "#d62728"


def draw(found: Explained, path: str | Path) -> None:
    """Draw the net and write the file, whole or not at all.

    Args:
        found: from explain.explain.
        path: ends in .svg or .png.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [layer for layer in found.layers if layer.type not in QUIET and layer.stride is not None
            and layer.shape is not None and len(layer.shape) == 4 and not _is_label(layer, found)]
    form = Path(path).suffix[1:]
    with rc_context({"svg.hashsalt": "nets", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(11, 1.5 + ROW * len(rows)))
        FigureCanvasAgg(figure)
        _draw_rows(figure, found, rows)
        metadata = {"Date": None} if form == "svg" else {}
        write_whole(Path(path), lambda file: figure.savefig(file, format=form, dpi=110, metadata=metadata))


def _is_label(layer: Layer, found: Explained) -> bool:
    """Tell a label's own input, which no layer of the map reads."""
    return not layer.bottoms and not any(set(layer.tops) & set(other.bottoms) for other in found.layers
                                         if other.type not in QUIET)


def _draw_rows(figure: Any, found: Explained, rows: list[Layer]) -> None:
    height = figure.get_figheight()
    axes = figure.add_axes((0.235, 0.55 / height, 0.44, 1 - 1.4 / height))
    width = found.size[1]
    axes.axvspan(-0.5, width - 0.5, color="#000000", alpha=0.07, lw=0)
    by_blob, bars = makers(found.layers), [_extent(layer) for layer in rows]
    for y, (layer, (left, right)) in enumerate(zip(rows, bars)):
        _bar(axes, y, layer, left, right)
        if found.pad is not None and layer.name in found.pad.names:
            axes.text(left / 2, y, f"pad {found.pad.pad}", ha="center", va="center", color="white", weight="bold")
        if layer.type == "Crop":
            _cut(axes, y, layer, _extent(by_blob[layer.bottoms[0]]), (left, right))
        _words(axes, y, layer)
    low, high = min(bar[0] for bar in bars), max(bar[1] for bar in bars)
    margin = 0.03 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xticks(sorted({round(low), 0, width, round(high)}))
    axes.set_xlabel("column of the image that a map lies over (grey: the image; outside it: padding)")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    _titles(figure, axes, found, rows)


def _extent(layer: Layer) -> tuple[float, float]:
    """Give the left and right edge of a map over the image, in pixels."""
    assert layer.start is not None and layer.stride is not None
    left = float(layer.start - layer.stride / 2)
    return left, left + float(layer.stride) * sides(layer)[1]


def _bar(axes: Any, y: int, layer: Layer, left: float, right: float) -> None:
    colour = COLOURS.get(layer.stride, OTHER)  # type: ignore[call-overload]
    axes.barh(y, right - left, left=left, height=0.62, color=colour, lw=0)
    if layer.stride is not None and layer.stride >= COARSE:
        edges = [left + float(layer.stride) * k for k in range(1, sides(layer)[1])]
        axes.vlines(edges, y - 0.31, y + 0.31, color="white", lw=0.6)


def _cut(axes: Any, y: int, layer: Layer, whole: tuple[float, float], kept: tuple[float, float]) -> None:
    """Hatch what a Crop takes away, with the offset in red."""
    for left, right in ((whole[0], kept[0]), (kept[1], whole[1])):
        if right > left:
            axes.barh(y, right - left, left=left, height=0.62, fill=False, hatch="/////", edgecolor=CUT, lw=0.6)
    axes.annotate(f"crop {layer.crop}", (kept[0], y), (3, 0), textcoords="offset points", color=CUT, va="center",
                  weight="bold", fontsize=8, bbox=dict(boxstyle="round,pad=0.15", fc="white", ec="none"))


def _words(axes: Any, y: int, layer: Layer) -> None:
    """Write the name and its bottoms to the left, the figures to the right."""
    rows, cols = sides(layer)
    channels = (layer.shape or (0, 0))[1]
    left, right = dict(transform=axes.get_yaxis_transform(), va="center"), "right"
    axes.text(-0.02, y, layer.name, ha=right, **left)
    axes.text(-0.52, y, layer.type, ha="left", color="#555555", fontsize=7, **left)
    places = (f"{rows} x {cols} x {channels}", str(layer.stride), "" if layer.field is None else str(layer.field),
              f"{layer.parameters:,}" if layer.parameters else "")
    for x, word in zip((1.26, 1.37, 1.49, 1.7), places):
        axes.text(x, y, word, ha=right, **left)


def _titles(figure: Any, axes: Any, found: Explained, rows: list[Layer]) -> None:
    place = dict(transform=axes.get_yaxis_transform(), va="center", weight="bold")
    for x, word in zip((-0.02, 1.26, 1.37, 1.49, 1.7), ("layer", "output", "stride", "field", "parameters")):
        axes.text(x, -1.1, word, ha="right", **place)
    height = figure.get_figheight()
    pad = f"; pad {found.pad.pad} at {' and '.join(found.pad.names)}" if found.pad is not None else ""
    figure.text(0.015, 1 - 0.22 / height, f"{found.title}: image {found.size[0]} x {found.size[1]}{pad}", va="center",
                fontsize=11, weight="bold")
    strides = sorted({layer.stride for layer in rows if layer.stride is not None})
    for k, stride in enumerate(strides):
        figure.text(0.015 + 0.055 * k, 1 - 0.5 / height, f"stride {stride}", color="white", va="center", fontsize=7,
                    bbox=dict(boxstyle="round,pad=0.3", fc=COLOURS.get(stride, OTHER), ec="none"))  # type: ignore
    figure.text(0.015 + 0.055 * len(strides), 1 - 0.5 / height,
                "a bar is a map; from stride 8 on its places are drawn; hatched red: cropped away", va="center",
                fontsize=7.5, color="#333333")

"""The files that infer.py writes of one image.

In:   the picture, a label map a head, the classes.
Out:  NAME_label.png, NAME_overlay.png, NAME_panel.png; of further heads NAME_HEAD_label.png; NAME_scores.npz.
Not here: running nets (infer.py), colours (vis.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.whole import write_whole
from nets.record import Head
from vis import class_palette, color_seg, has_background, legend, panel, save_label, save_rgb, vis_seg

SHARE_IN_LEGEND = 0.0005  # classes of fewer pixels would crowd it; the printed list has them all


def shares(label: np.ndarray, head: Head) -> list[tuple[int, float]]:
    """Give class numbers and their shares of (H, W) labels, the largest first, without those that are nowhere."""
    counts = np.bincount(label.ravel(), minlength=len(head.classes))
    order = np.argsort(-counts, kind="stable")
    return [(int(k), counts[k] / label.size) for k in order if counts[k]]


def said(found: Sequence[tuple[int, float]], head: Head) -> str:
    """Write shares as `ball 12.0 %, background 88.0 %`."""
    return ", ".join(f"{head.classes[k]} {_percent(share)}" for k, share in found)


def save_pictures(stem: Path, whole: np.ndarray, labels: Sequence[np.ndarray], heads: Sequence[Head]) -> None:
    """Write label maps, overlay and panel.

    Args:
        stem: path of the files up to their endings.
        whole: (H, W, 3) uint8 RGB.
        labels: (H, W) a head. The overlay is of the first; the panel has all, each with its legend.
        heads: of the net.
    """
    rows = []
    for number, (label, head) in enumerate(zip(labels, heads)):
        palette = class_palette(head.classes)
        overlay = vis_seg(whole, label, palette, everywhere=not has_background(head.classes))
        save_label(beside(stem, label_ending(number, head)), label, palette)
        if number == 0:
            save_rgb(beside(stem, "_overlay.png"), overlay)
        side_by_side = [whole, color_seg(label, palette), overlay]
        entries = [(k, f"{head.classes[k]} {_percent(share)}") for k, share in shares(label, head)
                   if share >= SHARE_IN_LEGEND]
        rows.append(panel(side_by_side, legend(entries, palette, sum(one.shape[1] for one in side_by_side))))
    save_rgb(beside(stem, "_panel.png"), panel(rows, down=True))


def label_ending(number: int, head: Head) -> str:
    """Give the ending of a head's label map: _label.png of the first, _HEAD_label.png of the others."""
    return "_label.png" if number == 0 else f"_{head.label}_label.png"


def save_scores(stem: Path, probabilities: Sequence[np.ndarray], heads: Sequence[Head]) -> None:
    """Write `probability` (K, h, w) float32 and `classes`; of further heads with _HEAD after these names."""
    path = beside(stem, "_scores.npz")
    content = {}
    for number, (probability, head) in enumerate(zip(probabilities, heads)):
        which = f"_{head.label}" if number else ""
        content.update({f"probability{which}": probability, f"classes{which}": np.array(head.classes)})
    write_whole(path, lambda file: np.savez(file, **content))


def beside(stem: Path, ending: str) -> Path:
    """Give the path of a stem with this ending."""
    return stem.with_name(stem.name + ending)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "<0.1 %"

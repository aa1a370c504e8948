"""How well can a net do whose answer is coarse? `python -m scoring.upper_bound --net voc-fcn32s --split seg11valid`.

In:   the labels of a split, alone; factors by which they are made smaller and larger again.
Out:  a table of mean IU: a row a factor, a column a rule of making smaller and larger; JSON on request.
Not here: nets and images.
Source: the upper bound of IU by stride in Long et al. 2015, which does not say its rule. Hence three:
    nearest   the pixel in the middle of each cell of factor x factor pixels stands for the cell
    majority  the most frequent class of each cell stands for it
    bilinear  the shares of the classes in each cell, drawn out bilinearly; the largest wins
Void pixels take the nearest class before, and do not count.
"""

from __future__ import annotations

import sys

import startup

if __name__ == "__main__":
    startup.ensure_environment()
    startup.quiet_caffe()

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nets import NetError
from nets.prototxt import write_text
from scoring import DIRS
from scoring.confusion import fast_hist, scores
from scoring.scored_net import open_labels

IGNORE = 255
FACTORS = (128, 64, 32, 16, 8, 4)
PUBLISHED = {128: 0.509, 64: 0.733, 32: 0.861, 16: 0.928, 8: 0.964, 4: 0.985}  # VOC2011, of the paper


def filled(label: np.ndarray) -> np.ndarray:
    """Give void pixels the nearest class: (H, W) integers, of which some count."""
    from scipy.ndimage import distance_transform_edt

    void = label == IGNORE
    if not void.any():
        return label
    rows, columns = distance_transform_edt(void, return_distances=False, return_indices=True)
    return label[rows, columns]


def coarse(label: np.ndarray, factor: int) -> dict[str, np.ndarray]:
    """Make a label map smaller by a factor and larger again.

    Args:
        label: (H, W) class numbers without void.
        factor: side of a cell in pixels.

    Returns:
        By rule (nearest, majority, bilinear): (H, W) class numbers.
    """
    (middle_y, cell_y), (middle_x, cell_x) = (_cells(side, factor) for side in label.shape)
    classes = np.unique(label)
    down = [_averaging(cell) for cell in (cell_y, cell_x)]
    share = np.stack([down[0] @ (label == k) @ down[1].T for k in classes])  # (classes, h, w)
    up = [_linear(side, factor, len(matrix)) for side, matrix in zip(label.shape, down)]
    smooth = up[0] @ share @ up[1].T  # (classes, H, W)
    return {"nearest": label[np.ix_(middle_y, middle_x)][np.ix_(cell_y, cell_x)],
            "majority": classes[share.argmax(0)][np.ix_(cell_y, cell_x)],
            "bilinear": classes[smooth.argmax(0)]}


def upper_bound(labels: Any, num_classes: int, factors: Sequence[int] = FACTORS) -> dict[int, dict[str, dict]]:
    """Score coarse labels against the labels themselves.

    Args:
        labels: iterable of (H, W) class numbers and 255.
        num_classes: how many there are.
        factors: sides of the cells.

    Returns:
        By factor and rule the four scores of scoring.confusion.scores.
    """
    hists: dict[int, dict[str, np.ndarray]] = {factor: {} for factor in factors}
    for label in labels:
        if (label == IGNORE).all():
            continue
        whole, truth = filled(label), label.ravel().astype(np.int64)
        for factor, of_factor in hists.items():
            for rule, found in coarse(whole, factor).items():
                hist = fast_hist(truth, found.ravel().astype(np.int64), num_classes)
                of_factor[rule] = of_factor.get(rule, 0) + hist
    return {factor: {rule: scores(hist) for rule, hist in rules.items()} for factor, rules in hists.items()}


def _cells(side: int, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Give each cell's middle pixel, and each pixel's cell, along a side."""
    cell = np.arange(side) // factor
    first = np.arange(0, side, factor)
    last = np.minimum(first + factor, side) - 1  # the cell at the end may be smaller
    return (first + last + 1) // 2, cell


def _averaging(cell: np.ndarray) -> np.ndarray:
    """Give the matrix (cells, pixels) that averages over the pixels of each cell."""
    inside = (np.arange(cell[-1] + 1)[:, np.newaxis] == cell).astype(np.float32)
    return inside / inside.sum(1, keepdims=True)


def _linear(side: int, factor: int, cells: int) -> np.ndarray:
    """Give the matrix (pixels, cells) that draws cells out linearly between their middles."""
    place = (np.arange(side) + 0.5) / factor - 0.5
    weight = 1 - np.abs(np.clip(place, 0, cells - 1)[:, np.newaxis] - np.arange(cells))
    return np.maximum(weight, 0).astype(np.float32)


def table(found: dict[int, dict[str, dict]], published: bool) -> str:
    """Write mean IU as lines of text."""
    rules = list(next(iter(found.values())))
    lines = ["factor" + "".join(f"  {rule:>9}" for rule in rules) + ("  published" if published else "")]
    for factor, of_factor in found.items():
        line = f"{factor:>6}" + "".join(f"  {of_factor[rule]['mean_iu']:>9.4f}" for rule in rules)
        lines.append(line + (f"  {PUBLISHED[factor]:>9.3f}" if published and factor in PUBLISHED else ""))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; see --help."""
    parser = argparse.ArgumentParser(prog="python -m scoring.upper_bound", description=(
        "The mean IU that labels reach when they are made smaller and larger again."))
    parser.add_argument("--net", default="voc-fcn32s", help="net of the zoo whose data are meant (%(default)s)")
    parser.add_argument("--split", help="name of a list of ids (default: that which the net is scored on)")
    parser.add_argument("--factor", type=int, nargs="+", default=FACTORS, metavar="N", help="sides of the cells")
    for key in DIRS:
        parser.add_argument(f"--{key}-dir", metavar="DIR", help="folder of the data in place of the net's")
    parser.add_argument("--out", metavar="FILE", help="JSON of all four scores")
    args = parser.parse_args(argv)
    if min(args.factor) < 1:
        parser.error(f"--factor {min(args.factor)}: want 1 or more pixels")
    from tqdm import tqdm

    layer, head, split = open_labels(args.net, args.split, {f"{key}_dir": getattr(args, f"{key}_dir") for key in DIRS})
    pause = 0.2 if sys.stderr.isatty() else 10
    ids = tqdm(layer.indices, desc="upper bound", unit="label", dynamic_ncols=True, mininterval=pause)
    found = upper_bound((layer.load_label(name)[0] for name in ids), len(head.classes), args.factor)
    if not next(iter(found.values())):
        raise NetError(f"split '{split}': no label has a pixel that counts; check the labels")
    print(f"mean IU of coarse labels: data of {args.net}, split {split}, {len(layer.indices)} labels")
    print(table(found, published=args.net.startswith("voc-")))
    if args.out:
        write_text(json.dumps({"net": args.net, "split": split, "scores": found}, indent=1) + "\n", Path(args.out))
        print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

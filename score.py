"""Score a segmentation net as the FCN paper does: one confusion matrix over a whole split.

In:   a net whose data layer walks a split, the ids of that split; `python score.py --split NAME`.
Out:  histograms, the four scores, the release's log lines, a table a class, JSON, label PNGs.
Not here: data set formats (layers/), training (solvers/), layout of results (scoring/report.py).
Source: score.py of the FCN release (names, signatures, lines); Long et al. 2015, section 5.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import numpy as np

from scoring.confusion import class_accuracy, class_iu, fast_hist, scores

__all__ = ["fast_hist", "compute_hist", "do_seg_tests", "seg_tests", "scores", "class_accuracy",
           "class_iu", "tally", "Tally"]

IGNORE = 255  # what data layers write for pixels that do not count
Watch = Callable[[Any, np.ndarray, np.ndarray], None]


@dataclass
class Tally:
    """What one pass over a split has counted."""

    hist: np.ndarray  # (K, K) int64; row = truth, column = prediction
    loss: float = 0.0  # mean over images of the blob `loss`; nan where the net has none
    images: int = 0
    pixels: int = 0  # with the ignored ones
    unlabelled: list[str] = field(default_factory=list)  # ids without any pixel that counts


def compute_hist(net: Any, save_dir: str | None, dataset: Sequence[str],
                 layer: str = "score", gt: str = "label") -> tuple[np.ndarray, float]:
    """Run the net once for each id and count its answers.

    Args:
        net: a caffe.Net whose data layer gives the images of `dataset` in this order, one a pass.
        save_dir: folder for predictions as `ID.png` with the VOC palette, or None.
        dataset: ids.
        layer: blob of scores, (1, K, H, W).
        gt: blob of labels, (1, 1, H, W); 255 does not count.

    Returns:
        (K, K) histogram and the mean of the blob `loss` (nan where the net has none).

    Raises:
        ValueError: blobs missing or of shapes that do not fit, or a label that is no class.
    """
    counted = tally(net, save_dir, dataset, layer, gt)
    return counted.hist, counted.loss


def do_seg_tests(net: Any, iter: int, save_format: str | None, dataset: Sequence[str],
                 layer: str = "score", gt: str = "label") -> np.ndarray:
    """Score a net on `dataset` and print the release's lines.

    Args:
        net: as for compute_hist.
        iter: the training's iteration, for the lines and `save_format`.
        save_format: folder for predictions in which `{}` becomes the iteration, or None.
        dataset: ids.
        layer: blob of scores.
        gt: blob of labels.

    Returns:
        (K, K) histogram.
    """
    counted = tally(net, _folder(save_format, iter), dataset, layer, gt)
    print_scores(iter, counted)
    return counted.hist


def seg_tests(solver: Any, save_format: str | None, dataset: Sequence[str], layer: str = "score",
              gt: str = "label", *, watch: Watch | None = None) -> tuple[np.ndarray, float]:
    """Score a solver's first test net with the weights in training; arguments as do_seg_tests.

    Args:
        solver: a caffe solver with a test net whose data layer walks `dataset`.
        save_format: as for do_seg_tests.
        dataset: ids.
        layer: blob of scores.
        gt: blob of labels.
        watch: called after each pass with the net, the truth (H, W) and the prediction (H, W).

    Returns:
        (K, K) histogram and mean loss (the release gave nothing back).
    """
    print(">>>", datetime.now(), "Begin seg tests")
    net = solver.test_nets[0]
    net.share_with(solver.net)
    counted = tally(net, _folder(save_format, solver.iter), dataset, layer, gt, watch)
    print_scores(solver.iter, counted)
    return counted.hist, counted.loss


def tally(net: Any, save_dir: str | Path | None, dataset: Iterable[str], layer: str = "score",
          gt: str = "label", watch: Watch | None = None) -> Tally:
    """Do compute_hist's work, whose arguments and errors it has; `watch` as for seg_tests."""
    for name in (layer, gt):
        if name not in net.blobs:
            raise ValueError(f"scoring: the net has no blob '{name}'; it has "
                             f"{', '.join(net.blobs)}")
    classes = net.blobs[layer].shape[1]
    counted = Tally(np.zeros((classes, classes), np.int64))
    if save_dir:
        # DEVIATION D24: the release stops at a folder that is there.
        Path(save_dir).mkdir(parents=True, exist_ok=True)
    loss = 0.0
    for name in dataset:
        try:
            net.forward()
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"scoring '{name}': {error}") from error
        label, prediction = _label_and_prediction(net, layer, gt, name)
        hist = fast_hist(label.ravel(), prediction.ravel(), classes)
        counted.hist += hist
        counted.images += 1
        counted.pixels += label.size
        if not hist.any():
            counted.unlabelled.append(name)
        if save_dir:
            _save(Path(save_dir) / f"{name}.png", prediction)
        if watch is not None:
            watch(net, label, prediction)
        loss += float(net.blobs["loss"].data.flat[0]) if "loss" in net.blobs else float("nan")
    counted.loss = loss / counted.images if counted.images else float("nan")
    return counted


def print_scores(iter: int, counted: Tally) -> None:
    """Print the release's five lines."""
    found = scores(counted.hist)
    print(">>>", datetime.now(), "Iteration", iter, "loss", counted.loss)
    for key, value in found.items():
        line = "mean IU" if key == "mean_iu" else key.replace("_", " ")
        print(">>>", datetime.now(), "Iteration", iter, line, value)


def _label_and_prediction(net: Any, layer: str, gt: str,
                          name: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction of the pass just made, (H, W) each, checked against each other."""
    score, truth = net.blobs[layer].data, net.blobs[gt].data
    if len(score) != 1 or score.ndim != 4 or truth.shape != (1, 1, *score.shape[2:]):
        raise ValueError(f"scoring '{name}': blob '{layer}' is {score.shape}, '{gt}' "
                         f"{truth.shape}; want (1, K, H, W) and (1, 1, H, W); check the net's Crop")
    label, classes = truth[0, 0].astype(np.int64), score.shape[1]
    wrong = (label >= classes) & (label != IGNORE) | (label < 0)
    if wrong.any():  # DEVIATION D23: the release leaves such pixels out.
        raise ValueError(f"scoring '{name}': label {label[wrong][0]}, want 0 to {classes - 1} or "
                         f"{IGNORE}; the label, or the net's number of classes, is wrong")
    return label, score[0].argmax(0)


def _folder(save_format: str | None, iter: int) -> str | None:
    return save_format.format(iter) if save_format else None


def _save(path: Path, prediction: np.ndarray) -> None:
    from vis import save_label

    path.parent.mkdir(parents=True, exist_ok=True)  # ids of some sets have folders in them
    save_label(path, prediction)


def main(argv: Sequence[str] | None = None) -> int:
    """Score a trained net on a split; see --help."""
    parser = argparse.ArgumentParser(prog="score.py", description=(
        "Score a net on a split: overall accuracy, mean accuracy, mean IU, frequency-weighted IU."))
    parser.add_argument("--split", default="seg11valid", help="name of a list of ids (%(default)s)")
    parser.add_argument("--net", help="net in models/ (default: the best one trained here)")
    parser.add_argument("--weights", help="caffemodel in place of the net's own")
    parser.add_argument("--voc-dir", metavar="DIR",
                        help="folder in VOC devkit layout, in place of the val net's")
    parser.add_argument("--save", metavar="DIR", help="write predictions there as palette PNGs")
    parser.add_argument("--out", metavar="FILE", help="JSON (default: in results/)")
    parser.add_argument("--gpu", type=int, metavar="N", help="CUDA device (default: the CPU)")
    args = parser.parse_args(argv)
    startup.quiet_caffe()

    from nets.choice import choose
    from scoring.report import out_path, print_report, write_report
    from scoring.scored_net import open_split

    record = choose(args.net, args.weights)
    out = Path(args.out) if args.out else out_path(record, args.split)
    startup.select_device(args.gpu)
    net, ids = open_split(record, args.split, args.voc_dir)
    print(f"net {record.net} ({record.weights}), split {args.split}: {len(ids)} images")
    print(">>>", datetime.now(), "Begin seg tests")
    counted = tally(net, args.save, _progress(ids))
    print_scores(record.iteration or 0, counted)
    print_report(record, counted, net)
    write_report(out, record, args.split, counted, "cpu" if args.gpu is None else f"gpu {args.gpu}")
    print(f"wrote {out}")
    return 0


def _progress(ids: Sequence[str]) -> Iterable[str]:
    """The ids, with a bar that shows the time left."""
    from tqdm import tqdm

    pause = 0.2 if sys.stderr.isatty() else 10  # seconds; a log wants few lines
    return tqdm(ids, desc="score", unit="image", file=sys.stderr, dynamic_ncols=True, mininterval=pause)


if __name__ == "__main__":
    sys.exit(startup.run(main))

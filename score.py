"""Score a segmentation net as the FCN paper does: one confusion matrix over a whole split.

In:   a net whose data layer walks a split, the ids of that split; `python score.py --split NAME`.
Out:  histograms, the four scores, the release's log lines, tables, JSON, label PNGs, confusion pictures.
Not here: counting and metrics, the layout of results (scoring/), data set formats (layers/), training (solvers/).
Source: score.py of the FCN release (names, signatures, lines); Long et al. 2015, section 5.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import numpy as np

from ranks import Meeting, first_speaks, gpu_of, here
from scoring import DIRS
from scoring.confusion import class_accuracy, class_iu, fast_hist, scores
from scoring.tally import Tally, Watch, tally, tally_heads

__all__ = ["fast_hist", "compute_hist", "do_seg_tests", "seg_tests", "scores", "class_accuracy",
           "class_iu", "tally", "tally_heads", "Tally"]


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


def print_scores(iter: int, counted: Tally) -> None:
    """Print the release's five lines."""
    found = scores(counted.hist)
    print(">>>", datetime.now(), "Iteration", iter, "loss", counted.loss)
    for key, value in found.items():
        line = "mean IU" if key == "mean_iu" else key.replace("_", " ")
        print(">>>", datetime.now(), "Iteration", iter, line, value)


def _folder(save_format: str | None, iter: int) -> str | None:
    return save_format.format(iter) if save_format else None


def main(argv: Sequence[str] | None = None) -> int:
    """Score a trained net on a split, or compare two results; see --help."""
    args = _arguments(argv)
    startup.quiet_caffe()
    if args.compare:
        from scoring.compare import compare

        print(compare(*args.compare))
        return 0
    with first_speaks(here()):
        return _score(args)


def _score(args: argparse.Namespace) -> int:
    """Score a net on a split, or where several processes do, on this one's share of it; the first adds up."""
    from nets.choice import choose
    from nets.weights import judge
    from scoring.report import out_path, print_report, print_warnings, write_report
    from scoring.scored_net import open_split

    ranks = here()
    if args.out and Path(args.out).is_dir():  # said now, not after an hour
        raise ValueError(f"--out '{args.out}' is a folder; want the name of a JSON file")
    record = choose(args.net, args.weights)
    args.gpu = gpu_of(ranks, args.gpu)
    startup.select_device(args.gpu)
    startup.select_precision(args.precision, args.gpu)
    net, ids, split, is_own = open_split(record, args.split, _dirs(args), args.mask, ranks[:2])
    out = Path(args.out) if args.out else out_path(record, split, is_own and not args.mask)
    share = f", this process's share in {ranks.count}" if ranks.count > 1 else ""
    print(f"net {record.net} ({record.weights}), split {split}: {len(ids)} images{share}")
    print(">>>", datetime.now(), "Begin seg tests")
    found = _counted(args, net, ids, record.heads, Meeting(ranks, out.parent / f".{out.name}.ranks"))
    if found is None:
        return 0
    counted, bands = found
    for head, of_head, of_bands in zip(record.heads, counted, bands):
        if len(record.heads) > 1:
            print(f"\nhead {head.score} ({len(head.classes)} classes)")
        print_scores(record.iteration or 0, of_head)
        print_report(head, of_head, of_bands)
    print_warnings(record, counted, net)
    print(end=judge(record, "" if args.mask else split, counted[0].images, scores(counted[0].hist)["mean_iu"]))
    device = "cpu" if args.gpu is None else f"gpu {args.gpu}"
    write_report(out, record, split, counted, bands, f"{device}, {args.precision}", args.mask)
    print(f"wrote {out}")
    if args.confusion:
        _draw(out, record.heads, counted)
    return 0


def _counted(args: argparse.Namespace, net: Any, ids: Sequence[str], heads: Sequence[Any],
             meeting: Meeting) -> tuple[list[Tally], list[dict[int, np.ndarray]]] | None:
    """Count, and add up what all processes have counted: Tallies and bands, one a head; None but in the first."""
    from scoring.boundary import BoundaryBands
    from scoring.shards import added, to_plain

    watches = [BoundaryBands(args.boundary, len(head.classes)) if args.boundary else None for head in heads]
    with meeting:
        bar = _progress(ids) if meeting.ranks.is_first else ids
        counted = tally_heads(net, bar, heads, _folders(args.save, heads), watches)
        bands = [watch.bands if watch else {} for watch in watches]
        if meeting.ranks.count == 1:
            return counted, bands
        parts = meeting.gather(to_plain(ids, counted, bands))
    return None if parts is None else added(parts)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="score.py", description=(
        "Score a net on a split: overall accuracy, mean accuracy, mean IU, frequency-weighted IU."))
    parser.add_argument("--split", help="name of a list of ids (default: that of the net's val or test prototxt)")
    parser.add_argument("--net", help="net in models/ (default: the best one trained here)")
    parser.add_argument("--weights", help="caffemodel in place of the net's own")
    for key in DIRS:
        parser.add_argument(f"--{key}-dir", metavar="DIR", help=argparse.SUPPRESS if key != "voc" else (
            "folder of the data in place of the net's: --voc-dir, or " + ", ".join(f"--{k}-dir" for k in DIRS[1:])))
    parser.add_argument("--boundary", type=int, nargs="+", metavar="PIXELS",
                        help="also score within bands of these widths around the label's boundaries")
    parser.add_argument("--mask", choices=("foreground", "background", "both"),
                        help="hide it from the net: its pixels become the mean")
    parser.add_argument("--save", metavar="DIR", help="write predictions there as palette PNGs")
    parser.add_argument("--confusion", action="store_true", help="draw the confusion matrix, beside the JSON")
    parser.add_argument("--out", metavar="FILE", help="JSON (default: in results/)")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"),
                        help="score nothing: show two results side by side (nets, or JSON files)")
    startup.add_device_options(parser)
    args = parser.parse_args(argv)
    if args.boundary and min(args.boundary) < 1:
        parser.error(f"--boundary {min(args.boundary)}: want 1 or more pixels")
    return args


def _dirs(args: argparse.Namespace) -> dict[str, str]:
    """The folders that were given, by key of param_str."""
    given = {f"{key}_dir": getattr(args, f"{key}_dir") for key in DIRS}
    return {key: folder for key, folder in given.items() if folder is not None}


def _folders(save: str | None, heads: Sequence[Any]) -> list[str | None]:
    """Where each head's predictions go: one head's straight into the folder."""
    if save is None or len(heads) == 1:
        return [save] * len(heads)
    return [str(Path(save, head.label)) for head in heads]


def _draw(out: Path, heads: Sequence[Any], counted: Sequence[Tally]) -> None:
    """Write a picture of the confusion matrix of each head."""
    from scoring.pictures import draw_confusion

    for head, of_head in zip(heads, counted):
        which = "" if len(heads) == 1 else f"_{head.label}"
        path = out.with_name(f"{out.stem}_confusion{which}.png")
        draw_confusion(of_head.hist, head.classes, path, f"{out.stem}{which.replace('_', ', ')}")
        print(f"wrote {path}")


def _progress(ids: Sequence[str]) -> Iterable[str]:
    """The ids, with a bar that shows the time left."""
    from tqdm import tqdm

    pause = 0.2 if sys.stderr.isatty() else 10  # seconds; a log wants few lines
    return tqdm(ids, desc="score", unit="image", file=sys.stderr, dynamic_ncols=True, mininterval=pause)


if __name__ == "__main__":
    sys.exit(startup.run(main))

"""Weights of classes: how often each occurs in a split, as the matrix of InfogainLoss.

Run:  python -m scoring.class_weights PROTOTXT FILE

In:   the prototxt of a net, whose data layer names the split.
Out:  a binaryproto (1, 1, K, K): row = label, weight on the diagonal, 0 elsewhere.
Not here: the loss (layer type InfogainLoss), reading labels (layers/).
Source: inverse square root of the frequency; median frequency balancing (Eigen and Fergus 2015). The FCN papers found
    balancing unnecessary.
"""

from __future__ import annotations

import sys

import startup

if __name__ == "__main__":
    startup.ensure_environment()
    startup.quiet_caffe()

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import caffe
from caffe.proto import caffe_pb2
from data.whole import DataError, write_whole
from nets.prototxt import read_prototxt
from scoring.scored_net import data_layer, opened

RULES = ("inverse-sqrt", "median-frequency")
VOID = 255


def count_pixels(net: str | Path, label: str = "label") -> np.ndarray:
    """Count the pixels of each class in the split that a net is fed from.

    Args:
        net: prototxt with a data layer of layers/.
        label: which of its label tops.

    Returns:
        (K,) int64: pixels of each class; void counts nowhere.

    Raises:
        DataError: no such data layer or top. DataLayerError: a file that cannot be used.
    """
    layer = opened(data_layer(read_prototxt(net, caffe_pb2.NetParameter()), Path(net))[0])
    classes = getattr(layer, "classes", {})
    if label not in classes:
        raise DataError(f"'{net}': its data layer has no label top '{label}', but {', '.join(classes) or 'none'}")
    counts = np.zeros(classes[label], np.int64)
    for name in tqdm(layer.indices, "labels", unit=""):
        counts += np.bincount(layer.load_top(label, name).ravel(), minlength=VOID + 1)[:len(counts)]
    return counts


def class_weights(counts: np.ndarray, rule: str) -> np.ndarray:
    """Weigh classes so that rare ones count more.

    Args:
        counts: (K,) pixels of each class.
        rule: inverse-sqrt: 1 / sqrt(frequency); median-frequency: median of the frequencies / frequency.

    Returns:
        (K,) float64, of mean 1 over all pixels, so that the loss keeps its size; 0 for classes that do not occur.

    Raises:
        DataError: no class occurs, or the rule is unknown.
    """
    counts = np.asarray(counts, np.float64)
    if rule not in RULES:
        raise DataError(f"rule '{rule}' of class weights is not known; want one of {', '.join(RULES)}")
    found = counts > 0
    if not found.any():
        raise DataError("no pixel of any class in the labels: all are void; check the split and its labels")
    frequency = np.where(found, counts / counts.sum(), 1)
    weights = frequency ** (-0.5 if rule == "inverse-sqrt" else -1.0) * found
    return weights / (weights * counts).sum() * counts.sum()


def save_matrix(weights: np.ndarray, path: str | Path) -> None:
    """Save weights as the diagonal of a matrix, in the form of `infogain_loss_param.source`."""
    blob = caffe.io.array_to_blobproto(np.diag(weights).astype(np.float32)[np.newaxis, np.newaxis])
    write_whole(Path(path), lambda file: file.write(blob.SerializeToString()))


def main(argv: Sequence[str] | None = None) -> int:
    """Write the matrix; see --help."""
    parser = argparse.ArgumentParser(prog="python -m scoring.class_weights", description=(
        "Weigh classes by how often they occur, for InfogainLoss."))
    parser.add_argument("net", metavar="PROTOTXT", help="a net whose data layer names the split")
    parser.add_argument("out", metavar="FILE", help="binaryproto to write")
    parser.add_argument("--rule", choices=RULES, default=RULES[0], help=f"default: {RULES[0]}")
    parser.add_argument("--label", default="label", help="which label top (default: label; SIFT Flow: sem or geo)")
    args = parser.parse_args(argv)
    counts = count_pixels(args.net, args.label)
    weights = class_weights(counts, args.rule)
    save_matrix(weights, args.out)
    for k, (count, weight) in enumerate(zip(counts, weights)):
        print(f"{k:3} {count:12} pixels, weight {weight:.4f}" if count else f"{k:3} does not occur, weight 0")
    print(f"{args.out}: {len(counts)} x {len(counts)}, rule {args.rule}")
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

"""detect.py: a net's scores of windows in images, into a table.

In:   detect.py INPUT OUTPUT: a .csv with the columns filename, ymin, xmin, ymax, xmax, or a .txt of images.
Out:  a .csv, or an HDF5 file with the datasets filename, window (N, 4) and prediction (N, classes).
Not here: the net and its crops (caffe.Detector).   Source: BVLC python/detect.py, for behaviour.
"""

from __future__ import annotations

import argparse
import csv
import io
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from .._caffe.files.caffemodel_writer import atomic_write
from ..detector import Detector
from .entry import tool
from .images_in import add_options, keywords

COORDINATES = ("ymin", "xmin", "ymax", "xmax")


def read_windows(path: str) -> list[tuple[str, list[list[int]]]]:
    """Return the windows of each image in a .csv.

    Raises:
        ValueError: a column is missing, a value is not a number, or there are no windows.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        found = [(row["filename"], [int(float(row[name])) for name in COORDINATES]) for row in rows]
    except (KeyError, ValueError, TypeError) as problem:
        raise ValueError(f"{path}: {problem}; want the columns filename, {', '.join(COORDINATES)}, and numbers in "
                         "the last four") from problem
    if not found:
        raise ValueError(f"{path}: no windows in it; want a line of columns, filename, {', '.join(COORDINATES)}, and a "
                         "line for each window")
    return [(name, [window for _, window in group]) for name, group in groupby(found, lambda row: row[0])]


def write_detections(path: str, found: list[dict[str, Any]]) -> None:
    """Write a table; the file name determines the format (.csv, or .h5)."""
    windows = np.array([row["window"] for row in found], np.int64).reshape(len(found), 4)
    scores = np.array([row["prediction"] for row in found], np.float32).reshape(len(found), -1)
    with atomic_write(path) as file:
        if not path.lower().endswith(".csv"):
            _write_hdf5(file, [row["filename"] for row in found], windows, scores)
            return
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        # Caffe: the columns of scores are named class1, class2 and so on, and coordinates come last
        table.writerow(["filename", *(f"class{i}" for i in range(scores.shape[1])), *COORDINATES])
        for row, window, values in zip(found, windows, scores, strict=True):
            table.writerow([row["filename"], *values, *window])
        file.write(text.getvalue().encode())


def _write_hdf5(file: Any, names: list[str], windows: np.ndarray, scores: np.ndarray) -> None:
    # DEVIATION D34: Caffe writes a pandas table.
    try:
        import h5py
    except ImportError as problem:
        raise ImportError("detect.py writes .h5 with h5py; pip install h5py, or write a .csv") from problem

    with h5py.File(file, "w") as tables:
        tables["filename"], tables["window"], tables["prediction"] = names, windows, scores


@tool
def main(argv: list[str]) -> int:
    """Run detect.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="detect.py", description=__doc__.split("\n")[0])
    parser.add_argument("input_file", help=".csv of windows, or .txt of images")
    parser.add_argument("output_file", help=".csv or .h5 to write")
    add_options(parser)
    parser.add_argument("--crop_mode", default="selective_search", choices=("list", "selective_search"),
                        help="where windows come from: the .csv, or Selective Search (an external module)")
    parser.add_argument("--context_pad", type=int, default=16, help="pixels of the input that show surroundings")
    options = parser.parse_args(argv)
    if not options.output_file.lower().endswith((".csv", ".h5", ".hdf5")):
        raise ValueError(f"Unknown output file type: {options.output_file}; want .csv or .h5")
    net = Detector(options.model_def, options.pretrained_model, context_pad=options.context_pad, **keywords(options))
    if options.crop_mode == "list":
        found = net.detect_windows(read_windows(options.input_file))
    else:
        names = [name for name in Path(options.input_file).read_text().splitlines() if name.strip()]
        found = net.detect_selective_search(names)
    write_detections(options.output_file, found)
    print(f"{len(found)} windows scored, saved to {options.output_file}")
    return 0

"""A measured result: its table on the screen, its JSON with where it comes from.

In:   a Record, the split's name, a Tally.
Out:  lines on stdout, warnings on stderr, a JSON file, whole or not at all.
Not here: counting and metrics (score.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nets.prototxt import write_text
from nets.record import Record
from scoring.confusion import class_accuracy, class_iu, scores

ROOT = Path(__file__).resolve().parent
OWN_SPLIT = "seg11valid"


def out_path(record: Record, split: str) -> Path:
    """Where a result goes unless told; results/NET.json is for the published weights alone."""
    weights = Path(record.weights)
    published = weights.stem == record.net and split == OWN_SPLIT
    name = record.net if published else f"{record.net}-{split}-{weights.stem}"
    return Path("results", f"{name}.json")


def print_report(record: Record, counted: Any, net: Any) -> None:
    """Print the table of classes, the ignored share, the four scores, and what looks wrong."""
    hist = counted.hist
    truth, predicted = hist.sum(1), hist.sum(0)
    accuracy, iu = class_accuracy(hist), class_iu(hist)
    total = max(int(hist.sum()), 1)
    width = max(len(name) for name in record.classes)
    print(f"\n{'class':<{width}}  of truth  predicted  accuracy      IU")
    for k, name in enumerate(record.classes):
        note = "" if truth[k] else "  not in the truth, IU 0" if predicted[k] else "  absent"
        print(f"{name:<{width}}  {truth[k] / total:8.2%}  {predicted[k] / total:9.2%}  "
              f"{_number(accuracy[k]):>8}  {_number(iu[k]):>6}{note}")
    ignored = 1 - hist.sum() / counted.pixels if counted.pixels else 0.0
    print(f"\n{counted.images} images, {counted.pixels} pixels, {ignored:.2%} of them ignored")
    for key, value in scores(hist).items():
        name = key.replace("_", " ").replace("iu", "IU")
        print(f"{name:<17} {_number(value)}")
    sys.stdout.flush()
    for warning in _warnings(counted, net):
        print(f"warning: {warning}", file=sys.stderr)


def write_report(path: Path, record: Record, split: str, counted: Any, device: str) -> None:
    """Write a result with its origin as JSON; what is undefined becomes null."""
    hist, found = counted.hist, scores(counted.hist)
    ignored = 1 - float(hist.sum()) / counted.pixels if counted.pixels else None
    result = {
        "net": record.net, "split": split, "weights": record.weights,
        "weights_sha256": sha256(Path(record.weights)), "iteration": record.iteration,
        "git": git_describe(), "device": device,
        "date": datetime.now().isoformat(timespec="seconds"),
        "images": counted.images, "ignored_share": ignored, "loss": _json(counted.loss),
        **{key: _json(value) for key, value in found.items()},
        "class_iu": {name: _json(v) for name, v in zip(record.classes, class_iu(hist))},
        "class_accuracy": {n: _json(v) for n, v in zip(record.classes, class_accuracy(hist))},
        "hist": hist.tolist(),
    }
    write_text(json.dumps(result, indent=1) + "\n", path)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def git_describe() -> str | None:
    """The state of this checkout, or None where there is no git."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty", "--tags"], cwd=ROOT,
                              capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def _warnings(counted: Any, net: Any) -> list[str]:
    from surgery.diagnose import diagnose

    found = [str(finding) for finding in diagnose(net)]
    columns = np.flatnonzero(counted.hist.sum(0))
    if len(columns) == 1 and counted.hist.shape[0] > 1:
        found.append(f"every pixel of the split was given class {columns[0]}: the net has learned "
                     f"nothing, or its weights were not loaded")
    if counted.unlabelled:
        empty = counted.unlabelled
        names = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        found.append(f"{len(empty)} of {counted.images} labels have no pixel that counts (all "
                     f"255): {names}")
    return found


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _json(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

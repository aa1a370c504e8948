"""A measured result: its table on the screen, its JSON with where it comes from.

In:   a Record, the split's name, a Tally a head.
Out:  lines on stdout, warnings on stderr, a JSON file, whole or not at all.
Not here: counting and metrics (score.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from nets.prototxt import write_text
from nets.record import Head, Record
from scoring.confusion import SCORES, WAYS, class_accuracy, class_iu, other_scores, scores
from scoring.tally import Tally

ROOT = Path(__file__).resolve().parent


def out_path(record: Record, split: str, is_own: bool) -> Path:
    """Where a result goes unless told; results/NET.json is for the published weights on the net's own split."""
    weights = Path(record.weights)
    published = weights.stem == record.net and is_own
    name = record.net if published else f"{record.net}-{split}-{weights.stem}"
    return Path("results", f"{name}.json")


def print_report(head: Head, counted: Tally, bands: Mapping[int, np.ndarray]) -> None:
    """Print one head's table of classes, the ignored share, and its scores, counted in every way."""
    hist = counted.hist
    truth, predicted = hist.sum(1), hist.sum(0)
    accuracy, iu = class_accuracy(hist), class_iu(hist)
    total = max(int(hist.sum()), 1)
    width = max(len(name) for name in head.classes)
    print(f"\n{'class':<{width}}  of truth  predicted  accuracy      IU")
    for k, name in enumerate(head.classes):
        note = "" if truth[k] else "  not in the truth, IU 0" if predicted[k] else "  absent"
        print(f"{name:<{width}}  {truth[k] / total:8.2%}  {predicted[k] / total:9.2%}  "
              f"{_number(accuracy[k]):>8}  {_number(iu[k]):>6}{note}")
    ignored = 1 - hist.sum() / counted.pixels if counted.pixels else 0.0
    print(f"\n{counted.images} images, {counted.pixels} pixels, {ignored:.2%} of them ignored")
    for key, value in scores(hist).items():
        print(f"{SCORES[key]:<17} {_number(value)}")
    rows = [(WAYS[way], found) for way, found in other_scores(hist, head.classes).items()]
    rows += [(f"within {width} px of a boundary", scores(band)) for width, band in bands.items()]
    print(f"\n{'counted otherwise':<28}" + "".join(f"  {name:>17}" for name in SCORES.values()))
    for name, found in rows:
        print(f"{name:<28}" + "".join(f"  {_number(found[key]):>17}" for key in SCORES))
    sys.stdout.flush()


def print_warnings(record: Record, counted: Sequence[Tally], net: Any) -> None:
    """Print, to stderr, what looks wrong with the net or its truth."""
    for head, of_head in zip(record.heads, counted):
        whose = f"{head.label}: " if len(record.heads) > 1 else ""
        for warning in _warnings(of_head, net, head.score):
            print(f"warning: {whose}{warning}", file=sys.stderr)


def write_report(path: Path, record: Record, split: str, counted: Sequence[Tally],
                 bands: Sequence[Mapping[int, np.ndarray]], device: str, mask: str | None = None) -> None:
    """Write a result with its origin as JSON; what is undefined becomes null.

    The first head's figures stand at the top; others follow as `other_heads`, each with the same keys.
    """
    figures = [_figures(*one) for one in zip(record.heads, counted, bands)]
    result = {
        "net": record.net, "split": split, **({"mask": mask} if mask else {}), "weights": record.weights,
        "weights_sha256": sha256(Path(record.weights)), "iteration": record.iteration,
        "git": git_describe(), "device": device,
        "date": datetime.now().isoformat(timespec="seconds"),
        "images": counted[0].images, **figures[0],
        **({"other_heads": figures[1:]} if figures[1:] else {}),
    }
    write_text(json.dumps(result, indent=1) + "\n", path)


def _figures(head: Head, counted: Tally, bands: Mapping[int, np.ndarray]) -> dict[str, Any]:
    """What a result says of one head."""
    hist, names = counted.hist, head.classes
    others = {way: _all_json(found) for way, found in other_scores(hist, names).items()}
    return {
        "head": head.score,
        "ignored_share": 1 - float(hist.sum()) / counted.pixels if counted.pixels else None,
        "loss": _json(counted.loss), **_all_json(scores(hist)), **others,
        **({"boundary": {width: _all_json(scores(band)) for width, band in bands.items()}} if bands else {}),
        "class_iu": _all_json(dict(zip(names, class_iu(hist)))),
        "class_accuracy": _all_json(dict(zip(names, class_accuracy(hist)))),
        "hist": hist.tolist(),
    }


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


def _warnings(counted: Tally, net: Any, layer: str) -> list[str]:
    from surgery.diagnose import diagnose

    found = [str(finding) for finding in diagnose(net, layer)]
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


def _all_json(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: _json(value) for key, value in values.items()}


def _json(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

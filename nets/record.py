"""The record beside a caffemodel: what the weights are and how to feed them.

In:   a Record, or the path of weights.
Out:  JSON at `record_path(weights)`, whole or not at all; a Record.
Not here: computing scores (score.py), choosing nets (infer.py).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Union

from nets import NetError
from nets.prototxt import write_text

PathLike = Union[str, "os.PathLike[str]"]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_row(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(fits, value))


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


# Key, check, what is wanted.
_CHECKS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("net", _is_text, "a name"),
    ("deploy", _is_text, "the path of a prototxt"),
    ("weights", _is_text, "the path of a caffemodel"),
    ("classes", lambda v: _is_row(v, _is_text) and len(v) > 0, "a name for each channel of the score"),
    ("mean_bgr", lambda v: _is_row(v, _is_finite) and len(v) == 3, "three numbers (B, G, R)"),
    ("scale", lambda v: _is_finite(v) and v != 0, "a number other than 0"),
    ("ignore_label", lambda v: _is_number(v) and v == int(v), "a whole number"),
    ("iteration", lambda v: v is None or isinstance(v, int), "a whole number, or null"),
    ("scores", lambda v: isinstance(v, dict) and all(map(_is_number, v.values())), "numbers by name"),
)


@dataclass(frozen=True)
class Record:
    """What infer.py and score.py must know of trained weights."""

    net: str  # name in the zoo
    deploy: str  # path of the deploy prototxt, from the project's root
    weights: str  # path of the caffemodel, from the project's root
    classes: tuple[str, ...]  # in the order of the score's channels
    mean_bgr: tuple[float, float, float]  # subtracted from 0..255 pixels, blue first
    scale: float = 1.0  # multiplied after the mean is gone
    ignore_label: int = 255
    iteration: int | None = None  # of the snapshot these weights come from
    scores: dict[str, float] = field(default_factory=dict)  # e.g. mean_iu; may be empty

    def __post_init__(self) -> None:
        """Hold what JSON gives back as lists to tuples, and refuse what cannot feed a net."""
        for key, fits, want in _CHECKS:
            value = getattr(self, key)
            if not fits(value):
                raise NetError(f"record of '{self.net}': {key} is {value!r:.60}, want {want}")
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "mean_bgr", tuple(float(value) for value in self.mean_bgr))


def record_path(weights: PathLike) -> Path:
    """Give the place of the record of these weights: the same name, ending in .json."""
    return Path(weights).with_suffix(".json")


def save_record(record: Record, weights: PathLike) -> Path:
    """Write the record beside `weights`; gives its path."""
    path = record_path(weights)
    write_text(json.dumps(asdict(record), indent=2) + "\n", path)
    return path


def load_record(weights: PathLike) -> Record:
    """Read the record beside `weights`.

    Raises:
        NetError: it is not there, is no JSON, or lacks or has a key that a record does not know.
    """
    path = record_path(weights)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NetError(f"weights '{weights}': no record at '{path}' ({error.strerror}); training writes it, "
                       f"or write one with nets.record.save_record") from error
    except ValueError as error:
        raise NetError(f"record '{path}': not JSON ({error}); train again or write a new one") from error
    return _record_from(found, path)


def _record_from(found: Any, path: Path) -> Record:
    known = {f.name for f in fields(Record)}
    needed = {"net", "deploy", "weights", "classes", "mean_bgr"}
    got = set(found) if isinstance(found, dict) else set()
    if not needed <= got or got - known:
        raise NetError(f"record '{path}': has {sorted(got)}, want {sorted(needed)} and, if you like, "
                       f"{sorted(known - needed)}")
    try:
        return Record(**found)
    except (TypeError, ValueError) as error:
        raise NetError(f"record '{path}': {error}") from error

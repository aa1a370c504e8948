"""The record beside a caffemodel: what the weights are, how to feed them, what they answer.

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


CHANNELS = {"color": 3, "hha": 3, "depth": 1}  # of an input, by kind


@dataclass(frozen=True)
class Head:
    """One labelling that a net gives, and where its truth and loss are while it is scored."""

    classes: tuple[str, ...]  # in the order of the score's channels
    score: str = "score"  # blobs
    label: str = "label"
    loss: str = "loss"

    def __post_init__(self) -> None:
        """Refuse what names no blob or no classes."""
        _check(self, "head", _HEAD_CHECKS)
        object.__setattr__(self, "classes", tuple(self.classes))


@dataclass(frozen=True)
class Input:
    """One blob that a net is fed."""

    blob: str = "data"
    kind: str = "color"  # BGR of a photograph; hha: as stored; depth: natural log of millimetres
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)  # a channel each, subtracted

    def __post_init__(self) -> None:
        """Refuse an unknown kind, or a mean of another number of channels."""
        _check(self, "input", _INPUT_CHECKS)
        if len(self.mean) != CHANNELS[self.kind]:
            raise NetError(f"input '{self.blob}': {len(self.mean)} means, want {CHANNELS[self.kind]}, one for each "
                           f"channel of {self.kind}")
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))


def _check(row: Any, what: str, checks: tuple[tuple[str, Callable[[Any], bool], str], ...]) -> None:
    for key, fits, want in checks:
        value = getattr(row, key)
        if not fits(value):
            raise NetError(f"{what}: {key} is {value!r:.60}, want {want}")


_CLASSES = ("classes", lambda v: _is_row(v, _is_text) and len(v) > 0, "a name for each channel of the score")
_HEAD_CHECKS = (_CLASSES, *((key, _is_text, "the name of a blob") for key in ("score", "label", "loss")))
_INPUT_CHECKS = (
    ("blob", _is_text, "the name of a blob"),
    ("kind", lambda v: isinstance(v, str) and v in CHANNELS, f"one of {', '.join(CHANNELS)}"),
    ("mean", lambda v: _is_row(v, _is_finite), "numbers"))

# Key, check, what is wanted.
_CHECKS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("net", _is_text, "a name"),
    ("deploy", _is_text, "the path of a prototxt"),
    ("weights", _is_text, "the path of a caffemodel"),
    _CLASSES,
    ("mean_bgr", lambda v: _is_row(v, _is_finite) and len(v) == 3, "three numbers (B, G, R)"),
    ("scale", lambda v: _is_finite(v) and v != 0, "a number other than 0"),
    ("ignore_label", lambda v: _is_number(v) and v == int(v), "a whole number"),
    ("iteration", lambda v: v is None or isinstance(v, int), "a whole number, or null"),
    ("scores", lambda v: isinstance(v, dict) and all(map(_is_number, v.values())), "numbers by name"),
    ("origin", lambda v: isinstance(v, str), "text"),
    ("heads", lambda v: _is_row(v, lambda row: isinstance(row, (dict, Head))), "rows of classes, score, label, loss"),
    ("inputs", lambda v: _is_row(v, lambda row: isinstance(row, (dict, Input))), "rows of blob, kind, mean"),
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
    origin: str = ""  # where weights that were not trained here come from
    heads: tuple[Head, ...] = ()  # none: one, of `classes`, with blobs score, label, loss
    inputs: tuple[Input, ...] = ()  # none: the blob `data`, of colour, less `mean_bgr`

    def __post_init__(self) -> None:
        """Hold what JSON gives back as lists and dicts to rows, and refuse what cannot feed a net."""
        who = f"record of '{self.net}'"
        _check(self, who, _CHECKS)
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "mean_bgr", tuple(float(value) for value in self.mean_bgr))
        object.__setattr__(self, "heads", _rows(Head, self.heads, who) or (Head(self.classes),))
        object.__setattr__(self, "inputs", _rows(Input, self.inputs, who) or (Input(mean=self.mean_bgr),))
        if self.heads[0].classes != self.classes:
            raise NetError(f"{who}: classes ({len(self.classes)}) are not those of the first of heads "
                           f"({len(self.heads[0].classes)}); want the same names")


def _rows(kind: type, values: Any, who: str) -> tuple[Any, ...]:
    """Make rows of a record of dicts, as JSON has them; rows stay as they are."""
    try:
        return tuple(kind(**value) if isinstance(value, dict) else value for value in values)
    except TypeError as error:
        raise NetError(f"{who}: {kind.__name__.lower()}s: {error}; want {[f.name for f in fields(kind)]}") from error
    except NetError as error:
        raise NetError(f"{who}: {error}") from error


def heads_of(dataset: Any) -> tuple[Head, ...]:
    """Give the heads that a net of a data set (data.sets) has."""
    return tuple(Head(tuple(head.classes), f"score{head.suffix}", head.label, head.loss) for head in dataset.heads)


def inputs_of(blobs: Any, means: dict[str, tuple[float, ...]]) -> tuple[Input, ...]:
    """Give the inputs of a net.

    Args:
        blobs: (blob, kind) pairs, as nets.zoo.inputs gives them.
        means: by kind, as data.sets has them.
    """
    return tuple(Input(blob, kind, tuple(means[kind])) for blob, kind in blobs)


def record_path(weights: PathLike) -> Path:
    """Give the place of the record of these weights: the same name, ending in .json."""
    return Path(weights).with_suffix(".json")


def save_record(record: Record, weights: PathLike) -> Path:
    """Write the record beside `weights`; gives its path. Heads and inputs that follow from the rest are left out."""
    path, content = record_path(weights), asdict(record)
    plain = Record(**{**content, "heads": (), "inputs": ()})
    for key in ("heads", "inputs"):
        if getattr(record, key) == getattr(plain, key):
            del content[key]
    write_text(json.dumps(content, indent=2) + "\n", path)
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

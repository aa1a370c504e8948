"""Which images train and which validate: by given lists, or drawn with a seed.

In:   ids, the pixels of each class in each, lists of ids.
Out:  the ids of `train` and of `val`.
Not here: writing the lists (convert).   Source: ours.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from own import OwnError
from own.pairs import listed
from own.table import VOID

VAL_SHARE = 0.2
MOST_VAL = 500  # scoring more takes longer and says little more
_DRAWS = 50


def draw(ids: Sequence[str], counts: Dict[str, np.ndarray], seed: int) -> Dict[str, List[str]]:
    """Draw a fifth of the images for validation, so that as many classes as can be occur on both sides.

    Args:
        ids: at least two.
        counts: (256,) pixels of each class number, by id.
        seed: of the draws.
    """
    ids, size = sorted(ids), max(1, min(MOST_VAL, round(VAL_SHARE * len(ids))))
    present = {name: counts[name][:VOID] > 0 for name in ids}
    best: List[str] = []
    fewest = float("inf")
    for attempt in range(_DRAWS):
        order = list(ids)
        random.Random(f"{seed} {attempt}").shuffle(order)
        train = np.any([present[name] for name in order[size:]], axis=0)
        val = np.any([present[name] for name in order[:size]], axis=0)
        either = np.any([train, val], axis=0)
        missing = 1000 * int((either & ~train).sum()) + int((either & ~val).sum())
        if missing < fewest:
            best, fewest = order, missing
    return {"train": sorted(best[size:]), "val": sorted(best[:size])}


def given(ids: Sequence[str], train: Optional[Path], val: Optional[Path]) -> Dict[str, List[str]]:
    """Split by lists of ids, one a line; with one list alone, the other split is the rest.

    Raises:
        OwnError: a list is missing, empty, or names an id that is no pair.
    """
    lists = {name: _read(path, name, set(ids)) for name, path in (("train", train), ("val", val)) if path is not None}
    for name, other in (("train", "val"), ("val", "train")):
        if name not in lists:
            lists[name] = [one for one in sorted(ids) if one not in set(lists[other])]
            if not lists[name]:
                raise OwnError(f"--{other}-list '{train or val}' names all {len(ids)} pairs, so none is left for the "
                               f"other split; give --{name}-list, too, or a shorter list")
    return lists


def without(splits: Dict[str, List[str]], usable: Sequence[str]) -> Dict[str, List[str]]:
    """Take ids that cannot be used out of both splits.

    Raises:
        OwnError: nothing is left of a split.
    """
    kept = {split: [name for name in ids if name in set(usable)] for split, ids in splits.items()}
    for split, ids in kept.items():
        if not ids:
            raise OwnError(f"split '{split}': none of its {len(splits[split])} images can be used; see the findings")
    return kept


def _read(path: Path, split: str, known: set) -> List[str]:
    who = f"--{split}-list '{path}'"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise OwnError(f"{who}: {reason}; want one id (a file's name without its ending) a line") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise OwnError(f"{who}: empty; want one id (a file's name without its ending) a line")
    names = [name if name in known else Path(name).stem for name in names]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise OwnError(f"{who}: {len(unknown)} of {len(names)} ids have no pair of files: {listed(unknown)}; bring the "
                       "files, or take these lines out")
    return list(dict.fromkeys(names))

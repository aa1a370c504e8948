"""A split that several processes score together: each counts every so-manieth image, the first adds up.

In:   Tallies and boundary bands of a process, the ids it has walked.
Out:  what one process would have counted, number for number: counts are whole; losses go in the order of the ids.
Not here: how processes hand over values (ranks), counting (tally).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from scoring.tally import Tally

_NONE = object()


def to_plain(ids: Sequence[str], counted: Sequence[Tally], bands: Sequence[dict[int, np.ndarray]]) -> dict[str, Any]:
    """Give what one process has counted as JSON values; a Tally and bands (by width) a head."""
    heads = [{"hist": one.hist.tolist(), "losses": one.losses, "pixels": one.pixels, "unlabelled": one.unlabelled,
              "bands": {str(width): hist.tolist() for width, hist in of_one.items()}}
             for one, of_one in zip(counted, bands)]
    return {"ids": list(ids), "heads": heads}


def added(parts: Sequence[dict[str, Any]]) -> tuple[list[Tally], list[dict[int, np.ndarray]]]:
    """Add up what all processes have counted, given in the order of their ranks; Tallies and bands, one a head."""
    order = {name: place for place, name in enumerate(_in_turn([part["ids"] for part in parts]))}
    counted, bands = [], []
    for of_head in zip(*(part["heads"] for part in parts)):
        losses = _in_turn([one["losses"] for one in of_head])
        unlabelled = sorted(chain.from_iterable(one["unlabelled"] for one in of_head), key=order.__getitem__)
        hist = sum(np.array(one["hist"], np.int64) for one in of_head)
        counted.append(Tally(hist, losses=losses, images=len(losses), pixels=sum(one["pixels"] for one in of_head),
                             unlabelled=unlabelled))
        bands.append({int(width): sum(np.array(one["bands"][width], np.int64) for one in of_head)
                      for width in of_head[0]["bands"]})
    return counted, bands


def _in_turn(dealt: Sequence[Sequence[Any]]) -> list[Any]:
    """Put back in order what was dealt out in turn."""
    return [one for turn in zip_longest(*dealt, fillvalue=_NONE) for one in turn if one is not _NONE]

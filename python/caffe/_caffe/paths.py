"""Paths that scripts give.

In:   a string, bytes or an os.PathLike; who wants it.
Out:  the path as a string; a readable TypeError for anything else.
Not here: what is read or written there.
"""

from __future__ import annotations

import os
from typing import Any


def path_of(who: str, given: Any, what: str) -> str:
    """Return a path as a string.

    Args:
        who: the function that wants it, as a script calls it.
        given: what the script gave.
        what: what the path leads to.

    Raises:
        TypeError: it is not a path.
    """
    try:
        return os.fsdecode(given)
    except TypeError:
        raise TypeError(f"{who}: got {given!r} ({type(given).__name__}), want the path of {what}") from None

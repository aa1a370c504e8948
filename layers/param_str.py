"""Read a Python layer's param_str: the text of a dict, each key known and checked.

In:   the layer, its param_str, and the keys it takes.
Out:  a dict with every key, defaults filled in; DataLayerError otherwise.
Not here: what the keys mean.
Source: the FCN release's layers took eval(param_str); a literal is all that its nets ever held.
"""

from __future__ import annotations

import ast
import math
from typing import Any, Callable

REQUIRED = object()  # in place of a default
Check = tuple[Callable[[Any], bool], str]  # whether a value will do, and what would


class DataLayerError(ValueError):
    """A data layer cannot be set up, or one of its files cannot be used."""


class DataLayerWarning(UserWarning):
    """A file that is used, though probably not as meant."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, least: float) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


TEXT: Check = (lambda value: isinstance(value, str) and value != "", "a text")
FLAG: Check = (lambda value: isinstance(value, bool), "True or False")
FACTOR: Check = (lambda value: _is_number(value) and value != 0, "a number other than 0")
COUNT: Check = (lambda value: _is_whole(value, 1), "a whole number from 1 up")
PIXELS: Check = (lambda value: _is_whole(value, 0), "a whole number of pixels from 0 up")
SHARE: Check = (lambda value: _is_number(value) and 0 < value <= 1, "a number above 0, at most 1")
WINDOW: Check = (lambda value: value is None or (isinstance(value, (tuple, list)) and len(value) == 2
                                                 and all(_is_whole(side, 1) for side in value)),
                 "(height, width) in whole pixels from 1 up, or None")
SHARD: Check = (lambda value: value is None or (isinstance(value, (tuple, list)) and len(value) == 2
                                                and all(_is_whole(part, 0) for part in value) and value[0] < value[1]),
                "(number, of how many), the number from 0, or None")
START: Check = (lambda value: _is_whole(value, 0), "a whole number from 0 up")
SEED: Check = (lambda value: value is None or _is_whole(value, -math.inf), "a whole number or None")
CLASSES: Check = (lambda value: _is_whole(value, 1) and value <= 255, "a whole number from 1 to "
                                                                      "255")
MEAN: Check = (lambda value: isinstance(value, (tuple, list)) and len(value) == 3
               and all(map(_is_number, value)), "three numbers (blue, green, red)")


def one_of(*values: Any) -> Check:
    """Check that a value is one of these."""
    return lambda value: value in values, "one of " + ", ".join(map(repr, values))


def some_of(*values: str) -> Check:
    """Check that a value is a list of some of these texts, none twice."""
    def fits(value: Any) -> bool:
        return (isinstance(value, (tuple, list)) and len(value) > 0 and all(item in values for item in value)
                and len(set(value)) == len(value))
    return fits, "a list of some of " + ", ".join(map(repr, values)) + ", none twice"


def read_params(layer: object, param_str: str,
                keys: dict[str, tuple[Check, Any]]) -> dict[str, Any]:
    """Read `param_str` as a dict with the given keys.

    Args:
        layer: for its name and class in errors.
        param_str: text of a Python dict literal.
        keys: for each key its check and its default (REQUIRED: none).

    Returns:
        Every key of `keys` with its value.

    Raises:
        DataLayerError: no dict, unknown or missing keys, a value that will not do.
    """
    name = getattr(layer, "name", "")  # genuine Caffe tells a Python layer no name
    who = f"layer '{name}' ({type(layer).__name__})" if name else type(layer).__name__
    takes = "it takes " + ", ".join(
        f"{key} (required)" if default is REQUIRED else f"{key} (default {default!r})"
        for key, (_, default) in keys.items())
    try:
        given = ast.literal_eval(param_str.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise DataLayerError(f"{who}: param_str is {_short(param_str)}, which is no Python literal "
                             f"({error}); it wants the text of a dict; {takes}") from error
    if not isinstance(given, dict):
        raise DataLayerError(f"{who}: param_str is {_short(param_str)}, a {type(given).__name__}; "
                             f"it wants the text of a dict; {takes}")
    unknown = [key for key in given if key not in keys]
    missing = [key for key, (_, default) in keys.items()
               if default is REQUIRED and key not in given]
    for fault, found in (("unknown", unknown), ("missing", missing)):
        if found:
            raise DataLayerError(f"{who}: param_str has {fault} "
                                 f"{'keys' if len(found) > 1 else 'key'} "
                                 f"{', '.join(map(repr, found))}; {takes}")
    for key, value in given.items():
        fits, want = keys[key][0]
        if not fits(value):
            raise DataLayerError(f"{who}: param_str has {key} {value!r}; it wants {want}")
    return {key: given.get(key, default) for key, (_, default) in keys.items()}


def _short(text: str, most: int = 80) -> str:
    """Quote a text, cut where it is long."""
    return repr(text) if len(text) <= most else repr(text[:most]) + "..."

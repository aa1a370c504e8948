"""Errors inside layers, with the layer's name: a built-in layer never raises torch's or NumPy's own.

In:   a layer and what its setup, reshape, forward or backward raised.
Out:  the error to raise.   Not here: the checks of each layer (layers/), which come first and say more.
Errors of users' layers, in Python or of torch operations, pass through unchanged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import CaffeError, LayerError, NetError, OutOfMemory
from ..layer import Layer

_BUILT_IN = "caffe._caffe.layers."
_KINDS = (ArithmeticError, IndexError, MemoryError, RuntimeError, TypeError, ValueError)
_NO_MEMORY = ("can't allocate memory", "CUDA out of memory", "Storage size calculation overflowed",
              "Unable to allocate")


@contextlib.contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Make errors raised inside name the layer."""
    try:
        yield
    except Exception as problem:
        raise named(layer, problem)  # noqa: B904 - its cause is set


def named(layer: Layer, problem: Exception) -> Exception:
    """Return the error to raise for `problem`: unchanged if it already names the layer, or is a user's."""
    if isinstance(problem, OutOfMemory):
        error: Exception = OutOfMemory(_text(layer, problem))
    elif isinstance(problem, NetError):  # layers' own
        return problem
    elif isinstance(problem, CaffeError):  # a filler's
        error = LayerError(_text(layer, problem))
    elif not type(layer).__module__.startswith(_BUILT_IN) or not isinstance(problem, _KINDS):
        return problem
    elif isinstance(problem, MemoryError) or any(words in str(problem) for words in _NO_MEMORY):
        error = OutOfMemory(_text(layer, problem))
    else:
        error = LayerError(f"{_text(layer, problem)}; incompatible bottoms or parameters")
    error.__cause__ = problem
    return error


def _text(layer: Layer, problem: Exception) -> str:
    lines = str(problem).splitlines() or [type(problem).__name__]  # torch adds its frames
    return f"layer '{layer.name}' ({layer.type}): {lines[0][:1000]}"

"""Axes of blobs as layers count them.

In:   a layer (to name in errors), a blob, an axis that may count from the end.
Out:  the axis from 0 up; products of lengths.
Not here: shapes themselves (blob). Source: BVLC blob.hpp, CanonicalAxisIndex and count.
"""

from __future__ import annotations

from math import prod

from ...blob import Blob
from ...layer import Layer


def canonical_axis(layer: Layer, blob: Blob, axis: int) -> int:
    """Return the axis counted from 0, where a negative one counts from the end.

    Raises:
        LayerError: the blob has no such axis.
    """
    axes = len(blob.shape)
    if not -axes <= axis < axes:
        layer.fail(f"axis {axis} out of range for {axes}-D Blob with shape {blob.shape}; want {-axes} to {axes - 1}")
    return axis + axes if axis < 0 else axis


def count(shape: tuple[int, ...], start: int, end: int | None = None) -> int:
    """Return the product of the lengths of axes start to end (not with it; None: to the last)."""
    return prod(shape[start:end])


def sandwiched(layer: Layer, data: Blob, inner: tuple[int, ...], axis: int, what: str) -> tuple[int, int, int]:
    """Return how many values of `data` lie before, in and after the axes from `axis` on that `inner` stands for.

    Raises:
        LayerError: the lengths of these axes are others; names `what` has the shape `inner`.
    """
    shape = data.shape
    axis = canonical_axis(layer, data, axis) if inner else 0
    if shape[axis:axis + len(inner)] != inner:
        layer.fail(f"dimension mismatch: {what} of shape {inner} does not fit bottom[0] of shape {shape} "
                   f"from axis {axis}")
    return prod(shape[:axis]), prod(inner), prod(shape[axis + len(inner):])

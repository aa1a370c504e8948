"""Axes of blobs as layers count them.

In:   a layer (to name in errors), a blob, an axis that may count from the end.
Out:  the axis from 0 up; products of lengths; the shape in which a smaller blob meets a larger one.
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
    """Return the product of the lengths of axes start to end (excluded; None: to the last)."""
    return prod(shape[start:end])


def broadcast_shape(layer: Layer, data: Blob, inner: tuple[int, ...], axis: int, what: str) -> tuple[int, ...]:
    """Return the shape of `inner` with axes of length 1 around, as it meets the axes of `data` from `axis` on.

    Raises:
        LayerError: the lengths of these axes differ; it says that `what` has the shape `inner`.
    """
    shape = data.shape
    axis = canonical_axis(layer, data, axis) if inner else 0
    if shape[axis:axis + len(inner)] != inner:
        layer.fail(f"dimension mismatch: {what} of shape {inner} does not fit bottom[0] of shape {shape} "
                   f"from axis {axis}")
    return (1,) * axis + inner + (1,) * (len(shape) - axis - len(inner))

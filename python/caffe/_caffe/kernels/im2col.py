"""Windows of a blob as columns, over any number of spatial axes, and back.

In:   a tensor (N, C, spatial...), kernel, stride, pad and dilation, one number a spatial axis.
Out:  columns (N, C, kernel..., windows...); their sum back into (N, C, spatial...); settings of a window.
Not here: layers (layers/im2col.py, base_convolution.py). Source: BVLC im2col.cpp, im2col_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch

from ..layer import Layer

Numbers = Sequence[int]
INT_MAX = 2**31 - 1


def window(layer: Layer, axes: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Read kernel, stride, pad and dilation of a layer's convolution_param.

    Args:
        layer: names itself in errors.
        axes: number of spatial axes.

    Raises:
        LayerError: given in two ways, not often enough, or zero where that cannot be.
    """
    kernel = _lengths(layer, axes, "kernel_size", "kernel", None)
    stride = _lengths(layer, axes, "stride", "stride", 1)
    pad = _lengths(layer, axes, "pad", "pad", 0)
    dilation = _lengths(layer, axes, "dilation", None, 1)
    if 0 in kernel:
        layer.fail(f"Filter dimensions must be nonzero; got kernel {kernel}")
    if 0 in stride:
        layer.fail(f"Stride dimensions must be nonzero; got {stride}")
    if 0 in dilation:
        layer.fail(f"dilation must be nonzero; got {dilation}")
    check_int(layer, kernel, stride, pad, dilation)
    return kernel, stride, pad, dilation


def check_int(layer: Layer, *numbers: list[int]) -> None:
    """Refuse lengths that are no `int`, as Caffe keeps them; LayerError."""
    if most := [number for given in numbers for number in given if number > INT_MAX]:
        layer.fail(f"kernel, stride, pad and dilation want numbers up to {INT_MAX}; got {most[0]}")


def _lengths(layer: Layer, axes: int, once: str, per_side: str | None, default: int | None) -> list[int]:
    """Read a length per spatial axis: `once` repeated, or `per_side`_h and _w."""
    param = layer.layer_param.convolution_param
    given = list(getattr(param, once))
    if per_side and (param.HasField(f"{per_side}_h") or param.HasField(f"{per_side}_w")):
        if axes != 2:
            layer.fail(f"{per_side}_h & {per_side}_w can only be used for 2D convolution; got {axes} spatial axes")
        if given:
            layer.fail(f"Either {once} or {per_side}_h/w should be specified; not both")
        return [getattr(param, f"{per_side}_h"), getattr(param, f"{per_side}_w")]
    if not given and default is not None:
        return [default] * axes
    if len(given) not in (1, axes):
        layer.fail(f"{once} must be specified once, or once per spatial dimension "
                   f"({once} specified {len(given)} times; {axes} spatial dims)")
    return given * axes if len(given) == 1 else given


def window_count(length: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """Return how many windows fit along an axis, rounded down; 0 where the kernel does not fit."""
    room = length + 2 * pad - (dilation * (kernel - 1) + 1)
    return room // stride + 1 if room >= 0 else 0


def im2col(x: torch.Tensor, kernel: Numbers, stride: Numbers, pad: Numbers, dilation: Numbers) -> torch.Tensor:
    """Copy every window into a column: (N, C, spatial...) to (N, C, kernel..., windows...), zeros around."""
    padded = torch.nn.functional.pad(x, _border(pad))
    windows = _windows(x.shape[2:], kernel, stride, pad, dilation)
    columns = x.new_empty((*x.shape[:2], *kernel, *windows))
    for column, cells in _places(windows, kernel, stride, dilation):
        columns[column] = padded[cells]
    return columns


def col2im(columns: torch.Tensor, spatial: Numbers, kernel: Numbers, stride: Numbers, pad: Numbers,
           dilation: Numbers) -> torch.Tensor:
    """Add every column back to where it was taken from: (N, C, kernel..., windows...) to (N, C, spatial...)."""
    size = [length + 2 * border for length, border in zip(spatial, pad, strict=True)]
    padded = columns.new_zeros((*columns.shape[:2], *size))
    windows = _windows(spatial, kernel, stride, pad, dilation)
    for column, cells in _places(windows, kernel, stride, dilation):
        padded[cells] += columns[column]
    inside: Any = (..., *(slice(border, border + length) for length, border in zip(spatial, pad, strict=True)))
    return padded[inside]


def _windows(spatial: Numbers, kernel: Numbers, stride: Numbers, pad: Numbers, dilation: Numbers) -> list[int]:
    return [window_count(*numbers) for numbers in zip(spatial, kernel, stride, pad, dilation, strict=True)]


def _places(windows: Numbers, kernel: Numbers, stride: Numbers, dilation: Numbers) -> Iterator[tuple[Any, Any]]:
    """Yield, for each place in the kernel, where its values stand in the columns and in the padded blob."""
    everywhere = [slice(None)] * len(kernel)
    for place in product(*map(range, kernel)):
        cells = [slice(k * d, k * d + (n - 1) * s + 1, s)
                 for k, n, s, d in zip(place, windows, stride, dilation, strict=True)]
        yield (..., *place, *everywhere), (..., *cells)


def _border(pad: Numbers) -> list[int]:
    """Return the pads as torch's pad takes them: the last axis first, both sides."""
    return [side for border in reversed(pad) for side in (border, border)]

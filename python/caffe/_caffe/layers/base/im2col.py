"""Windows of a blob as columns, over any number of spatial axes, and back.

In:   a tensor (N, C, spatial...), kernel, stride, pad and dilation, one number per spatial axis.
Out:  columns (N, C, kernel..., windows...); their sum back into (N, C, spatial...).
Not here: layers, the settings of a window (window). Source: BVLC im2col.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch

Numbers = Sequence[int]


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
    """Yield, for each position in the kernel, where its values are in the columns and in the padded blob."""
    everywhere = [slice(None)] * len(kernel)
    for place in product(*map(range, kernel)):
        cells = [slice(k * d, k * d + (n - 1) * s + 1, s)
                 for k, n, s, d in zip(place, windows, stride, dilation, strict=True)]
        yield (..., *place, *everywhere), (..., *cells)


def _border(pad: Numbers) -> list[int]:
    """Return the pads as torch's pad takes them: the last axis first, both sides."""
    return [side for border in reversed(pad) for side in (border, border)]

"""Rows of a bottom among zeros, and rows of a top from the sums of its tiles.

In:   a part of a bottom (H, W, C) and how far zeros lie around it; sums of tiles, a bias.
Out:  what some rows of the top see; those rows, written where the caller wants them.
Not here: the arithmetic of tiles (tiles).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

Around = Sequence[tuple[int, int]]  # rows of zeros above and below, columns left and right


def seen_by(begin: int, x: torch.Tensor, around: Around, out: torch.Tensor) -> torch.Tensor:
    """Copy the rows of x (H, W, C) that the top from row `begin` on sees, into out (rows, columns, C), among zeros."""
    (above, _), (left, _) = around
    first, last = max(begin - above, 0), max(begin - above + out.shape[0], 0)
    seen = x[first:last, :out.shape[1] - left]
    row, column = first - (begin - above), left + seen.shape[1]
    inner = out[row:row + seen.shape[0]]
    for zeros in (out[:row], out[row + seen.shape[0]:], inner[:, :left], inner[:, column:]):
        zeros.zero_()
    inner[:, left:column].copy_(seen)
    return out


def finish(sums: torch.Tensor, bias: torch.Tensor | None, relu: bool, free: torch.Tensor, out: torch.Tensor) -> None:
    """Write sums (rows, rows of a tile, tiles, columns of a tile, C), and the bias, into out (rows, columns, C)."""
    rows, tall, tiles, wide, c = sums.shape
    top = free[:sums.numel()].view(sums.shape)
    torch.add(sums, 0 if bias is None else bias, out=top)
    top = top.view(rows * tall, tiles * wide, c)[:out.shape[0], :out.shape[1]]
    if relu:
        torch.clamp_min(top, 0, out=out)
    else:
        out.copy_(top)

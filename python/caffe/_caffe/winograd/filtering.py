"""What tiles and strips have in common: a convolution, a block of rows after another.

In:   a part of a bottom (N, C, H, W) and how far zeros lie around it; a bias.
Out:  the convolution, written where the caller wants it.
Not here: the arithmetic of a block (tiles, strips), the transforms (cook_toom).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

Around = Sequence[tuple[int, int]]  # rows of zeros above and below, columns left and right
_of_this_thread = threading.local()


def room(use: str, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Give memory for so many values, a thread's own, the same for each use. Fresh pages cost more than filling."""
    rooms, size = _of_this_thread.__dict__, size * dtype.itemsize
    kept = rooms.get(use)
    if kept is None or kept.numel() < size:
        kept = rooms[use] = torch.empty(-(-size // 8) * 8, dtype=torch.uint8)
    return kept.view(dtype)


class Filtering:
    """A weight, ready for one way to convolve without stride, dilation and groups."""

    def __init__(self, channels: int, num_output: int, dtype: torch.dtype) -> None:
        self._channels, self._num_output, self._dtype = channels, num_output, dtype

    def pays(self, out_height: int, out_width: int) -> bool:
        """Tell whether a top of this size takes less time so than as it is."""
        return True

    def convolve(self, x: torch.Tensor, around: Around, bias: torch.Tensor | None, relu: bool,
                 out: torch.Tensor) -> None:
        """Write the convolution into `out`.

        Args:
            x: (N, C, H, W), of any strides; fast with channels last.
            around: how far zeros lie around x.
            bias: (num_output,).
            relu: whether what is negative becomes 0.
            out: (N, num_output, H + rows - kh + 1, W + columns - kw + 1), channels last.
        """
        step = self._rows(out.shape[3])
        for item, top in zip(x.permute(0, 2, 3, 1), out.permute(0, 2, 3, 1), strict=True):
            for begin in range(0, top.shape[0], step):
                self._block(item, around, bias, relu, begin, top[begin:begin + step])

    def _rows(self, out_width: int) -> int:
        """How many rows of the top make a block."""
        raise NotImplementedError

    def _block(self, x: torch.Tensor, around: Around, bias: torch.Tensor | None, relu: bool, begin: int,
               out: torch.Tensor) -> None:
        """Compute rows of the top from `begin` on. Here x is (H, W, C), and out (rows, W, num_output)."""
        raise NotImplementedError

    def _two_rooms(self, size: int) -> list[torch.Tensor]:
        """Give memory for a block: its steps read the one and write the other in turn."""
        return [room(use, size, self._dtype) for use in ("odd", "even")]


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

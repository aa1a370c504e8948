"""3 x 3 convolutions of layers that learn, by tiles: the weight changes from pass to pass, and has a gradient.

In:   tensors (N, C, H, W) on the CPU, float32, with channels last; a weight (num_output, C, 3, 3); a Window.
Out:  the convolution, its data gradient, written where they are wanted; its weight gradient, added where it belongs.
Not here: the arithmetic of a block (tiles), bf16, which layers run this way.
Source: tiles. The weight gradient is the same sum read from the other side: products of what a tile sees with what it
makes, at each point, summed over tiles, and transformed back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..products import Window
from .filtering import room, seen_by
from .tiles import LEAST, TILE, Tiled, at_points, matrices, tiles_of, values_at_points
from .tiles import serves as tiles_serve

FEW = 1024  # places of a top, below which transforming the weight takes longer than the products saved
NOTHING = ((0, 0), (0, 0))
_TILE = TILE[torch.float32]


def serves(window: Window, weight: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> bool:
    """Tell whether a convolution, or its gradients, can run so, and pay; y: the top or its gradient."""
    places = y.shape[2] * y.shape[3]
    return (places >= FEW and weight.numel() * places >= 9 * LEAST and tiles_serve(weight, torch.float32)
            and [*window.stride, *window.dilation, window.group] == [1] * 5 and max(window.pad) <= 2
            and weight.is_contiguous() and all(
                tensor.dtype == torch.float32 and tensor.is_contiguous(memory_format=torch.channels_last)
                for tensor in (x, y)))


def beats_bf16(weight: torch.Tensor, y: torch.Tensor) -> bool:
    """Tell whether it also takes less time than the direct sum in bf16, whose inputs and outputs must be copied."""
    return min(weight.shape[:2]) >= 256 and y.shape[2] * y.shape[3] >= 4 * FEW


def convolve(window: Window, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
             out: torch.Tensor) -> None:
    """Write the convolution of x into `out`."""
    by_point = _at_points(weight)
    Tiled(by_point.transpose(1, 2)).convolve(x, _zeros(window.pad), bias, False, out)


def data_gradient(window: Window, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """Write the gradient of x into `out`: the convolution of dy with the flipped weight."""
    by_point = _at_points(weight, flipped=True)
    Tiled(by_point).convolve(dy, _zeros([2 - pad for pad in window.pad]), None, False, out)


def add_weight_gradient(window: Window, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> None:
    """Add the gradient of the weight to `out`."""
    k, c = out.shape[:2]
    to_weight, _, to_top = matrices(_TILE, torch.float32)
    at_each = room("weight", len(to_weight) * k * c, torch.float32)[:len(to_weight) * k * c].view(-1, k, c).zero_()
    across = tiles_of(dy.shape[3], _TILE)
    down = -(-max(4096, 16 * c) // (_TILE**2 * across))  # of tiles at a time
    for item, made in zip(x.permute(0, 2, 3, 1), dy.permute(0, 2, 3, 1), strict=True):
        for begin in range(0, made.shape[0], _TILE * down):
            rows = min(down, tiles_of(made.shape[0] - begin, _TILE))
            size = (_TILE + 2)**2 * rows * across * max(c, k)
            odd, even, third = (room(use, size, torch.float32) for use in ("odd", "even", "third"))
            values = values_at_points(item, _zeros(window.pad), begin, _TILE, rows, across, odd, even)
            products = _from_top(made, begin, rows, across, to_top, odd, third)
            at_each.baddbmm_(products.permute(1, 2, 0), values.transpose(0, 1))
    out.view(-1, 9).addmm_(at_each.view(len(to_weight), -1).t(), to_weight)


def _from_top(dy: torch.Tensor, begin: int, down: int, across: int, to_top: torch.Tensor, odd: torch.Tensor,
              third: torch.Tensor) -> torch.Tensor:
    """Transform tiles of dy (H, W, K) from row `begin` on back to the points: (tiles, points, K), in `third`."""
    k, height, width, n = dy.shape[2], _TILE * down, _TILE * across, down * across
    whole = seen_by(begin, dy, NOTHING, third[:height * width * k].view(height, width, k))
    tiles = odd[:whole.numel()].view(down, across, _TILE, _TILE, k)
    tiles.copy_(whole.view(down, _TILE, across, _TILE, k).transpose(1, 2))
    made = third[:n * to_top.shape[1] * k].view(n, -1, k)
    return torch.bmm(to_top.t().expand(n, -1, -1), tiles.view(n, -1, k), out=made)


def _at_points(weight: torch.Tensor, flipped: bool = False) -> torch.Tensor:
    size = (_TILE + 2)**2 * weight.numel() // 9
    out = room("weight", size, torch.float32)[:size].view((_TILE + 2)**2, -1)
    return at_points(weight, torch.float32, flipped, out)


def _zeros(pad: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((p, p) for p in pad)

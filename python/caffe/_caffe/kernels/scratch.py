"""Memory that is kept from one use to the next: a thread's own, one piece a use, as large as the largest so far.

In:   a use, a size, a type.
Out:  a tensor of any content; good until the next one of the same use.
Not here: what is done in it (bf16, winograd).
Why: fresh pages cost more than filling them: 411 MB of weights take 104 ms to copy to a new place, 17 to an old one.
"""

from __future__ import annotations

import threading

import torch

from .. import common

_of_this_thread = threading.local()


def room(use: str, size: int, dtype: torch.dtype) -> torch.Tensor:
    """Give memory for `size` values."""
    rooms = _of_this_thread.__dict__
    kept, need = rooms.get(use), size * dtype.itemsize
    if kept is None or kept.numel() < need:
        kept = rooms[use] = torch.empty(-(-need // 8) * 8, dtype=torch.uint8)
    return kept[:need].view(dtype)


def forget() -> None:
    """Give this thread's memory back."""
    _of_this_thread.__dict__.clear()


common.on_precision_change(forget)

"""Copies from the host to a card, on a stream of their own: an image is copied while the step before it computes.

In:   host tensors, pinned if they are to be copied without waiting; the device buffer that they are for.
Out:  the buffer filled, for what the compute stream is given from now on; an event after which the host may write.
Not here: which side is newest (syncedmem), who reads ahead (prefetch).
How: the copy stream fills a fresh tensor out of its own part of torch's caching allocator, so it waits for nothing; the
compute stream waits for the copy's event and takes the values over, a copy within the card. So the buffer keeps its
address. `record_stream` keeps the fresh tensor's memory from the next copy until the compute stream is done with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from . import common

LARGE = 1 << 14  # values; fewer go on the compute stream

_streams: dict[torch.device, torch.cuda.Stream] = {}


def start(values: torch.Tensor, buffer: torch.Tensor) -> torch.cuda.Event | None:
    """Start copying host values into a device buffer of their shape.

    Returns:
        On a card an event: `values` may be overwritten after it. None elsewhere: the copy is done.
    """
    if not on_card(buffer.device):
        buffer.copy_(values)
        return None
    compute = torch.cuda.current_stream(buffer.device)
    if values.numel() < LARGE:
        buffer.copy_(values, non_blocking=True)
        return compute.record_event()
    with torch.cuda.stream(copies := _copy_stream(buffer.device)):
        fresh = torch.empty_like(buffer)
        fresh.copy_(values, non_blocking=True)
        copied = copies.record_event()
    compute.wait_event(copied)
    buffer.copy_(fresh, non_blocking=True)
    fresh.record_stream(compute)
    return copied


def room(shape: Sequence[int]) -> torch.Tensor:
    """Return host memory to fill; where layers compute on a card, it is pinned and not reused before it is copied.

    Torch's pinned allocator keeps freed blocks, and hands one out again once the copies from it are over.
    """
    return torch.empty(tuple(shape), dtype=torch.float32, pin_memory=on_card(common.device()))


def on_card(device: torch.device) -> bool:
    """Return whether copies to this device can run alongside other work."""
    return device.type == "cuda"


def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]

"""One buffer of float32, on the host and on a device, and which of the two is newest.

In:   the number of values.
Out:  flat tensors to read, overwrite or edit, on the device where layers compute, or on the host.
Not here: shapes (blob). Source: BVLC syncedmem.cpp.
The host buffer never moves, so a NumPy view taken once stays live; the device buffer may.
On the CPU, values between layers may stand with channels last ("pixels"), which its kernels run faster on, for as
long as nobody outside the layers has looked; whoever asks for the host tensor gets Caffe's order, from then on always.
"""

from __future__ import annotations

import torch

from . import common

UNINITIALIZED, AT_HOST, AT_DEVICE, SYNCED, AT_PIXELS = range(5)


class SyncedMemory:
    """Lazily allocated, zero-filled values on host and device."""

    __slots__ = ("count", "head", "may_be_pixels", "_host", "_device", "_upload", "_pixels", "_views")

    def __init__(self, count: int, may_be_pixels: bool = False) -> None:
        self.count = count
        self.head = UNINITIALIZED
        self.may_be_pixels = may_be_pixels
        self._pixels: torch.Tensor | None = None  # the latest view, (N, C, H, W) with channels last
        self._views: dict[tuple[int, ...], torch.Tensor] = {}  # by shape, all on one buffer
        self._host: torch.Tensor | None = None
        self._device: torch.Tensor | None = None
        self._upload: torch.cuda.Event | None = None  # of a copy to the device that may still run

    def host(self) -> torch.Tensor:
        """Return the flat host tensor for reading and writing; it counts as newest from now on."""
        self.keep_order()
        if self.head == AT_DEVICE:
            self._host_buffer().copy_(self._device)  # type: ignore[arg-type]
        if self._upload is not None:  # whoever writes here now must not be ahead of the copy
            self._upload.synchronize()
            self._upload = None
        self.head = AT_HOST
        return self._host_buffer()

    def read(self) -> torch.Tensor:
        """Return the flat tensor on the compute device, up to date, for reading."""
        self._leave_pixels()
        device = common.device()
        if device is common.CPU:
            if self.head == AT_DEVICE:
                self._host_buffer().copy_(self._device)  # type: ignore[arg-type]
                self.head = SYNCED
            return self._host if self._host is not None else self._host_buffer()
        buffer = self._device_buffer(device)
        if self.head == AT_HOST:
            buffer.copy_(self._host_buffer(), non_blocking=True)
            if device.type == "cuda":
                self._upload = torch.cuda.Event()
                self._upload.record()
            self.head = SYNCED
        elif self.head == UNINITIALIZED:
            buffer.zero_()
            self.head = AT_DEVICE
        return buffer

    def edit(self) -> torch.Tensor:
        """Return the flat tensor on the compute device, up to date, for reading and writing."""
        buffer = self.read()
        self.head = AT_HOST if common.device() is common.CPU else AT_DEVICE
        return buffer

    def write(self) -> torch.Tensor:
        """Return the flat tensor on the compute device to be overwritten whole; old values are not brought."""
        device = common.device()
        if device is common.CPU:
            self.head = AT_HOST
            return self._host if self._host is not None else self._host_buffer()
        buffer = self._device_buffer(device)
        self.head = AT_DEVICE
        return buffer

    def pixels(self, shape: tuple[int, ...]) -> torch.Tensor | None:
        """Return the values with channels last if that is how they stand and this their shape (N, C, H, W)."""
        if self.head == AT_PIXELS and self._pixels.shape == shape:  # type: ignore[union-attr]
            return self._pixels
        return None

    def write_pixels(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return a tensor (N, C, H, W) with channels last, on the CPU, to be overwritten whole."""
        view = self._views.get(shape)
        if view is None:
            if len(self._views) > 15:
                self._views.clear()
            buffer = next(iter(self._views.values()))._base if self._views else torch.empty(self.count)
            n, c, h, w = shape
            assert buffer is not None
            view = self._views[shape] = buffer[: n * c * h * w].view(n, h, w, c).permute(0, 3, 1, 2)
        self._pixels, self.head = view, AT_PIXELS
        return view

    def keep_order(self) -> None:
        """Let values stand in Caffe's order from now on."""
        self._leave_pixels()
        if self.may_be_pixels:
            self.may_be_pixels, self._pixels = False, None
            self._views.clear()

    def _leave_pixels(self) -> None:
        """Bring values that stand with channels last into the host buffer."""
        if self.head == AT_PIXELS:
            values = self._pixels
            assert values is not None
            self._host_buffer()[: values.numel()].view(values.shape).copy_(values)
            self.head = AT_HOST

    def _host_buffer(self) -> torch.Tensor:
        if self._host is None:
            pin = common.device().type == "cuda"
            self._host = torch.zeros(self.count, dtype=torch.float32, pin_memory=pin)
        return self._host

    def _device_buffer(self, device: torch.device) -> torch.Tensor:
        if self._device is None or self._device.device != device:
            if self._device is not None and self.head == AT_DEVICE:
                self._host_buffer().copy_(self._device)  # type: ignore[arg-type]
                self.head = AT_HOST
            self._device = torch.zeros(self.count, dtype=torch.float32, device=device)
            if self.head == SYNCED:
                self.head = AT_HOST
        return self._device

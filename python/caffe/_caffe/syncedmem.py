"""One buffer of float32, on the host and on a device, and which of the two is newest.

In:   the number of values.
Out:  flat tensors to read, overwrite or edit, on the device where layers compute, or on the host.
Not here: shapes (blob). Source: BVLC syncedmem.cpp.
The host buffer never moves, so a NumPy view taken once stays live; the device buffer may.
"""

from __future__ import annotations

import torch

from . import common

UNINITIALIZED, AT_HOST, AT_DEVICE, SYNCED = range(4)


class SyncedMemory:
    """Lazily allocated, zero-filled values on host and device."""

    __slots__ = ("count", "head", "_host", "_device", "_upload")

    def __init__(self, count: int) -> None:
        self.count = count
        self.head = UNINITIALIZED
        self._host: torch.Tensor | None = None
        self._device: torch.Tensor | None = None
        self._upload: torch.cuda.Event | None = None  # of a copy to the device that may still run

    def host(self) -> torch.Tensor:
        """Return the flat host tensor for reading and writing; it counts as newest from now on."""
        if self.head == AT_DEVICE:
            self._host_buffer().copy_(self._device)  # type: ignore[arg-type]
        if self._upload is not None:  # whoever writes here now must not be ahead of the copy
            self._upload.synchronize()
            self._upload = None
        self.head = AT_HOST
        return self._host_buffer()

    def read(self) -> torch.Tensor:
        """Return the flat tensor on the compute device, up to date, for reading."""
        device = common.device()
        if device is common.CPU:
            if self.head == AT_DEVICE:
                self._host_buffer().copy_(self._device)  # type: ignore[arg-type]
                self.head = SYNCED
            return self._host if self._host is not None else self._host_buffer()
        buffer = self._device_buffer(device)
        if self.head == AT_HOST:
            buffer.copy_(self._host_buffer(), non_blocking=True)
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

    def _host_buffer(self) -> torch.Tensor:
        if self._host is None:
            pin = common.device() is not common.CPU
            self._host = torch.zeros(self.count, dtype=torch.float32, pin_memory=pin)
        return self._host

    def _device_buffer(self, device: torch.device) -> torch.Tensor:
        if self._device is None or self._device.device != device:
            if self._device is not None and self.head == AT_DEVICE:
                self._host_buffer().copy_(self._device)  # type: ignore[arg-type]
                self.head = AT_HOST
            self._device = torch.empty(self.count, dtype=torch.float32, device=device)
            if self.head == SYNCED:
                self.head = AT_HOST
        return self._device

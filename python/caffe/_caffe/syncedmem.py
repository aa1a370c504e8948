"""One buffer of float32, on the host and on a device, and which of the two is newest.

In:   the number of values.
Out:  flat tensors to read, overwrite or edit, on the device where layers compute, or on the host.
Not here: shapes (blob). Source: BVLC syncedmem.cpp.
The host buffer never moves, so a NumPy view taken once stays live; the device buffer may.
On the CPU, values between layers may be stored channels last ("pixels"), on which its kernels run faster, for as
long as nobody outside the layers has looked; once somebody asks for the host tensor, they stay in Caffe's order.
A plan may leave values out; they are computed when somebody asks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from . import common, uploads

UNINITIALIZED, AT_HOST, AT_DEVICE, SYNCED, AT_PIXELS, LEFT_OUT = range(6)


class Observer(Protocol):
    """Somebody to be told before values change."""

    def before_change(self, memory: SyncedMemory) -> None:
        """Do what must be done with the values before they change."""


class SyncedMemory:
    """Lazily allocated, zero-filled values on host and device."""

    __slots__ = ("count", "head", "may_be_pixels", "_host", "_device", "_upload", "_pixels", "_views", "version",
                 "lookers", "_fill", "_observers", "_watchers", "is_held", "_loaded", "__weakref__")

    def __init__(self, count: int, may_be_pixels: bool = False) -> None:
        self.count = count
        self.head = UNINITIALIZED
        self.may_be_pixels = may_be_pixels
        self._pixels: torch.Tensor | None = None  # the latest view, (N, C, H, W) with channels last
        self._views: dict[tuple[int, ...], torch.Tensor] = {}  # by shape, all on one buffer
        self._host: torch.Tensor | None = None
        self._device: torch.Tensor | None = None
        self._upload: torch.cuda.Event | None = None  # of a copy to the device that may still be running
        self.version = 0  # grows whenever values may be written
        self.lookers: set[SyncedMemory] | None = None  # this memory is added when a script asks for its values
        self._fill: Callable[[], None] | None = None  # computes values that were left out
        self._observers: tuple[weakref.ref[Observer], ...] = ()
        self._watchers: list[weakref.ref[np.ndarray]] | tuple[()] = ()  # views that scripts were given
        self.is_held = False  # a script has a tensor
        self._loaded: tuple[int, torch.Tensor] | None = None  # host values that made this version

    # -- who looks -----------------------------------------------------------------------------

    def watched_by(self, view: np.ndarray) -> np.ndarray:
        """Note a view that is handed to a script; slices of it keep it alive."""
        if not self._watchers:
            self._watchers = []
        elif self._watchers[-1]() is None:
            self._watchers.pop()
        self._watchers.append(weakref.ref(view))
        return view

    def hold(self) -> None:
        """Note that a script has a tensor of the values, for good."""
        self.is_held = True
        if self.lookers is not None:
            self.lookers.add(self)

    def is_watched(self) -> bool:
        """Return whether a script still holds a view, through which it may read and write unseen."""
        if self._watchers:
            self._watchers = [view for view in self._watchers if view() is not None]
        return self.is_held or bool(self._watchers)

    def leave_out(self, fill: Callable[[], None]) -> None:
        """Hold no values until somebody asks; then `fill` computes them."""
        self._fill, self.head = fill, LEFT_OUT

    def is_left_out(self) -> bool:
        """Return whether values are still to be computed."""
        return self.head == LEFT_OUT

    def add_observer(self, observer: Observer) -> None:
        """Notify an observer, which is not kept alive, before values are written or handed out for writing."""
        self._observers += (weakref.ref(observer),)

    def forget_observer(self, observer: Observer) -> None:
        """Stop notifying an observer."""
        self._observers = tuple(ref for ref in self._observers if ref() not in (None, observer))

    def _may_change(self) -> None:
        self.version += 1
        for ref in self._observers:
            observer = ref()
            if observer is not None:
                observer.before_change(self)

    # -- values --------------------------------------------------------------------------------

    def host(self) -> torch.Tensor:
        """Return the flat host tensor for reading and writing; it counts as newest from now on."""
        self.keep_order()
        self._may_change()
        if self.lookers is not None:
            self.lookers.add(self)
        if self.head == AT_DEVICE:
            self._host_buffer().copy_(self._device)  # type: ignore[arg-type]
        self._await_upload()
        self.head = AT_HOST
        return self._host_buffer()

    def _await_upload(self) -> None:
        """Wait for a copy from the host buffer, before anybody writes to it."""
        if self._upload is not None:
            self._upload.synchronize()
            self._upload = None

    def load(self, values: torch.Tensor) -> None:
        """Overwrite the first values on the device with flat ones of the host, without waiting if those are pinned."""
        self._may_change()
        values = values.to(torch.float32)
        if len(values) < uploads.LARGE:  # via the host, where they may be looked at
            self._await_upload()
            self._host_buffer()[:len(values)].copy_(values)
            self.head = AT_HOST
        else:
            uploads.start(values, self._device_buffer(common.device())[:len(values)])
            self.head, self._loaded = AT_DEVICE, (self.version, values)

    def host_values(self) -> torch.Tensor | None:
        """Return flat values on the host, for reading, if they equal the device's; none are fetched."""
        if self.head in (AT_HOST, SYNCED):
            return self._host
        return self._loaded[1] if self._loaded is not None and self._loaded[0] == self.version else None

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
            self._upload = uploads.start(self._host_buffer(), buffer)
            self.head = SYNCED
        elif self.head == UNINITIALIZED:
            buffer.zero_()
            self.head = AT_DEVICE
        return buffer

    def edit(self) -> torch.Tensor:
        """Return the flat tensor on the compute device, up to date, for reading and writing."""
        buffer = self.read()
        self._may_change()
        self.head = AT_HOST if common.device() is common.CPU else AT_DEVICE
        return buffer

    def write(self) -> torch.Tensor:
        """Return the flat tensor on the compute device to be overwritten completely; old values are not fetched."""
        device = common.device()
        self._may_change()
        if device is common.CPU:
            self.head = AT_HOST
            return self._host if self._host is not None else self._host_buffer()
        buffer = self._device_buffer(device)
        self.head = AT_DEVICE
        return buffer

    def pixels(self, shape: tuple[int, ...]) -> torch.Tensor | None:
        """Return the values channels last if they are stored that way and this is their shape (N, C, H, W)."""
        if self.head == AT_PIXELS and self._pixels.shape == shape:  # type: ignore[union-attr]
            return self._pixels
        return None

    def write_pixels(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return a tensor (N, C, H, W) with channels last, on the CPU, to be overwritten completely."""
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
        """Keep values in Caffe's order from now on."""
        self._leave_pixels()
        if self.may_be_pixels:
            self.may_be_pixels, self._pixels = False, None
            self._views.clear()

    def _leave_pixels(self) -> None:
        """Bring values that are stored channels last, or were left out, into the host buffer."""
        if self.head == LEFT_OUT:
            assert self._fill is not None
            self._fill()
        if self.head == AT_PIXELS:
            values = self._pixels
            assert values is not None
            self._host_buffer()[: values.numel()].view(values.shape).copy_(values)
            self.head = AT_HOST

    def _host_buffer(self) -> torch.Tensor:
        if self._host is None:
            pin = uploads.on_card(common.device())
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

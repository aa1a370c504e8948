"""Blob: an array with a shape, its values (data) and their gradient (diff).

In:   a shape; later shapes by `reshape`.
Out:  `.data`/`.diff` as live NumPy views for users; read_/write_/edit_ tensors for layers; shape_version.
Not here: files (caffemodel), which side of memory is newest (syncedmem).
Source: BVLC blob.cpp.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from . import common, memory
from .errors import NetError
from .syncedmem import AT_PIXELS, UNINITIALIZED, SyncedMemory

MAX_AXES = 32  # Caffe: kMaxBlobAxes. blob.hpp
_changes = itertools.count(1)  # next() is atomic across threads, "+= 1" is not
_shape_version = 0


def shape_version() -> int:
    """Return a number that changes whenever any blob of the process takes another shape or another memory.

    While it stays the same, every blob has the shape it had and shares with the same blobs, so that layers
    reshaped since then need no reshape.
    """
    return _shape_version


def _note_change() -> None:
    global _shape_version
    _shape_version = next(_changes)


# DEVIATION D6: scripts may build blobs, shapes are tuples, reshape takes NumPy's integers.
class Blob:
    """An n-dimensional float32 array and its gradient, on host and device."""

    def __init__(self, *dims: int) -> None:
        self._shape: tuple[int, ...] = ()
        self.count = 0
        self._capacity = -1
        self._may_be_pixels = False
        self._data: SyncedMemory = None  # type: ignore[assignment]  # reshape below fills both
        self._diff: SyncedMemory = None  # type: ignore[assignment]
        self._views: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # flat -> (flat, shaped)
        self.reshape(*dims)

    # -- shape ---------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._shape

    def reshape(self, *dims: int) -> None:
        """Change the shape; memory is kept if it is large enough, otherwise new, zeroed memory is allocated.

        Args:
            *dims: lengths >= 0, one per axis; none makes a scalar.

        Raises:
            NetError: a negative length, or more than 32 axes. OutOfMemory: it cannot be allocated.
            TypeError: a length that is not an integer.
        """
        try:
            shape = tuple(map(operator.index, dims))
        except TypeError:
            raise TypeError(f"Blob.reshape: got {', '.join(map(repr, dims))}, want integers: "
                            f"blob.reshape(1, 3, 224, 224), or blob.reshape(*shape)") from None
        self._take_shape(shape)

    def reshape_like(self, other: Blob) -> None:
        """Take the shape of another blob."""
        self._take_shape(other._shape)

    def _take_shape(self, shape: tuple[int, ...]) -> None:
        if shape == self._shape and self._capacity >= 0:
            return
        if len(shape) > MAX_AXES:
            raise NetError(f"Blob.reshape: got {len(shape)} axes, want {MAX_AXES} at most")
        count = 1
        for length in shape:
            if length < 0:
                raise NetError(f"Blob.reshape: got {shape}, want lengths >= 0")
            count *= length
        if count > memory.LARGE and count > self._capacity:
            memory.check(shape, count)
        self._shape, self.count = shape, count
        self._views.clear()
        if count > self._capacity:
            self._capacity = count
            self._data = SyncedMemory(count, self._may_be_pixels)
            self._diff = SyncedMemory(count, self._may_be_pixels)
        _note_change()

    @property
    def num(self) -> int:
        """Length of axis 0 (legacy; 1 where there is none)."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """Length of axis 1 (legacy; 1 where there is none)."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """Length of axis 2 (legacy; 1 where there is none)."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """Length of axis 3 (legacy; 1 where there is none)."""
        return self._legacy(3)

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            raise NetError(f"Cannot use legacy accessors on Blobs with > 4 axes; got shape {self._shape}, use .shape")
        return self._shape[axis] if axis < len(self._shape) else 1

    # -- values for users ----------------------------------------------------------------------

    @property
    def data(self) -> np.ndarray:
        """Values: a live, writable float32 view of this shape; no copy."""
        return self._data.watched_by(self._shaped(self._data.host()).numpy())

    @property
    def diff(self) -> np.ndarray:
        """Gradient: a live, writable float32 view of this shape; no copy."""
        return self._shaped(self._diff.host()).numpy()

    def fill_data(self, value: float) -> None:
        """Set all values, on the host; those of memory that nobody touched are 0 already."""
        if value or math.copysign(1, value) < 0 or self._data.head != UNINITIALIZED:
            self._whole(self._data.host()).fill_(value)

    @property
    def tensor(self) -> torch.Tensor:
        """Values as a contiguous torch tensor on the compute device; no copy."""
        self._data.keep_order()
        self._data.hold()
        return self._shaped(self._data.edit())

    @property
    def grad_tensor(self) -> torch.Tensor:
        """Gradient as a contiguous torch tensor on the compute device; no copy."""
        self._diff.keep_order()
        return self._shaped(self._diff.edit())

    # -- values for layers ---------------------------------------------------------------------

    def read_data(self) -> torch.Tensor:
        """Values on the compute device, to read."""
        return self._read(self._data)

    def write_data(self) -> torch.Tensor:
        """Values on the compute device, to overwrite completely."""
        return self._write(self._data)

    def edit_data(self) -> torch.Tensor:
        """Values on the compute device, to read and write."""
        return self._edit(self._data)

    def host_data(self) -> torch.Tensor | None:
        """Host copy of the values, to read, if a device computes and the copy is current; otherwise None."""
        flat = None if common.device() is common.CPU else self._data.host_values()
        return None if flat is None else flat[:self.count].view(self._shape)

    def load_data(self, values: torch.Tensor) -> None:
        """Overwrite the values with a contiguous host tensor of this shape that nobody writes to any more."""
        if common.device() is common.CPU:
            self.write_data().copy_(values)
        else:
            self._data.load(values.view(-1))

    def read_diff(self) -> torch.Tensor:
        """Gradient on the compute device, to read."""
        return self._read(self._diff)

    def write_diff(self) -> torch.Tensor:
        """Gradient on the compute device, to overwrite completely."""
        return self._write(self._diff)

    def edit_diff(self) -> torch.Tensor:
        """Gradient on the compute device, to read and write."""
        return self._edit(self._diff)

    def read_data_as(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Values from the start of the memory, in a shape other than the blob's, to read."""
        return self.read_data() if shape == self._shape else self._seen_as(self._data.read(), shape)

    def edit_data_as(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Values from the start of the memory, in a shape other than the blob's, to read and write."""
        return self.edit_data() if shape == self._shape else self._seen_as(self._data.edit(), shape)

    def edit_diff_as(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Gradient from the start of the memory, in a shape other than the blob's, to read and write."""
        return self.edit_diff() if shape == self._shape else self._seen_as(self._diff.edit(), shape)

    def _seen_as(self, flat: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        count = math.prod(shape)
        if count > len(flat):  # DEVIATION D41: Caffe reads and writes beyond the memory here.
            raise NetError(f"its memory holds {len(flat)} values, {shape} takes {count}; give the layer a blob of that "
                           "size, or write the values into its own: blob.data[...] = array")
        return flat[:count].view(shape)

    def allow_channels_last(self) -> None:
        """Allow values to be stored channels last on the CPU: all layers at this blob take any strides."""
        self._may_be_pixels = True
        for values in (self._data, self._diff):
            values.may_be_pixels = values.head == UNINITIALIZED

    # The memory may also be another blob's (Split), whose layers take any strides while this one's do not.
    def _read(self, memory: SyncedMemory) -> torch.Tensor:
        if memory.head == AT_PIXELS and self._may_be_pixels:
            view = memory.pixels(self._shape)
            if view is not None and common.device() is common.CPU:
                return view
        return self._shaped(memory.read())

    def _write(self, memory: SyncedMemory) -> torch.Tensor:
        if (self._may_be_pixels and memory.may_be_pixels and len(self._shape) == 4
                and common.device() is common.CPU):
            return memory.write_pixels(self._shape)
        return self._shaped(memory.write())

    def _edit(self, memory: SyncedMemory) -> torch.Tensor:
        if memory.head == AT_PIXELS and self._may_be_pixels:
            view = memory.pixels(self._shape)
            if view is not None and common.device() is common.CPU:
                return view
        return self._shaped(memory.edit())

    def _shaped(self, flat: torch.Tensor) -> torch.Tensor:
        found = self._views.get(id(flat))
        if found is None:
            if len(self._views) > 3:  # a device buffer was replaced: forget views of old ones
                self._views.clear()
            found = self._views[id(flat)] = (flat, self._whole(flat).view(self._shape))
        return found[1]

    def _whole(self, flat: torch.Tensor) -> torch.Tensor:
        return flat if flat.numel() == self.count else flat[:self.count]

    # -- sharing -------------------------------------------------------------------------------

    def share_data(self, other: Blob) -> None:
        """Make data the same memory as another blob's; counts must be equal."""
        self._check_count("share_data", other)
        if self._data is other._data:
            return
        self._data = other._data
        self._capacity = min(self._capacity, self._data.count)  # growing beyond it ends the sharing
        self._views.clear()
        _note_change()

    def place(self) -> tuple[SyncedMemory, tuple[int, ...]]:
        """Return the memory of the values, and the shape."""
        return self._data, self._shape

    def put(self, data: SyncedMemory, shape: tuple[int, ...]) -> None:
        """Take a memory for the values, and a shape that fits it, as `place` returned them."""
        if self._data is data and self._shape == shape:
            return
        self._data, self._shape, self.count = data, shape, math.prod(shape)
        self._capacity = min(data.count, self._diff.count)
        self._views.clear()
        _note_change()

    def share_diff(self, other: Blob) -> None:
        """Make diff the same memory as another blob's; counts must be equal."""
        self._check_count("share_diff", other)
        if self._diff is other._diff:
            return
        self._diff = other._diff
        self._capacity = min(self._capacity, self._diff.count)
        self._views.clear()
        _note_change()

    def shares_data_with(self, other: Blob) -> bool:
        """Return whether data is the same memory as another blob's."""
        return self._data is other._data

    def _check_count(self, who: str, other: Blob) -> None:
        if self.count != other.count:
            raise NetError(f"Blob.{who}: got {other._shape} ({other.count} values), want {self.count} as {self._shape}")

    # -- what a script may not do --------------------------------------------------------------

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NetError(f"a Blob, such as {self!r}, cannot be pickled or copied: it is memory of a net; take its values "
                       "(blob.data.copy()), or save the net, net.save(path)")

    def __repr__(self) -> str:
        return f"Blob{self._shape}"


def _cannot_be_set(name: str, remedy: str) -> Callable[[Blob, Any], None]:
    def refuse(blob: Blob, value: Any) -> None:
        raise AttributeError(f"blob.{name} cannot be set, as its memory and shape belong to the blob; write {remedy}")
    return refuse


for _name in ("data", "diff"):
    setattr(Blob, _name, getattr(Blob, _name).setter(_cannot_be_set(_name, f"blob.{_name}[...] = array")))
for _name in ("shape", "num", "channels", "height", "width"):
    setattr(Blob, _name, getattr(Blob, _name).setter(_cannot_be_set(_name, "blob.reshape(*shape)")))


class BlobVec(list[Blob]):
    """The parameter blobs of a layer; a list that Python layers can add to, and that accepts nothing but blobs."""

    _who = "blobs"  # how a script reaches it
    _changed: Callable[[], None] | None = None  # set if a net owns it: blobs are then replaced, not removed

    def belong_to(self, who: str, changed: Callable[[], None]) -> None:
        """Become the parameters of a built net, which scripts reach as `who`; call `changed()` when one is replaced."""
        self._who, self._changed = who, changed

    def add_blob(self, *dims: int) -> None:
        """Append a zero blob of this shape."""
        self.append(Blob(*dims))

    def append(self, blob: Blob) -> None:
        """Append a blob."""
        super().append(self._checked(blob))

    def extend(self, blobs: Iterable[Blob]) -> None:
        """Append blobs."""
        super().extend([self._checked(blob) for blob in blobs])

    def __setitem__(self, i: Any, given: Any) -> None:
        if isinstance(i, slice):
            given = [self._checked(blob) for blob in given]
            if self._changed is not None and len(given) != len(range(*i.indices(len(self)))):
                self._refuse()
        else:
            self._checked(given, i)
        super().__setitem__(i, given)
        if self._changed is not None:
            self._changed()

    def __delitem__(self, i: Any) -> None:
        if self._changed is not None:
            self._refuse()
        super().__delitem__(i)

    def _checked(self, given: Any, i: Any = 0) -> Blob:
        if not isinstance(given, Blob):
            raise TypeError(f"{self._who}: got {type(given).__name__}, want a caffe.Blob; to write values: "
                            f"{self._who}[{i}].data[...] = array")
        return given

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        # DEVIATION D41: Caffe lets scripts remove parameters, and layers then read where they were.
        raise TypeError(self._what_can_be_done())

    def _lack(self, *args: Any, **kwargs: Any) -> Any:
        raise AttributeError(self._what_can_be_done())  # Caffe: a BlobVec has no such method

    def _what_can_be_done(self) -> str:
        return (f"{self._who}: blobs can be replaced one by one, and others appended, but none removed or moved; to "
                f"write values: {self._who}[0].data[...] = array")

    __iadd__ = __imul__ = _refuse
    insert = pop = remove = clear = sort = reverse = _lack

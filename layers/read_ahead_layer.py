"""What all data layers do alike: one item a forward pass, the next one read meanwhile.

In:   param_str; from the subclass: its keys, how it opens, what to read next, how to read it.
Out:  tops filled item by item, in the subclass's order. Faults of the reader thread are raised in
      `reshape`, where the item is due; its warnings are given there, too, each once.
Not here: file formats, sampling (draw_order.py).
Source: the FCN release's data layers (reshape loads, forward copies and then advances); those read
      in
the training thread.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, NamedTuple

import numpy as np
from param_str import Check, DataLayerError, DataLayerWarning, read_params

import caffe


class Item(NamedTuple):
    """What one forward pass needs."""

    arrays: tuple[np.ndarray, ...]  # one a top, in the top's shape
    notes: tuple[str, ...] = ()     # warnings that name a file


class ReadAheadLayer(caffe.Layer):
    """A Python layer without bottoms whose tops are items read from files.

    A subclass sets `keys` and `top_names` and writes `open`, `next_key` and `load`.
    """

    param_str: str  # Caffe sets it
    keys: dict[str, tuple[Check, Any]] = {}
    top_names: tuple[str, ...] = ("data", "label")

    def setup(self, bottom: Any, top: Any) -> None:
        """Check tops and bottoms, read param_str, open the list of items."""
        who = type(self).__name__
        params = read_params(self, self.param_str, self.keys)
        want = self.top_names = self.tops_of(params)
        if len(top) != len(want):
            raise DataLayerError(f"{who}: {len(top)} tops given; need to define {len(want)} tops: "
                                 f"{' and '.join(want)}")
        if len(bottom) != 0:
            raise DataLayerError(f"{who}: {len(bottom)} bottoms given; do not define a bottom, "
                                 f"images and labels come from files")
        self.open(params)
        self._reader = _ReadAhead(self._load)
        self._item: Item | None = None
        self._noted: set = set()
        self._key = self.next_key()

    @classmethod
    def opened(cls, param_str: str) -> ReadAheadLayer:
        """Open the list of items without a net, for whoever looks at the files of a split."""
        layer = cls.__new__(cls)
        params = read_params(layer, param_str, layer.keys)
        layer.top_names = layer.tops_of(params)
        layer.open(params)
        return layer

    def tops_of(self, params: dict[str, Any]) -> tuple[str, ...]:
        """Give the names of what each top shows."""
        return self.top_names

    def place(self) -> tuple[int, int]:
        """Give (number, of how many) of this process among those that train together; in TEST each goes by itself."""
        if getattr(self, "phase", None) != caffe.TRAIN or not hasattr(caffe, "solver_rank"):  # older Caffes have none
            return 0, 1
        # DEVIATION D26: the release's processes all train on the same images.
        return caffe.solver_rank(), caffe.solver_count()

    def open(self, params: dict[str, Any]) -> None:
        """Take the settings and open the list of items (subclass)."""
        raise NotImplementedError

    def next_key(self) -> Hashable:
        """Draw what is to be read next (subclass); called once an item, in the training thread."""
        raise NotImplementedError

    def load(self, key: Hashable) -> Item:
        """Read an item (subclass); called in any thread, so it must not change the sequence."""
        raise NotImplementedError

    def reshape(self, bottom: Any, top: Any) -> None:
        """Get the current item, unless it is here already, and give the tops its shapes."""
        for i, array in enumerate(self._due().arrays):
            top[i].reshape(*array.shape)  # Caffe: tops can be indexed, not iterated. _caffe.cpp

    def forward(self, bottom: Any, top: Any) -> None:
        """Copy the item into the tops, draw the next one and have it read ahead."""
        for i, array in enumerate(self._due().arrays):
            top[i].data[...] = array
        self._item = None
        self._key = self.next_key()
        self._reader.ask(self._key)

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        """Do nothing: files take no gradient."""

    def _due(self) -> Item:
        """The current item, waited for once; its warnings are given here, in the training thread."""
        if self._item is None:
            item = self._reader.get(self._key)
            for note in item.notes:
                self._note(note)
            self._item = item
        return self._item

    def _load(self, key: Hashable) -> Item:
        try:
            return self.load(key)
        except DataLayerError as error:
            raise DataLayerError(f"{type(self).__name__}: {error}") from error

    def _note(self, note: str) -> None:
        if note not in self._noted:
            self._noted.add(note)
            warnings.warn(f"{type(self).__name__}: {note}", DataLayerWarning, stacklevel=4)


class _ReadAhead:
    """Reads one key ahead of its use. The thread ends with the layer, or after its item at exit."""

    def __init__(self, load: Callable[[Hashable], Item]) -> None:
        self._load = load
        self._pool: ThreadPoolExecutor | None = None
        self._asked: list[tuple[Hashable, Future[Item]]] = []
        self._process = os.getpid()

    def _begin_anew_in_a_child(self) -> None:
        """Leave the thread, and what it was asked for, to the parent when this process is a fork of it."""
        if self._process != os.getpid():
            self._pool, self._asked, self._process = None, [], os.getpid()

    def ask(self, key: Hashable) -> None:
        """Start reading `key`."""
        self._begin_anew_in_a_child()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read_ahead")
        try:
            self._asked = [(key, self._pool.submit(self._load, key))]
        except RuntimeError:  # the interpreter is shutting down: `get` reads by itself
            self._asked = []

    def get(self, key: Hashable) -> Item:
        """Give the item of `key`, read ahead or read now; raises what reading it raised."""
        self._begin_anew_in_a_child()
        asked, self._asked = self._asked, []
        for asked_key, future in asked:
            if asked_key == key:
                return future.result()
            future.cancel()
        return self._load(key)

"""HDF5Data: batches of rows from HDF5 files, one dataset per top. Source: BVLC hdf5_data_layer.cpp."""

from __future__ import annotations

import itertools
from math import prod
from pathlib import Path

import numpy as np
import torch

from .. import common, log
from ..errors import ProtoError
from ..files.hdf5_files import reading
from ..layer import Layer
from ..layer_factory import register_layer
from ..rng import RNG

SHUFFLE_SEED = 1


@register_layer("HDF5Data")
class HDF5DataLayer(Layer):
    """Tops are the datasets named like them, row after row, file after file; a batch may cross files.

    hdf5_data_param.source is a text file with the paths of the HDF5 files.
    """

    exact_num_bottom = 0
    min_num_top = 1

    def setup(self, bottom, top):
        """Read the list and the first row; shape the tops."""
        param = self.layer_param.hdf5_data_param
        if self.layer_param.HasField("transform_param"):
            self.fail("This layer does not transform data.")
        if param.batch_size < 1:
            self.fail(f"hdf5_data_param.batch_size must be positive; got {param.batch_size}")
        self.batch_size = param.batch_size
        # DEVIATION D31: Caffe shuffles with C's rand().
        self._shuffle = RNG(SHUFFLE_SEED).shuffle if param.shuffle else lambda items: None
        self._failed: Exception | None = None
        self._first = ""  # the file whose rows shaped the tops
        rows = self._rows(self._read_list(param.source))
        first = next(rows)
        for blob, values in zip(top, first, strict=True):
            blob.reshape(self.batch_size, *values.shape)
        # Caffe: in TRAIN every solver takes the rows of its rank.
        rank, count = (common.solver_rank(), common.solver_count()) if self.phase == common.TRAIN else (0, 1)
        self._due = itertools.islice(itertools.chain([first], rows), rank, None, count)

    def forward(self, bottom, top):
        """Copy the next rows."""
        batch = self._batch()
        for i, blob in enumerate(top):
            blob.load_data(torch.from_numpy(np.stack([row[i] for row in batch])))

    def _batch(self):
        if self._failed is not None:
            raise self._failed
        try:
            return [next(self._due) for _ in range(self.batch_size)]
        except Exception as problem:  # the generator of rows ends with it
            self._failed = problem
            raise

    def backward(self, top, propagate_down, bottom):
        """Do nothing: there is no bottom."""

    def _read_list(self, source):
        log.info(f"Loading list of HDF5 filenames from: {source}", "hdf5_data_layer.cpp:84")
        try:
            files = Path(source).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as problem:
            self.fail(f"Failed to open source file: {source} ({problem}); want a text file with paths of HDF5 "
                      "files")
        if not files:
            self.fail(f"Must have at least 1 HDF5 filename listed in {source}")
        log.info(f"Number of HDF5 files: {len(files)}", "hdf5_data_layer.cpp:97")
        return files

    def _rows(self, files):
        """Go through all rows of all files again and again; a row is one array per top."""
        self._shuffle(files)
        arrays = None
        while True:
            for path in files:
                if arrays is None or len(files) > 1:
                    arrays = self._load(path)
                order = list(range(len(arrays[0])))
                self._shuffle(order)
                yield from ([array[row] for array in arrays] for row in order)
            self._shuffle(files)
            log.info("Looping around to first file.", "hdf5_data_layer.cpp:138")

    def _load(self, path):
        """Read a file's datasets as float32, with equally many rows."""
        names = list(self.layer_param.top)
        try:
            with reading(path) as file:
                arrays = [self._dataset(file, path, name) for name in names]
        except ProtoError as problem:
            self.fail(str(problem))
        counts = [len(array) for array in arrays]
        if len(set(counts)) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
            self.fail(f"datasets of {path} have different numbers of rows: {listed}")
        if not self._first:
            self._first, self._row_shapes = path, [array.shape[1:] for array in arrays]
        return [self._as_first(path, *what) for what in zip(names, arrays, self._row_shapes, strict=True)]

    def _as_first(self, path, name, array, shape):
        """Return rows in the shape of the first file's. Caffe: their values are taken as they lie in memory."""
        if prod(array.shape[1:]) != prod(shape):
            # DEVIATION D42: Caffe reads as many values as the first file's rows have.
            self.fail(f"dataset {name} of {path} has rows of shape {array.shape[1:]}, that of {self._first} {shape}; "
                      "rows of all files in a list must have equally many values")
        return array.reshape(-1, *shape)

    def _dataset(self, file, path, name):
        if name not in file or not hasattr(file[name], "shape"):
            self.fail(f"Failed to find HDF5 dataset {name} in {path}; it has {', '.join(file) or 'none'}")
        dataset = file[name]
        if dataset.dtype.kind not in "fiu" or not dataset.shape or 0 in dataset.shape:
            self.fail(f"dataset {name} of {path} has shape {dataset.shape} and type {dataset.dtype}; want numbers, "
                      "one row an item")
        return dataset[()].astype(np.float32)

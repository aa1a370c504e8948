"""Data: batches of Datums from an LMDB database. Source: BVLC data_layer.cpp, base_data_layer.cpp."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from google.protobuf.message import DecodeError

from .. import common, log
from ..data_transformer import DataTransformer
from ..database import Cursor
from ..datum import datum_array
from ..errors import CaffeError
from ..layer import Layer
from ..layer_factory import register_layer
from ..prefetch import Prefetch
from ..proto_pool import MESSAGES


class Batch(NamedTuple):
    """What one forward pass needs."""

    data: np.ndarray  # (N, C, H, W) float32
    labels: np.ndarray  # (N,) float32


class BatchReader:
    """Reads batch after batch; all that the prefetching thread uses, and nothing but it."""

    def __init__(self, cursor: Cursor, transformer: DataTransformer, batch_size: int, phase: int) -> None:
        self.cursor, self.transformer, self.batch_size = cursor, transformer, batch_size
        # Caffe: every solver takes the records of its rank; in TEST only rank 0 runs, so nothing is skipped.
        self._every, self._rank = (common.solver_count(), common.solver_rank()) if phase == common.TRAIN else (1, 0)
        self._offset = 0

    def read(self) -> Batch:
        """Read the next batch, shaped by its first record: at batch_size 1 each image has its own size."""
        data, labels = np.empty(0, np.float32), np.empty(self.batch_size, np.float32)
        for i in range(self.batch_size):
            while self._offset % self._every != self._rank:
                self._next()
            try:
                image, labels[i] = self.image()
                if i == 0:
                    shape = self.transformer.infer_blob_shape(image.shape)
                    data = np.empty((self.batch_size, *shape[1:]), np.float32)
                self.transformer.transform(image, data[i])
            except CaffeError as problem:
                raise CaffeError(f"record '{self.cursor.key}' of LMDB '{self.cursor.path}': {problem}") from problem
            self._next()
        return Batch(data, labels)

    def image(self) -> tuple[np.ndarray, int]:
        """Give the present record's array and label."""
        try:
            datum = MESSAGES["Datum"].FromString(self.cursor.value)
        except DecodeError as problem:
            raise CaffeError(f"it holds no Datum ({problem}); write the database again") from problem
        return datum_array(datum, self.transformer.color), datum.label

    def _next(self) -> None:
        self.cursor.next()
        self._offset += 1


@register_layer("Data")
class DataLayer(Layer):
    """Tops data (N, C, H, W) and, if there is a second one, label (N)."""

    exact_num_bottom = 0
    min_num_top = 1
    max_num_top = 2

    def setup(self, bottom, top):
        """Open the database, shape the tops by its first record, start to read ahead."""
        param = self.layer_param.data_param
        self._check(param)
        transformer = DataTransformer(self.layer_param.transform_param, self.phase)
        transformer.init_rand()
        reader = BatchReader(Cursor(param.source), transformer, param.batch_size, self.phase)
        log.info(f"Opened lmdb {param.source}", "db_lmdb.cpp:35")
        try:
            image, _ = reader.image()
            shape = transformer.infer_blob_shape(image.shape)
        except CaffeError as problem:
            self.fail(f"record '{reader.cursor.key}' of LMDB '{param.source}': {problem}")
        self._shape(top, (param.batch_size, *shape[1:]))
        log.info("output data size: " + ",".join(map(str, top[0].shape)), "data_layer.cpp:45")
        transformer.init_rand()  # Caffe: seeded twice; the first seed is drawn and thrown away. base_data_layer.cpp
        common.rng().draw()  # Caffe: the seed of the prefetching thread, which draws nothing itself
        self._prefetch = Prefetch(reader.read, param.prefetch)

    def _check(self, param):
        if param.backend != param.LMDB:
            self.fail("backend LEVELDB (the default) is not there: no reader of LevelDB comes with this Caffe; say "
                      "`backend: LMDB`, and convert the database (convert_imageset --backend lmdb)")
        if not param.source:
            self.fail("data_param.source is missing; it wants the folder of an LMDB database")
        for name in ("batch_size", "prefetch"):
            if getattr(param, name) < 1:
                self.fail(f"data_param.{name} must be positive; got {getattr(param, name)}")
        if param.rand_skip:
            # Caffe: the field is there and read by nothing since solvers share a database.
            log.warning(f"layer '{self.name}': rand_skip is ignored, as in Caffe 1.0", "data_layer.cpp:27")

    def _shape(self, top, shape):
        top[0].reshape(*shape)
        if len(top) > 1:
            top[1].reshape(shape[0])

    def forward(self, bottom, top):
        """Take the next batch; the tops have its shape."""
        try:
            batch = self._prefetch.get()
        except CaffeError as problem:
            self.fail(str(problem))
        self._shape(top, batch.data.shape)
        for blob, values in zip(top, batch, strict=False):
            blob.write_data().copy_(torch.from_numpy(values))

    def backward(self, top, propagate_down, bottom):
        """Nothing below."""

"""Data: batches of Datums from a database, LMDB or LevelDB. Source: BVLC data_layer.cpp, base_data_layer.cpp."""

from __future__ import annotations

import numpy as np
from google.protobuf.message import DecodeError

from .. import common, log
from ..data.data_transformer import DataTransformer
from ..data.database import Cursor
from ..data.datum import datum_array
from ..data.leveldb import CURSORS, LevelDBCursor
from ..data.prefetching_layer import BatchReader, PrefetchingLayer
from ..errors import CaffeError
from ..files.proto_pool import MESSAGES
from ..layer_factory import register_layer


class RecordReader(BatchReader):
    """Reads records of a database; every solver reads those of its rank."""

    def __init__(self, cursor: Cursor | LevelDBCursor, transformer: DataTransformer, batch_size: int,
                 phase: int) -> None:
        super().__init__(transformer, batch_size)
        self.cursor = cursor
        # Caffe: every solver takes the records of its rank; in TEST only rank 0 runs, so nothing is skipped.
        self._every, self._rank = (common.solver_count(), common.solver_rank()) if phase == common.TRAIN else (1, 0)

    def batch_shape(self) -> tuple[int, int, int, int]:
        """Return the batch shape that the first record implies, and move to this rank's first record."""
        shape = super().batch_shape()
        self._skip(self._rank)
        return shape

    def where(self) -> str:
        """Name the current record."""
        return f"record '{self.cursor.key}' of {self.cursor.kind} '{self.cursor.path}'"

    def image(self) -> tuple[np.ndarray, int]:
        """Return the current record's array and label."""
        try:
            datum = MESSAGES["Datum"].FromString(self.cursor.value)
        except DecodeError as problem:
            raise CaffeError(f"it does not hold a Datum ({problem}); write the database again") from problem
        return datum_array(datum, self.transformer.color if datum.encoded else None), datum.label

    def advance(self) -> None:
        """Move to this rank's next record."""
        self._skip(self._every)

    def _skip(self, count: int) -> None:
        for _ in range(count):
            self.cursor.next()


@register_layer("Data")
class DataLayer(PrefetchingLayer):
    """Tops data (N, C, H, W) and, if there is a second one, label (N)."""

    min_num_top = 1
    max_num_top = 2

    def setup(self, bottom, top):
        """Open the database, shape the tops by its first record, start reading ahead."""
        param = self.layer_param.data_param
        self._check(param)
        transformer = self.transformer()
        backend = param.DB.Name(param.backend).lower()  # Caffe: LEVELDB if the net names none
        reader = RecordReader(CURSORS[backend](param.source), transformer, param.batch_size, self.phase)
        log.info(f"Opened {backend} {param.source}", f"db_{backend}.cpp:35")
        self.read_ahead(top, reader)

    def _check(self, param):
        if not param.source:
            self.fail("data_param.source is missing; want the folder of a database")
        self.require_positive("data_param", "batch_size", "prefetch")
        if param.rand_skip:
            # Caffe: the field exists, but nothing has read it since solvers share a database.
            log.warning(f"layer '{self.name}': rand_skip is ignored, as in Caffe 1.0", "data_layer.cpp:27")

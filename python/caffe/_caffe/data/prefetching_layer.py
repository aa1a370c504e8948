"""PrefetchingLayer: shared by the layers whose batches are read ahead by a thread.

In:   a layer that can make its next Batch; a DataTransformer.
Out:  tops data (N, C, H, W) and, if there is a second top, label (N).
Not here: where images come from (layers/data.py, image_data.py, window_data.py), the thread (prefetch).
Source: BVLC base_data_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .. import common, log, uploads
from ..blob import Blob
from ..errors import CaffeError
from ..layer import Layer
from .data_transformer import DataTransformer
from .prefetch import Prefetch


class Batch(NamedTuple):
    """What one forward pass needs."""

    data: torch.Tensor  # (N, C, H, W) float32, on the host
    labels: torch.Tensor  # (N,) float32


class BatchReader:
    """Makes batch after batch; the prefetching thread uses nothing else, and nothing else uses it.

    A subclass provides `image`, `where` and `advance`.
    """

    def __init__(self, transformer: DataTransformer, batch_size: int) -> None:
        self.transformer, self.batch_size = transformer, batch_size

    def image(self) -> tuple[np.ndarray, int]:
        """Return the current image, (C, H, W), and its label."""
        raise NotImplementedError

    def where(self) -> str:
        """Name the current image in messages."""
        raise NotImplementedError

    def advance(self) -> None:
        """Move to the next image."""
        raise NotImplementedError

    def batch_shape(self) -> tuple[int, int, int, int]:
        """Return the shape (N, C, H, W) of a batch that begins with the current image."""
        try:
            return self.batch_size, *self.transformer.infer_blob_shape(self.image()[0].shape)[1:]
        except CaffeError as problem:
            raise CaffeError(f"{self.where()}: {problem}") from problem

    def read(self) -> Batch:
        """Read the next batch, shaped by its first image: at batch_size 1 each image has its own size."""
        data, labels = torch.empty(0), torch.empty(self.batch_size)
        for i in range(self.batch_size):
            try:
                image, labels[i] = self.image()
                if i == 0:
                    shape = self.transformer.infer_blob_shape(image.shape)
                    data = uploads.room((self.batch_size, *shape[1:]))
                    places = data.numpy()
                self.transformer.transform(image, places[i])
            except CaffeError as problem:
                raise CaffeError(f"{self.where()}: {problem}") from problem
            self.advance()
        return Batch(data, labels)


class PrefetchingLayer(Layer):
    """Base of Data, ImageData and WindowData."""

    exact_num_bottom = 0

    def transformer(self) -> DataTransformer:
        """Make this layer's transformer, and draw its first seed."""
        transformer = DataTransformer(self.layer_param.transform_param, self.phase)
        transformer.init_rand()
        return transformer

    def start(self, transformer: DataTransformer, read: Callable[[], Batch]) -> None:
        """Start reading ahead; the last step of `setup`."""
        transformer.init_rand()  # Caffe: seeded twice; the first seed is drawn and discarded. base_data_layer.cpp
        common.rng().draw()  # Caffe: the seed of the prefetching thread, which draws nothing itself
        # Caffe: this layer's depth is in data_param, whatever the layer's type. base_data_layer.cpp
        self._prefetch = Prefetch(read, self.layer_param.data_param.prefetch)

    def require_positive(self, field: str, *names: str) -> None:
        """Refuse settings of the message `field` that are not positive."""
        param = getattr(self.layer_param, field)
        for name in names:
            if getattr(param, name) < 1:
                self.fail(f"{field}.{name} must be positive; got {getattr(param, name)}")

    def read_ahead(self, top: Sequence[Blob], reader: BatchReader) -> None:
        """Shape the tops by the reader's first image and start; the last step of `setup` where batches look alike."""
        try:
            self.shape_tops(top, reader.batch_shape())
        except CaffeError as problem:
            self.fail(str(problem))
        where = {"Data": "data_layer.cpp:45", "ImageData": "image_data_layer.cpp:84"}
        log.info("output data size: " + ",".join(map(str, top[0].shape)), where[self.type])
        self.start(reader.transformer, reader.read)

    def shape_tops(self, top: Sequence[Blob], shape: Sequence[int]) -> None:
        """Shape data and label for a batch (N, C, H, W)."""
        top[0].reshape(*shape)
        if len(top) > 1:
            top[1].reshape(shape[0])

    def forward(self, bottom, top):
        """Take the next batch; the tops have its shape."""
        try:
            batch = self._prefetch.get()
        except CaffeError as problem:
            self.fail(str(problem))
        self.shape_tops(top, batch.data.shape)
        for blob, values in zip(top, batch, strict=False):
            blob.load_data(values)

    def backward(self, top, propagate_down, bottom):
        """Do nothing: there is no bottom."""

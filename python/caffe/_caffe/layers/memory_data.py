"""MemoryData: batches from arrays that a script hands over. Source: BVLC memory_data_layer.cpp, _caffe.cpp.

In:   `Net.set_input_arrays(data, labels)`, which calls `reset`.
Out:  tops data (N, C, H, W) and label (N), (N, 1, 1, 1) from the first pass on, as in Caffe.
"""

from __future__ import annotations

import numpy as np
import torch

from .. import log
from ..data.data_transformer import DataTransformer
from ..errors import NetError
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("MemoryData")
class MemoryDataLayer(Layer):
    """The arrays' items batch by batch, again and again; arrays are read when their batch is due."""

    exact_num_bottom = 0
    exact_num_top = 2

    def setup(self, bottom, top):
        """Read the batch's shape."""
        param = self.layer_param.memory_data_param
        self.shape = (param.batch_size, param.channels, param.height, param.width)
        if 0 in self.shape:
            self.fail("batch_size, channels, height, and width must be specified and positive in memory_data_param; "
                      f"got {self.shape}")
        # Caffe: arrays are not transformed, yet a seed is drawn for the transformer. base_data_layer.cpp
        DataTransformer(self.layer_param.transform_param, self.phase).init_rand()
        top[0].reshape(*self.shape)
        top[1].reshape(self.shape[0])
        self.data = None

    def reset(self, data, labels):
        """Take the arrays: data (n, C, H, W) and labels (n, 1, 1, 1), float32, n a multiple of batch_size.

        Raises:
            NetError: an unsuitable array, in pycaffe's words.
        """
        _check(data, "data array", self.shape[1:])
        _check(labels, "labels array", (1, 1, 1))
        if len(data) != len(labels):
            raise NetError(f"data and labels must have the same first dimension; got {len(data)} and {len(labels)}")
        if not len(data) or len(data) % self.shape[0]:
            raise NetError(f"first dimensions of input arrays must be a multiple of batch size {self.shape[0]}; "
                           f"got {len(data)}")
        if self.layer_param.HasField("transform_param"):
            log.warning(f"{self.type} does not transform array data on Reset()", "memory_data_layer.cpp:87")
        self.data, self.labels, self.position = data, labels, 0

    def forward(self, bottom, top):
        """Write the next batch."""
        if self.data is None:
            self.fail("MemoryDataLayer needs to be initialized by calling Reset: Net.set_input_arrays(data, labels)")
        batch = slice(self.position, self.position + self.shape[0])
        top[0].reshape(*self.shape)
        top[1].reshape(self.shape[0], 1, 1, 1)
        for blob, values in zip(top, (self.data, self.labels), strict=True):
            blob.write_data().copy_(torch.from_numpy(values[batch]))
        self.position = (self.position + self.shape[0]) % len(self.data)

    def backward(self, top, propagate_down, bottom):
        """Do nothing: there is no bottom."""


def _check(array, name, shape):
    if not isinstance(array, np.ndarray):
        raise NetError(f"{name} must be a NumPy array of float32; got {type(array).__name__}")
    if not array.flags.c_contiguous:
        raise NetError(f"{name} must be C contiguous; np.ascontiguousarray(array) is")
    if array.ndim != 4:
        raise NetError(f"{name} must be 4-d; got {array.ndim} axes")
    if array.dtype != np.float32:
        raise NetError(f"{name} must be float32; got {array.dtype}")
    for axis, word in enumerate(("number of channels", "height", "width")):
        if array.shape[axis + 1] != shape[axis]:
            raise NetError(f"{name} has wrong {word}: {array.shape[axis + 1]}, want {shape[axis]}")

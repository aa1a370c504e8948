"""HDF5Output: write a batch of data and labels to an HDF5 file. Source: BVLC hdf5_output_layer.cpp."""

from __future__ import annotations

import os

from ..errors import ProtoError
from ..files.hdf5_files import write_datasets
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("HDF5Output")
class HDF5OutputLayer(Layer):
    """Bottoms data and label go into the datasets of these names, each with four axes; no tops.

    Caffe: one batch per file. A second pass cannot add to it and ends the process there; here it is an error.
    """

    exact_num_bottom = 2
    exact_num_top = 0

    def setup(self, bottom, top):
        """Take the file's name."""
        self.file_name = self.layer_param.hdf5_output_param.file_name
        if not self.file_name:
            self.fail("hdf5_output_param.file_name is missing")
        self._written = False

    def reshape(self, bottom, top):
        """Check that both bottoms hold equally many items."""
        if bottom[0].num != bottom[1].num:
            self.fail(f"data and labels must have equally many items; got {bottom[0].shape} and {bottom[1].shape}")

    def forward(self, bottom, top):
        """Write the file, completely or not at all."""
        if self._written:
            self.fail(f"Failed to make float dataset data: {os.path.basename(self.file_name)} holds one batch already; "
                      "run one pass per file, or gather the batches in the script")
        arrays = {name: blob.data.reshape(blob.num, blob.channels, blob.height, blob.width)
                  for name, blob in zip(("data", "label"), bottom, strict=True)}
        try:
            write_datasets(self.file_name, arrays)
        except ProtoError as problem:
            self.fail(str(problem))
        self._written = True

    def backward(self, top, propagate_down, bottom):
        """Do nothing: there is no gradient."""

"""Embed: rows of a table by number. Source: BVLC embed_layer.cpp."""

from __future__ import annotations

import torch

from ..blob import Blob
from ..filler import fill
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Embed")
class EmbedLayer(Layer):
    """For each value i of the bottom, row i of parameter 0 (input_dim, num_output), plus a bias."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Make and fill table and bias."""
        param = self.layer_param.embed_param
        self.rows, self.width = param.input_dim, param.num_output
        if self.width <= 0 or self.rows <= 0:
            self.fail(f"EmbedLayer num_output and input_dim must be positive; got {self.width} and {self.rows}")
        self.bias_term = param.bias_term
        self.param_shapes = [(self.rows, self.width), *([(self.width,)] if self.bias_term else [])]
        if self.blobs:
            return
        self.blobs.append(Blob(self.rows, self.width))
        fill(self.blobs[0], param.weight_filler)
        if self.bias_term:
            self.blobs.append(Blob(self.width))
            fill(self.blobs[1], param.bias_filler)

    def reshape(self, bottom, top):
        """Shape the top: one axis more than the bottom."""
        top[0].reshape(*bottom[0].shape, self.width)

    def forward(self, bottom, top):
        """Look up the rows.

        Raises:
            LayerError: a value is not the number of a row.
        """
        y = top[0].write_data().view(-1, self.width)
        torch.index_select(self.read_param(0), 0, self._index(bottom[0]), out=y)
        if self.bias_term:
            y.add_(self.read_param(1))

    def backward(self, top, propagate_down, bottom):
        """Add the gradient to the rows that were looked up; the bottom gets none."""
        if propagate_down[0]:
            self.fail("Can't backpropagate to EmbedLayer input.")
        dy = top[0].read_diff().view(-1, self.width)
        if self.param_propagate_down[0]:
            self.edit_param_diff(0).index_add_(0, self._index(bottom[0]), dy)
        if self.bias_term and self.param_propagate_down[1]:
            self.edit_param_diff(1).add_(dy.sum(0))

    def _index(self, blob):
        index = blob.read_data().view(-1).to(torch.int64)
        if index.numel():
            low, high = torch.stack(torch.aminmax(index)).tolist()
            if low < 0 or high >= self.rows:  # DEVIATION D4: Caffe reads past the table here.
                self.fail(f"value {low if low < 0 else high} with input_dim {self.rows}: want 0 to {self.rows - 1}")
        return index

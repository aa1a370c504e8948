"""BatchReindex: items of a batch in another order, left out or repeated. Source: BVLC batch_reindex_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("BatchReindex")
class BatchReindexLayer(Layer):
    """top[i] = bottom[0][bottom[1][i]]."""

    is_pure = True
    exact_num_bottom = 2
    exact_num_top = 1
    may_run_in_place = False

    def reshape(self, bottom, top):
        """Shape the top: as many items as there are indices."""
        if len(bottom[1].shape) != 1:
            self.fail(f"the indices (bottom 1) must have one axis; got shape {bottom[1].shape}")
        top[0].reshape(*bottom[1].shape, *bottom[0].shape[1:])

    def forward(self, bottom, top):
        """Copy the items.

        Raises:
            LayerError: an index is not the number of an item.
        """
        if top[0].count:
            torch.index_select(bottom[0].read_data(), 0, self._index(bottom), out=top[0].write_data())

    def backward(self, top, propagate_down, bottom):
        """Add up each item's gradients."""
        if propagate_down[1]:
            self.fail("Cannot backprop to index.")
        if propagate_down[0]:
            bottom[0].write_diff().zero_().index_add_(0, self._index(bottom), top[0].read_diff())

    def _index(self, bottom):
        index = bottom[1].read_data().to(torch.int64)
        if index.numel():
            items = bottom[0].shape[0]
            low, high = torch.stack(torch.aminmax(index)).tolist()
            if low < 0 or high >= items:
                self.fail(f"index {low if low < 0 else high} with {items} items: want 0 to {items - 1}")
        return index

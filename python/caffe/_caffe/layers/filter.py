"""Filter: the items that a selector marks. Source: BVLC filter_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Filter")
class FilterLayer(Layer):
    """Of every bottom but the last, the items whose value in the last (the selector) is not 0."""

    min_num_bottom = 2
    min_num_top = 1
    may_run_in_place = False

    def setup(self, bottom, top):
        """Check that there is a top for each bottom but the selector."""
        if len(top) != len(bottom) - 1:
            self.fail(f"Top.size() should be equal to bottom.size() - 1; got {len(top)} and {len(bottom)}")
        self._first = True

    def reshape(self, bottom, top):
        """Shape the tops to the number of marked items."""
        selector = bottom[-1].shape
        if any(length != 1 for length in selector[1:]):
            self.fail(f"Selector blob dimensions must be singletons (1), except the first; got {selector}")
        for i, blob in enumerate(bottom[:-1]):
            if blob.shape[:1] != selector[:1]:
                self.fail(f"Each bottom should have the same 0th dimension as the selector blob ({selector}); "
                          f"bottom {i} has shape {blob.shape}")
        marked = bottom[-1].read_data().view(-1).nonzero().view(-1)
        # Caffe: the first reshape, at construction, takes the whole batch: nothing is known about the selector yet.
        items = bottom[0].shape[0] if self._first else len(marked)
        self._first = False
        for blob, other in zip(top, bottom[:-1], strict=True):
            blob.reshape(items, *other.shape[1:])
        self.marked = marked

    def forward(self, bottom, top):
        """Copy the marked items."""
        for blob, other in zip(top, bottom[:-1], strict=True):
            torch.index_select(other.read_data(), 0, self.marked, out=blob.write_data())

    def backward(self, top, propagate_down, bottom):
        """Pass the marked items their gradient, the others 0."""
        if propagate_down[-1]:
            self.fail("Layer cannot backpropagate to filter index inputs")
        for blob, other, wanted in zip(top, bottom[:-1], propagate_down[:-1], strict=True):
            if wanted:
                other.write_diff().zero_().index_copy_(0, self.marked, blob.read_diff())

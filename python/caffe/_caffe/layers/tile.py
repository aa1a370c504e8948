"""Tile: repeat a blob along an axis. Source: BVLC tile_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis, count


@register_layer("Tile")
class TileLayer(Layer):
    """The bottom `tiles` times, one after the other, along `axis` (1)."""

    is_pure = True
    exact_num_bottom = 1
    exact_num_top = 1
    may_run_in_place = False

    def reshape(self, bottom, top):
        """Shape the top: the axis is `tiles` times as long."""
        param, shape = self.layer_param.tile_param, bottom[0].shape
        if not param.HasField("tiles") or param.tiles <= 0:
            self.fail(f"Number of tiles must be positive; got {param.tiles}")
        axis = canonical_axis(self, bottom[0], param.axis)
        self.view = (count(shape, 0, axis), param.tiles, count(shape, axis))
        top[0].reshape(*shape[:axis], shape[axis] * param.tiles, *shape[axis + 1:])

    def forward(self, bottom, top):
        """Copy the bottom into every tile."""
        outer, _, inner = self.view
        top[0].write_data().view(self.view).copy_(bottom[0].read_data().view(outer, 1, inner))

    def backward(self, top, propagate_down, bottom):
        """Add up the tiles' gradients."""
        if propagate_down[0]:
            outer, _, inner = self.view
            torch.sum(top[0].read_diff().view(self.view), 1, out=bottom[0].write_diff().view(outer, inner))

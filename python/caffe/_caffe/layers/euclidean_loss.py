"""EuclideanLoss: half the squared distance per item. Source: BVLC euclidean_loss_layer.cpp."""

from __future__ import annotations

import torch

from ..blob import Blob
from ..layer import LossLayer
from ..layer_factory import register_layer


@register_layer("EuclideanLoss")
class EuclideanLossLayer(LossLayer):
    """sum (a - b)² / (2 N); both bottoms take a gradient."""

    is_pure = True

    def setup(self, bottom, top):
        """Make room for the difference."""
        self.difference = Blob()

    def allow_force_backward(self, bottom_index):
        """Both bottoms may be forced: none is a label."""
        return True

    def reshape(self, bottom, top):
        """Check that both bottoms have equally many values per item."""
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count:
            self.fail(
                f"Inputs must have the same dimension; got {bottom[0].shape} and {bottom[1].shape}"
            )
        self.difference.reshape_like(bottom[0])

    def forward(self, bottom, top):
        """Top = sum (a - b)² / (2 N)."""
        a, b = bottom[0].read_data(), bottom[1].read_data()
        difference = torch.sub(a, b.view_as(a), out=self.difference.write_data())
        flat = difference.view(-1)
        top[0].write_data().copy_(torch.dot(flat, flat).div_(bottom[0].num).div_(2))

    def backward(self, top, propagate_down, bottom):
        """± (a - b) / N, times the loss weight."""
        weight = top[0].read_diff()
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                dx = bottom[i].write_diff()
                torch.mul(
                    self.difference.read_data().view_as(dx), weight * sign / bottom[i].num, out=dx
                )

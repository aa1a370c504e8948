"""ContrastiveLoss: similar pairs are drawn together, others pushed apart up to a margin.

Source: BVLC contrastive_loss_layer.cpp; Hadsell et al. 2006.
"""

from __future__ import annotations

import torch

from ..layer import LossLayer
from ..layer_factory import register_layer


@register_layer("ContrastiveLoss")
class ContrastiveLossLayer(LossLayer):
    """sum (y d² + (1 - y) max(margin - d, 0)²) / (2 N) of pairs (N, C) with y = 1 where similar.

    legacy_version has max(margin - d², 0) in place of the square.
    """

    is_pure = True
    exact_num_bottom = 3

    def setup(self, bottom, top):
        """Check the three bottoms."""
        one, two, alike = bottom
        flat = all(blob.height == 1 and blob.width == 1 for blob in (one, two))
        if one.channels != two.channels or not flat or alike.count != alike.num:
            self.fail(f"want two bottoms of shape (N, C) and one number per item; got {one.shape}, {two.shape} and "
                      f"{alike.shape}")

    def allow_force_backward(self, bottom_index):
        """Refuse only the gradient of the third bottom."""
        return bottom_index != 2

    def reshape(self, bottom, top):
        """Check that all bottoms hold equally many items."""
        super().reshape(bottom, top)
        if bottom[2].shape[:1] != bottom[0].shape[:1] or bottom[0].count != bottom[1].count:
            self.fail(f"bottoms need equally many items; got {bottom[0].shape}, {bottom[1].shape}, {bottom[2].shape}")

    def forward(self, bottom, top):
        """Top = the loss; distances are kept for backward."""
        n = bottom[0].num
        param = self.layer_param.contrastive_loss_param
        self.apart = bottom[0].read_data().view(n, -1) - bottom[1].read_data().view(n, -1)
        self.squared = self.apart.square().sum(1)
        alike = bottom[2].read_data().view(-1).to(torch.int64) != 0  # Caffe: truncated to an integer
        if param.legacy_version:
            pushed = (param.margin - self.squared).clamp_min_(0)
        else:
            pushed = (param.margin - self.squared.sqrt()).clamp_min_(0).square_()
        top[0].write_data().copy_(torch.where(alike, self.squared, pushed).sum().div_(2 * n))

    def backward(self, top, propagate_down, bottom):
        """± (a - b) loss weight / N where similar; - that times the missing margin / d where not."""
        n, param = bottom[0].num, self.layer_param.contrastive_loss_param
        alike = bottom[2].read_data().view(-1).to(torch.int64) != 0
        if param.legacy_version:
            missing, push = param.margin - self.squared, torch.ones_like(self.squared)
        else:
            distance = self.squared.sqrt()
            missing = param.margin - distance
            push = missing / (distance + 1e-4)  # Caffe: never divides by 0
        factor = torch.where(alike, 1.0, torch.where(missing > 0, -push, 0.0)).view(n, 1)
        for i, sign in ((0, 1), (1, -1)):
            if propagate_down[i]:
                alpha = top[0].read_diff() * sign / n
                torch.mul(self.apart, factor * alpha, out=bottom[i].write_diff().view(n, -1))

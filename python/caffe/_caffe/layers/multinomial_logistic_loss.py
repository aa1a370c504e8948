"""MultinomialLogisticLoss: minus the log of given probabilities. Source: BVLC multinomial_logistic_loss_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import LossLayer
from ..layer_factory import register_layer

LEAST = 1e-20  # Caffe: kLOG_THRESHOLD


@register_layer("MultinomialLogisticLoss")
class MultinomialLogisticLossLayer(LossLayer):
    """- sum log p(label) / N, of probabilities (N, K, ...) and one label per item."""

    is_pure = True

    def reshape(self, bottom, top):
        """Check that there is one label per item."""
        super().reshape(bottom, top)
        if bottom[1].count != bottom[0].num:
            self.fail(f"want one label per item; got labels of shape {bottom[1].shape} for {bottom[0].num} items")

    def forward(self, bottom, top):
        """Top = - sum log max(p(label), 1e-20) / N."""
        p = self._at_label(bottom[0].read_data(), bottom)[0]
        top[0].write_data().copy_(0 - p.log().sum() / bottom[0].num)

    def backward(self, top, propagate_down, bottom):
        """- loss weight / (N p) at the label, 0 elsewhere."""
        if propagate_down[1]:
            self.fail("Layer cannot backpropagate to label inputs.")
        if not propagate_down[0]:
            return
        p, label = self._at_label(bottom[0].read_data(), bottom)
        dx = bottom[0].write_diff().zero_().view(bottom[0].num, -1)
        dx.scatter_(1, label, top[0].read_diff() / -bottom[0].num / p)

    def _at_label(self, values, bottom):
        """Return the probability of each item's label, at least 1e-20, and the labels."""
        rows = values.view(bottom[0].num, -1)
        label = bottom[1].read_data().view(-1, 1).to(torch.int64)
        low, high = torch.stack(torch.aminmax(label)).tolist() if len(rows) else (0, 0)
        if low < 0 or high >= rows.shape[1]:  # DEVIATION D4: Caffe reads past the probabilities here.
            self.fail(f"label {low if low < 0 else high} with {rows.shape[1]} classes: "
                      f"want 0 to {rows.shape[1] - 1}")
        return rows.gather(1, label).clamp_min_(LEAST), label

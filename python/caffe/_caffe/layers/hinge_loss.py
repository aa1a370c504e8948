"""HingeLoss: one-against-all margins. Source: BVLC hinge_loss_layer.cpp."""

from __future__ import annotations

import torch

from ..layer import LossLayer
from ..layer_factory import register_layer


@register_layer("HingeLoss")
class HingeLossLayer(LossLayer):
    """sum over classes of max(0, 1 - t x)^p / N with t = 1 for the label's class, else -1; p 1 or 2.

    Caffe: forward keeps the margins in bottom[0]'s diff, and backward reads them there.
    """

    is_pure = True

    def forward(self, bottom, top):
        """Top = the sum of margins (L1) or of their squares (L2), divided by N.

        Raises:
            LayerError: a label is not a class.
        """
        margins = bottom[0].write_diff()
        margins.copy_(bottom[0].read_data())
        self._turn_label(margins, bottom)
        margins.add_(1).clamp_min_(0)
        squared = self.layer_param.hinge_loss_param.norm == self.layer_param.hinge_loss_param.L2
        total = margins.square().sum() if squared else margins.sum()
        top[0].write_data().copy_(total.div_(bottom[0].num))

    def backward(self, top, propagate_down, bottom):
        """The margins' signs (L1) or twice the margins (L2), negated at the label, times loss weight / N."""
        if propagate_down[1]:
            self.fail("Layer cannot backpropagate to label inputs.")
        if not propagate_down[0]:
            return
        dx = bottom[0].edit_diff()
        self._turn_label(dx, bottom)
        weight = top[0].read_diff() / bottom[0].num
        if self.layer_param.hinge_loss_param.norm == self.layer_param.hinge_loss_param.L2:
            dx.mul_(weight * 2)
        else:
            dx.sign_().mul_(weight)

    def _turn_label(self, values, bottom):
        """Multiply the value of each item's class by -1."""
        rows = values.view(bottom[0].num, -1)
        label = bottom[1].read_data().view(-1)[: len(rows)].to(torch.int64).view(-1, 1)
        low, high = torch.stack(torch.aminmax(label)).tolist() if len(rows) else (0, 0)
        if low < 0 or high >= rows.shape[1]:  # DEVIATION D4: Caffe writes past the scores here.
            self.fail(f"label {low if low < 0 else high} with {rows.shape[1]} classes: "
                      f"want 0 to {rows.shape[1] - 1}")
        rows.scatter_(1, label, rows.gather(1, label).neg_())

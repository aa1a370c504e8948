"""SigmoidCrossEntropyLoss: logistic loss of each value by itself. Source: BVLC sigmoid_cross_entropy_loss_layer.cpp."""

from __future__ import annotations

import torch

from .. import common
from ..cached import Cached
from ..layer import LossLayer
from ..layer_factory import register_layer
from .base.axes import count


@register_layer("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLossLayer(LossLayer):
    """- sum (t log s(x) + (1 - t) log(1 - s(x))) / normalizer, with targets t in [0, 1], s the sigmoid."""

    is_pure = True

    def setup(self, bottom, top):
        """Read loss_param; unlike SoftmaxWithLoss it divides by the batch size by default."""
        param = self.layer_param.loss_param
        self.ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        self.normalization = param.BATCH_SIZE
        if param.HasField("normalization"):
            self.normalization = param.normalization
        elif param.HasField("normalize") and param.normalize:
            self.normalization = param.VALID
        self._count = Cached()

    def reshape(self, bottom, top):
        """Check that there is a target for each value."""
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count:
            self.fail("SIGMOID_CROSS_ENTROPY_LOSS layer inputs must have the same count; got "
                      f"{bottom[0].shape} and {bottom[1].shape}")
        self.outer_num, self.inner_num = count(bottom[0].shape, 0, 1), count(bottom[0].shape, 1)

    def forward(self, bottom, top):
        """Top = the loss, in the form that never overflows."""
        x, target, valid = self._pairs(bottom)
        losses = x.clamp_min(0).sub_(x * target).add_(x.abs().neg_().exp_().log1p_())
        if valid is not None:
            losses.masked_fill_(~valid, 0)
        # Caffe: backward uses the sigmoid and the normalizer of the last forward, whatever the blobs hold by then.
        self._sigmoid, self._divisor = x.sigmoid(), self._normalizer(bottom[1], valid)
        top[0].write_data().copy_(losses.sum() / self._divisor)

    def backward(self, top, propagate_down, bottom):
        """(s(x) - t) loss weight / normalizer, 0 where ignored."""
        if propagate_down[1]:
            self.fail("Layer cannot backpropagate to label inputs.")
        if not propagate_down[0]:
            return
        _, target, valid = self._pairs(bottom)
        dx = torch.sub(self._sigmoid, target, out=bottom[0].write_diff())
        if valid is not None:
            dx.masked_fill_(~valid, 0)
        dx.mul_(top[0].read_diff() / self._divisor)

    def _pairs(self, bottom):
        x = bottom[0].read_data()
        target = bottom[1].read_data().view_as(x)
        return x, target, self._valid(target)

    def _valid(self, target):
        """Return which targets count, None for all."""
        # Caffe: targets are truncated to integers here
        return None if self.ignore_label is None else target.to(torch.int64) != self.ignore_label

    def _normalizer(self, targets, valid):
        modes = self.layer_param.loss_param
        if self.normalization == modes.VALID:
            amount = self.outer_num * self.inner_num if valid is None else self._count.of(
                targets, lambda: self._number_of(valid, targets.host_data()))
        else:
            amount = {modes.FULL: self.outer_num * self.inner_num, modes.BATCH_SIZE: self.outer_num,
                      modes.NONE: 1}[self.normalization]
        return common.normalizer(amount, self.phase)

    def _number_of(self, valid, on_host):
        return int((valid if on_host is None else self._valid(on_host)).sum())

"""SoftmaxWithLoss: multinomial logistic loss of scores and labels. Source: BVLC softmax_loss_layer.cpp."""

from __future__ import annotations

import torch

from .. import common
from ..blob import Blob
from ..cached import Cached
from ..layer import LossLayer
from ..layer_factory import register_layer
from .base.axes import canonical_axis, count

FLT_MIN = torch.finfo(torch.float32).tiny


@register_layer("SoftmaxWithLoss")
class SoftmaxWithLossLayer(LossLayer):
    """Minus the mean log-probability of the labels; a second top shows the probabilities.

    Bottoms: scores (outer..., K, inner...) with K on `softmax_param.axis`; labels 0..K-1 or ignore_label,
    outer * inner of them, as floats.
    """

    is_pure = True

    # DEVIATION D12: Caffe allows two tops, but its checks of loss_weight let none be built.
    exact_num_top = None
    min_num_top = 1
    max_num_top = 2

    def setup(self, bottom, top):
        """Read loss_param."""
        param = self.layer_param.loss_param
        self.ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        self.normalization = param.normalization
        if not param.HasField("normalization") and param.HasField("normalize"):
            self.normalization = param.VALID if param.normalize else param.BATCH_SIZE
        self._modes = param
        self.prob = Blob()
        self._shapes = None
        self._facts = Cached()

    def reshape(self, bottom, top):
        """Check that there is one label for each prediction; the loss is a scalar."""
        super().reshape(bottom, top)
        shapes = bottom[0].shape, bottom[1].shape
        if shapes != self._shapes:
            self.axis = canonical_axis(self, bottom[0], self._given_axis())
            self.outer_num = count(shapes[0], 0, self.axis)
            self.inner_num = count(shapes[0], self.axis + 1)
            self.classes = shapes[0][self.axis]
            if self.outer_num * self.inner_num != bottom[1].count:
                self.fail(f"Number of labels must match number of predictions; e.g., if softmax axis == 1 and "
                          f"prediction shape is (N, C, H, W), label count (number of labels) must be N*H*W, with "
                          f"integer values in {{0, 1, ..., C-1}}; got predictions {shapes[0]}, labels {shapes[1]}")
            self._shapes = shapes
        self.prob.reshape(*shapes[0])
        if len(top) > 1:
            top[1].reshape(*shapes[0])

    def forward(self, bottom, top):
        """Compute probabilities and loss.

        Raises:
            LayerError: a label that is neither a class nor ignore_label.
        """
        prob = self.prob.write_data()
        torch.softmax(bottom[0].read_data(), self.axis, out=prob)
        index, valid, valid_count = self._labels(bottom[1])
        loss = self._log_likelihood(bottom, prob, index)
        if valid_count < index.numel():
            loss.masked_fill_(~valid, 0)
        torch.div(0 - loss.sum(), self._normalizer(valid_count), out=top[0].write_data())
        if len(top) > 1 and not top[1].shares_data_with(self.prob):
            top[1].share_data(self.prob)

    def _log_likelihood(self, bottom, prob, index):
        """Return a new tensor of index's shape: the logarithm of each label's probability."""
        return self._by_pixel(prob).gather(1, index).clamp_min_(FLT_MIN).log_()

    def backward(self, top, propagate_down, bottom):
        """Bottom diff = (p - 1 at the label) * loss weight / normalizer, 0 at ignored labels."""
        if propagate_down[1]:
            self.fail("Layer cannot backpropagate to label inputs")
        if not propagate_down[0]:
            return
        index, valid, valid_count = self._labels(bottom[1])
        scale = top[0].read_diff() / self._normalizer(valid_count)
        dx = self._by_pixel(bottom[0].write_diff())
        torch.mul(self._by_pixel(self.prob.read_data()), scale, out=dx)
        step = scale.neg().expand(index.shape)
        if valid_count < index.numel():
            dx.masked_fill_(~valid, 0)
            step = step * valid
        dx.scatter_add_(1, index, step)

    def _given_axis(self):
        return self.layer_param.softmax_param.axis

    def _by_pixel(self, tensor):
        return tensor.view(self.outer_num, self.classes, self.inner_num)

    def _labels(self, blob):
        """Return labels (outer, 1, inner) with 0 where ignored, which of them count, and how many."""
        index, valid = self._cut(blob.read_data())
        low, high, known = self._facts.of(blob, lambda: self._look(blob.host_data(), index, valid))
        if low < 0 or high >= self.classes:  # DEVIATION D4: Caffe reads past the scores here.
            self._refuse(low if low < 0 else high)
        return index, valid, index.numel() if valid is None else known

    def _cut(self, labels):
        # Caffe: labels are floats truncated to integers.
        index = labels.view(self.outer_num, 1, self.inner_num).to(torch.int64)
        if self.ignore_label is None:
            return index, None
        valid = index != self.ignore_label
        return index * valid, valid

    def _look(self, on_host, index, valid):
        """Return the smallest and the largest label, and how many count."""
        if on_host is not None:
            index, valid = self._cut(on_host)
        low = high = torch.zeros((), dtype=torch.int64, device=index.device)
        count_valid = low if valid is None else valid.sum()
        if index.numel():
            low, high = torch.aminmax(index)
        return torch.stack((low, high, count_valid)).tolist()  # one transfer from a GPU, none if labels are on the host

    def _refuse(self, label):
        ignored = "no ignore_label is set" if self.ignore_label is None else f"ignore_label is {self.ignore_label}"
        self.fail(f"label {label} with {self.classes} classes: want 0 to {self.classes - 1}; {ignored}; correct the "
                  f"label image, num_output of the score layer, or loss_param.ignore_label")

    def _normalizer(self, valid_count):
        modes = self._modes
        amount = {modes.FULL: self.outer_num * self.inner_num, modes.VALID: valid_count,
                  modes.BATCH_SIZE: self.outer_num, modes.NONE: 1}[self.normalization]
        return common.normalizer(amount, self.phase)

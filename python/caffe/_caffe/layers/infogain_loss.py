"""InfogainLoss: softmax loss in which a matrix weights each label's classes. Source: BVLC infogain_loss_layer.cpp."""

from __future__ import annotations

import torch

from ..blob import Blob
from ..files.caffemodel import read_blob
from ..layer_factory import register_layer
from .softmax_with_loss import SoftmaxWithLossLayer

LOG_THRESHOLD = 1e-20  # Caffe: the least probability, unlike SoftmaxWithLoss's FLT_MIN


@register_layer("InfogainLoss")
class InfogainLossLayer(SoftmaxWithLossLayer):
    """Minus the mean over pixels of sum_k H[label, k] log p[k]; with the identity as H it is SoftmaxWithLoss.

    Bottoms: scores (outer..., K, inner...) with K on `infogain_loss_param.axis`; labels 0..K-1 or ignore_label; and H
    of K * K numbers, row by row, or else from `infogain_loss_param.source`. A second top shows the probabilities.
    """

    is_pure = True
    exact_num_bottom = None
    min_num_bottom = 2
    max_num_bottom = 3

    def setup(self, bottom, top):
        """Read loss_param, and the matrix if no third bottom brings it."""
        param = self.layer_param
        if param.loss_param.HasField("normalize"):
            self.fail('normalize is deprecated. use "normalization"')
        super().setup(bottom, top)
        self.matrix = None
        if len(bottom) < 3:
            if not param.infogain_loss_param.HasField("source"):
                self.fail("Infogain matrix source must be specified: infogain_loss_param.source (a binaryproto of "
                          "K x K numbers) or a third bottom")
            found = read_blob(param.infogain_loss_param.source).data
            self.matrix = Blob(found.size)
            self.matrix.data[...] = found.reshape(-1)

    def reshape(self, bottom, top):
        """Check the labels' and the matrix's size; the loss is a scalar."""
        super().reshape(bottom, top)
        size = self._matrix(bottom).count
        if size != self.classes * self.classes:
            self.fail(f"the infogain matrix has {size} numbers; want {self.classes} x {self.classes}, a row and a "
                      f"column for each class of the scores {bottom[0].shape}")

    def _log_likelihood(self, bottom, prob, index):
        """Return, like index, the logarithms of all probabilities, weighted by each label's row of the matrix."""
        weighed = self._square(bottom) @ self._by_pixel(prob).clamp(min=LOG_THRESHOLD).log_()  # by label
        return weighed.gather(1, index)

    def backward(self, top, propagate_down, bottom):
        """Bottom diff = (p * sum of H's row - H's row) * loss weight / normalizer, 0 at ignored labels."""
        if any(propagate_down[1:]):
            self.fail("Layer cannot backpropagate to label inputs" if propagate_down[1] else
                      "Layer cannot backpropagate to infogain inputs")
        if not propagate_down[0]:
            return
        index, valid, valid_count = self._labels(bottom[1])
        scale = top[0].read_diff() / self._normalizer(valid_count)
        matrix = self._square(bottom)
        dx = self._by_pixel(bottom[0].write_diff())
        torch.mul(self._by_pixel(self.prob.read_data()), matrix.sum(1)[index], out=dx)
        dx.sub_(matrix[index.squeeze(1)].movedim(-1, 1)).mul_(scale)
        if valid_count < index.numel():
            dx.masked_fill_(~valid, 0)

    def _given_axis(self):
        return self.layer_param.infogain_loss_param.axis

    def _matrix(self, bottom):
        return bottom[2] if self.matrix is None else self.matrix

    def _square(self, bottom):
        return self._matrix(bottom).read_data().view(self.classes, self.classes)

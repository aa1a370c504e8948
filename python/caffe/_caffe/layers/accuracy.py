"""Accuracy: the share of items whose true class is among the top_k best.

Source: BVLC accuracy_layer.cpp.
"""

from __future__ import annotations

from math import prod

import torch

from ..layer import Layer
from ..layer_factory import register_layer
from .base.axes import canonical_axis


@register_layer("Accuracy")
class AccuracyLayer(Layer):
    """Share of correct items; a second top gives it for each class. No gradient.

    Caffe: an item is correct if fewer than top_k other classes score at least as much as the true
    one, so ties count against it; without any item to count the answer is 0.
    """

    is_pure = True
    hides_nan = True
    exact_num_bottom = 2
    min_num_top = 1
    may_run_in_place = False
    max_num_top = 2

    def setup(self, bottom, top):
        """Read top_k and the label to ignore."""
        param = self.layer_param.accuracy_param
        self.top_k = param.top_k
        self.ignore_label = param.ignore_label if param.HasField("ignore_label") else None

    def reshape(self, bottom, top):
        """Check the counts; tops are a scalar and one value per class."""
        scores, labels = bottom[0].shape, bottom[1].shape
        axis = canonical_axis(self, bottom[0], self.layer_param.accuracy_param.axis)
        outer, self.classes, inner = prod(scores[:axis]), scores[axis], prod(scores[axis + 1 :])
        if outer * inner != bottom[1].count:
            self.fail(
                "Number of labels must match number of predictions; e.g., if label axis == 1 and "
                "prediction shape is (N, C, H, W), label count (number of labels) must be N*H*W, "
                "with integer values "
                f"in {{0, 1, ..., C-1}}; got {scores} and {labels}"
            )
        if self.top_k > self.classes:
            self.fail(
                f"top_k must be less than or equal to the number of classes; got {self.top_k}, "
                f"{self.classes} classes"
            )
        self.view = (outer, self.classes, inner)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.classes)

    def forward(self, bottom, top):
        """Count."""
        scores = bottom[0].read_data().view(self.view)
        labels, counted = self._cut(bottom[1].read_data())
        self._check_range(labels, bottom[1].host_data())
        at_least = (scores >= scores.gather(1, labels.unsqueeze(1))).sum(
            1
        )  # also counts the true class
        right = (at_least <= self.top_k) & counted
        self._share(right.sum(), counted.sum(), top[0])
        if len(top) > 1:
            counts = torch.zeros(2, self.classes, dtype=torch.int64, device=labels.device)
            for row, mask in zip(counts, (right, counted), strict=True):
                row.index_add_(0, labels.view(-1), mask.view(-1).to(torch.int64))
            self._share(counts[0], counts[1], top[1])

    def _share(self, right, total, blob):
        blob.write_data().copy_(torch.where(total > 0, right / total.clamp_min(1), 0.0))

    def _cut(self, values):
        """Return labels (outer, inner), 0 where ignored, and which of them count."""
        labels = values.view(self.view[0], self.view[2]).to(torch.int64)  # Caffe: truncates
        if self.ignore_label is None:
            return labels, torch.ones_like(labels, dtype=torch.bool)
        counted = labels != self.ignore_label
        return torch.where(counted, labels, 0), counted

    def _check_range(self, labels, on_host):
        if on_host is not None:  # no read from a GPU
            labels = self._cut(on_host)[0]
        # DEVIATION D4: Caffe reads past the scores here.
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
            self.fail(
                f"labels must be in 0 ... {self.classes - 1}, "
                f"got {int(labels.min())} ... {int(labels.max())}; "
                "set accuracy_param.ignore_label to leave a value out"
            )

    def backward(self, top, propagate_down, bottom):
        """Fail: there is no gradient."""
        if any(propagate_down):
            self.fail("Not Implemented Yet: Accuracy has no gradient; set propagate_down: false")

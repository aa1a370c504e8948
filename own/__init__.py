"""A net from a user's own images: pairs, labels and their check, a plan, a training in stages, a report.

In:   a folder of images and a folder of labels (`train.py` is the command).
Out:  models/NAME: a class table, data in VOC layout, stages, the best weights with their record, report.html.
Not here: nets (nets/), the training loop (solvers/), reading data while training (layers/).
"""

from __future__ import annotations

__all__ = ["OwnError"]


class OwnError(ValueError):
    """Images, labels or a request that nothing can be trained from; the message says which and what to do."""

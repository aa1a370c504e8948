"""The nets: trunk, head and data layer of every published net, as messages and as prototxt files.

In:   nothing; widths, paths and paddings are arguments with the published values as defaults.
Out:  NetParameter messages (`zoo.emit`), files (`python -m nets`), records beside weights (`record`).
Not here: weights (surgery), training (solvers), reading images (layers).
Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation".
"""

from __future__ import annotations

__all__ = ["NetError"]


class NetError(ValueError):
    """A net that cannot be built as asked; the message says which layer, what it got, and a remedy."""

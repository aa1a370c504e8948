"""A Deconvolution, computed as the Convolution whose gradient it is.

In:   tensors of a Deconvolution: x the smaller, y the larger; its weight (C, num_output, kh, kw) is, to the Convolution
      from y to x, one of C outputs.
Out:  what the Deconvolution computes, and its gradients.
Not here: how (the way that is turned around).
Why: torch's transposed kernel makes no use of windows that do not overlap. 2 x 2, stride 2, 64 to 64 channels of
64 x 64, in Caffe's order, on one core: 9.9 to 3.7 ms.
"""

from __future__ import annotations

from .convolution import Convolution, Operation, Way

MIRRORED: dict[Operation, Operation] = {
    "convolve": "data_gradient", "data_gradient": "convolve", "add_weight_gradient": "add_weight_gradient"}


class Transposed(Way):
    """Another way, turned around."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.takes_float32 = way.takes_float32

    def serves(self, operation, conv, weight, x, y):
        """Whether the other way serves the Convolution."""
        return self._way.serves(MIRRORED[operation], _mirrored(conv), weight, y, x)

    def convolve(self, conv, x, weight, bias, out):
        """Write the Convolution's data gradient, and the bias, into `out`."""
        self._way.data_gradient(_mirrored(conv), x, weight, out)
        if bias is not None:
            out.add_(bias.view(-1, 1, 1))

    def data_gradient(self, conv, dy, weight, out):
        """Write the Convolution of dy into `out`."""
        self._way.convolve(_mirrored(conv), dy, weight, None, out)

    def add_weight_gradient(self, conv, dy, x, out):
        """Add the Convolution's weight gradient, of the gradient x and the bottom dy, to `out`."""
        self._way.add_weight_gradient(_mirrored(conv), x, dy, out)


def _mirrored(conv: Convolution) -> Convolution:
    return conv._replace(transposed=False)

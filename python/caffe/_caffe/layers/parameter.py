"""Parameter: a learned blob as a top. Source: BVLC parameter_layer.hpp."""

from __future__ import annotations

from ..blob import Blob
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Parameter")
class ParameterLayer(Layer):
    """The top is parameter 0, of shape parameter_param.shape, zero at first."""

    exact_num_bottom = 0
    exact_num_top = 1

    def setup(self, bottom, top):
        """Make the parameter."""
        if not self.blobs:
            self.blobs.append(Blob(*self.layer_param.parameter_param.shape.dim))
        top[0].reshape(*self.layer_param.parameter_param.shape.dim)
        self._share(top[0])

    def reshape(self, bottom, top):
        """Keep the shape: it is the parameter's."""

    def forward(self, bottom, top):
        """Share the parameter's data and diff with the top."""
        self._share(top[0])

    def backward(self, top, propagate_down, bottom):
        """Do nothing: the top's diff is the parameter's."""

    def _share(self, top):
        if not top.shares_data_with(self.blobs[0]):
            top.share_data(self.blobs[0])
            top.share_diff(self.blobs[0])

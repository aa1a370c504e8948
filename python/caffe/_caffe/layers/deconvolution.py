"""Deconvolution: convolution run backwards, as used to upsample. Source: BVLC deconv_layer.cpp."""

from __future__ import annotations

from ..base_convolution import BaseConvolutionLayer
from ..layer_factory import register_layer


@register_layer("Deconvolution")
class DeconvolutionLayer(BaseConvolutionLayer):
    """Weight (channels, num_output / group, kernel...)."""

    transposed = True

    def output_length(self, length, axis):
        """Return stride (length - 1) + extent - 2 pad."""
        extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return self.stride[axis] * (length - 1) + extent - 2 * self.pad[axis]

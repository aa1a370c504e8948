"""Deconvolution: convolution run backwards, as used to upsample. Source: BVLC deconv_layer.cpp."""

from __future__ import annotations

import torch

from .. import common
from ..cached import Cached
from ..kernels import choose, upsampling
from ..layer_factory import register_layer
from .base.base_convolution import BaseConvolutionLayer


@register_layer("Deconvolution")
class DeconvolutionLayer(BaseConvolutionLayer):
    """Weight (channels, num_output / group, kernel...).

    Where each channel only feeds its own output, as bilinear upsampling does, it counts as a group, which leaves out
    the products with the zeros between channels. The weight is checked in every pass, as it may be edited at any
    time (on a GPU, when it may have been).
    """

    transposed = True

    def output_length(self, length, axis):
        """Return stride (length - 1) + extent - 2 pad."""
        extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return self.stride[axis] * (length - 1) + extent - 2 * self.pad[axis]

    def setup(self, bottom, top):
        """Read the parameters, create weight and bias unless they exist."""
        super().setup(bottom, top)
        self._diagonal = Cached()
        self._per_channel = self._slides._replace(group=self.channels)

    def convolve(self, x, weight, bias, out):
        """Write the upsampled bottom into `out`."""
        x, kernels = self._apart(x, weight)
        if kernels is None:
            super().convolve(x, weight, bias, out)
        else:
            choose.convolve(self._per_channel, x, kernels.unsqueeze(1), bias, out)

    def data_gradient(self, dy, weight, out):
        """Write the gradient of a bottom into `out`."""
        dy, kernels = self._apart(dy, weight)
        if kernels is None:
            super().data_gradient(dy, weight, out)
        else:
            choose.data_gradient(self._per_channel, dy, kernels.unsqueeze(1), out)

    def _apart(self, values, weight):
        """Return the values and one kernel per channel (C, h, w), None where channels cannot be separated."""
        kernels = self.own_kernels(weight) if common.kernels() else None
        if kernels is None:
            return values, None
        # Inf or NaN times the zeros left out would be NaN.
        if common.device() is common.CPU or not upsampling.is_whole(self.kernel, self.stride):
            return values, kernels if bool(torch.isfinite(values.sum())) else None
        return values if self.group > 1 else upsampling.poisoned(values), kernels

    def own_kernels(self, weight):
        """Return one kernel per channel where that is all the weight holds, otherwise None; for finite values."""
        if not (self.num_spatial_axes == 2 and self.channels == self.num_output and self.dilation == [1, 1]
                and self.group in (1, self.channels) and upsampling.serves(self.kernel, self.stride)):
            return None
        if self.group > 1:
            return weight[:, 0]
        is_diagonal = self._diagonal.of(self.blobs[0], lambda: upsampling.is_diagonal(weight))
        return upsampling.own(weight) if is_diagonal else None

"""The one place that chooses how a convolution of a layer is computed.

In:   a convolution, its tensors (N, C, spatial...), and what is wanted of it.
Out:  it is done, by the first way of the list that serves; or not, where kernels are switched off
      (CAFFE_KERNELS=0, common.set_kernels(False)): then the layer uses torch as it is.
Not here: what a convolution means (layers/base/base_convolution), how plans convolve (plan/sliding).

| way | serves | measured on 2 cores, torch's kernel against it |
|---|---|---|
| matmul | weights larger than all their windows; small 1 x 1 kernels | fc6: 849 to 446 ms; 1 x 1: 83 to 38 us |
| winograd | 3 x 3 over many channels, large tops | 512 channels of 68 x 68: 101 to 43 ms |
| strips | weight gradients in bf16, large planes | 64 channels of 698 x 698: 158 to 105 ms |
| in_place | large outputs with channels last | 65 MB: 18 ms of page faults |
| upsampling | Deconvolutions of each channel by itself | 21 channels to 544 x 544: 26 to 3.7 ms |
| torch_kernel | all else | |

What is computed in bf16 is cast here, once.
"""

from __future__ import annotations

import torch

from .. import common
from .convolution import Convolution, Operation, Way
from .in_place import InPlace
from .matmul import Matmul
from .scratch import Scratch
from .strips import Strips
from .torch_kernel import TorchKernel
from .upsampling import Upsampling
from .winograd.learning import Winograd

TORCH = TorchKernel()
PLANAR: tuple[Way, ...] = (Matmul(), Winograd(), Strips(), InPlace(), TORCH)  # Convolutions over two spatial axes
TRANSPOSED: tuple[Way, ...] = (Upsampling(), TORCH)  # Deconvolutions over two


def way_for(operation: Operation, conv: Convolution, weight: torch.Tensor, x: torch.Tensor,
            y: torch.Tensor) -> Way | None:
    """Return the way that is taken, None where kernels are switched off.

    Args:
        operation: what is wanted.
        conv: how the kernel slides, and the type to compute in.
        weight: the weight, or a tensor of its shape.
        x: the bottom, or its gradient.
        y: the top, or its gradient.
    """
    if not common.kernels():
        return None
    if x.dim() != 4:
        return TORCH
    ways = TRANSPOSED if conv.transposed else PLANAR
    return next(way for way in ways if way.serves(operation, conv, weight, x, y))


def convolve(conv: Convolution, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
             out: torch.Tensor) -> bool:
    """Write the convolution of x into `out`; False: not done."""
    way = way_for("convolve", conv, weight, x, out)
    if way is None:
        return False
    with Scratch() as scratch:
        if conv.dtype != x.dtype and not way.takes_float32:
            x, weight = scratch.cast(x, conv.dtype), scratch.cast(weight, conv.dtype)
            bias = None if bias is None else scratch.cast(bias, conv.dtype)
        way.convolve(conv, x, weight, bias, out)
    return True


def data_gradient(conv: Convolution, dy: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> bool:
    """Write the gradient of a bottom into `out`; False: not done."""
    way = way_for("data_gradient", conv, weight, out, dy)
    if way is None:
        return False
    with Scratch() as scratch:
        if conv.dtype != dy.dtype and not way.takes_float32:
            dy, weight = scratch.cast(dy, conv.dtype), scratch.cast(weight, conv.dtype)
        way.data_gradient(conv, dy, weight, out)
    return True


def add_weight_gradient(conv: Convolution, dy: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> bool:
    """Add the gradient of the weight to `out`; False: not done."""
    way = way_for("add_weight_gradient", conv, out, x, dy)
    if way is None:
        return False
    with Scratch() as scratch:
        if conv.dtype != dy.dtype and not way.takes_float32:
            dy, x = scratch.cast(dy, conv.dtype), scratch.cast(x, conv.dtype)
        way.add_weight_gradient(conv, dy, x, out)
    return True

"""The one place that chooses how a convolution of a layer is computed.

In:   a convolution, its tensors (N, C, spatial...), and what is wanted of it.
Out:  the result, written by the first way in the list that serves; or False if kernels are switched off
      (CAFFE_KERNELS=0, common.set_kernels(False)): then the layer calls torch itself.
Not here: what a convolution means and its type (layers/base/base_convolution), how plans convolve (plan).

| way | serves | milliseconds by torch's kernel, and this way; 1 core unless stated |
|---|---|---|
| winograd | 3 x 3 over many channels, where tiles cost less | 256 channels of 56 x 56: forward 33 to 19 |
| matmul | 1 x 1; weights of more values than the windows they see | fc6, 2 cores: forward 849 to 446 |
| grouped | the same in 2 to 4 groups | 384 channels of 13 x 13 in 2 groups: weight 5.0 to 2.5 |
| strips | weight gradients in bf16, large planes | 64 channels of 698 x 698, 2 cores: 158 to 105 |
| in_place | large outputs with channels last | 65 MB: 18 less, of page faults |
| upsampling | Deconvolutions with one kernel per channel | 21 channels to 544 x 544, 2 cores: 26 to 3.7 |
| transposed | Deconvolutions that winograd or matmul serve | 2 x 2, stride 2, 64 channels to 128 x 128: 9.9 to 3.7 |
| torch_kernel | all else, in the order of values that suits torch | 512 channels of 14 x 14: weight 16.8 to 12.6 |

Operands that are computed in bf16 are cast here, once.
"""

from __future__ import annotations

import torch

from .. import common
from .convolution import Convolution, Operation, Way
from .grouped import Grouped
from .in_place import InPlace
from .matmul import Matmul
from .scratch import Scratch
from .strips import Strips
from .torch_kernel import TorchKernel
from .transposed import Transposed
from .upsampling import Upsampling
from .winograd.learning import Winograd

TORCH = TorchKernel()
# Over two spatial axes, Convolutions and Deconvolutions.
PLANAR: tuple[Way, ...] = (Winograd(), Matmul(), Grouped(Matmul()), Strips(), InPlace(), TORCH)
TRANSPOSED: tuple[Way, ...] = (Upsampling(), Transposed(Winograd()), Transposed(Matmul()), TORCH)


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

"""Which kernel of cuDNN convolves: chosen by a rule of cuDNN's, or by trying all there are, once per shape.

In:   a convolution, or its gradients, on a card.
Out:  what torch returns, by a kernel that was measured if the same convolution has occurred before.
Not here: what is convolved (base_convolution); the CPU, where nothing of this happens.
Source: PyTorch, aten/src/ATen/native/cudnn/Conv_v8.cpp and Convolution.cpp; torch.backends.cudnn.

What torch does. With `benchmark` it times up to `benchmark_limit` (10) kernels, each for real, and keeps the fastest;
else it takes the first by cuDNN's rule. Either choice goes into one cache of the thread, found by operation, shapes,
strides, type, alignment, group, `deterministic` and `allow_tf32`, but not by `benchmark`: a choice by the rule stays,
and a later `benchmark` no longer searches. A search takes tens of runs, and empties torch's cache of device memory.

What is done here. Images differ in size, and a size seen once must not pay for a search. So a convolution's
first runs go by the rule, and among kernels that repeat to the bit (`deterministic`), which makes their choice another
entry of the cache; from its third run on, all kernels are tried. A layer is tried this way in at most 16 sizes. With
`deterministic`, torch convolves dilated kernels without cuDNN; these are tried at once, in the first 4 sizes.
No search begins while a CUDA graph is recorded. If `benchmark` or `deterministic` was set by hand, it is left alone.

CAFFE_CUDNN_SEARCH=0 in the environment: torch's own way always. CAFFE_CUDNN_WORKSPACE_MB (default 1024; 0: no bound)
goes to cuDNN as CUDNN_CONV_WSCAP_DBG, unless that is set: no kernel may take more memory at once, tried or not.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import Any

import torch

from .. import common

RUNS = 3  # the run of a convolution from which all kernels are tried
SIZES = 16  # of a layer, that are tried
SIZES_AT_ONCE = 4  # of a layer whose kernels are tried in the first run
MOST_COUNTED = 1 << 14  # convolutions whose runs are counted
WORKSPACE_MB = 1024


class Search:
    """Decides for each convolution whether kernels are tried."""

    def __init__(self) -> None:
        self._runs: dict[Hashable, int] = defaultdict(int)
        self._tried: dict[Hashable, set[tuple[int, ...]]] = defaultdict(set)  # sizes by layer

    def tries(self, layer: Hashable, size: tuple[int, ...], at_once: bool, may_begin: bool = True) -> bool:
        """Count a run of a layer's convolution at a size, and return whether kernels are or were tried for it."""
        tried = self._tried[layer]
        if size in tried:
            return True
        if max(len(self._runs), len(self._tried)) > MOST_COUNTED:
            self._runs.clear()
            self._tried.clear()
            tried = self._tried[layer]
        self._runs[layer, size] += 1
        often = at_once or self._runs[layer, size] >= RUNS
        if not (often and may_begin and len(tried) < (SIZES_AT_ONCE if at_once else SIZES)):
            return False
        tried.add(size)
        del self._runs[layer, size]
        return True


_search = Search()


def convolution(layer: object, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
                *geometry: Any) -> torch.Tensor:
    """Convolve as torch.convolution does; geometry: stride, padding, dilation, transposed, output_padding, groups."""
    with _kernels(id(layer), x, weight, geometry):
        return torch.convolution(x, weight, bias, *geometry)


def gradients(layer: object, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias_sizes: list[int],
              *geometry: Any) -> Any:
    """Return what aten.convolution_backward returns; the last of geometry is its output_mask."""
    with _kernels(id(layer), x, weight, geometry):
        return torch.ops.aten.convolution_backward(dy, x, weight, bias_sizes, *geometry)


def bound_workspace() -> None:
    """Pass the bound to cuDNN, which reads it once, when first used."""
    bound = os.environ.get("CAFFE_CUDNN_WORKSPACE_MB", str(WORKSPACE_MB))
    if bound not in ("", "0"):
        os.environ.setdefault("CUDNN_CONV_WSCAP_DBG", bound)


@contextlib.contextmanager
def _kernels(layer: int, x: torch.Tensor, weight: torch.Tensor, geometry: tuple[Any, ...]) -> Iterator[None]:
    """Set torch's switches for one convolution."""
    switches = torch.backends.cudnn
    if switches.benchmark or switches.deterministic or os.environ.get("CAFFE_CUDNN_SEARCH", "1") in ("", "0"):
        yield
        return
    is_dilated = any(length != 1 for length in geometry[2])
    # Identical layers share cuDNN's choice, but not their counts: three of them in one pass are not a repetition.
    what = layer, weight.shape, x.dtype, switches.allow_tf32, str(geometry)
    tries = _search.tries(what, tuple(x.shape), is_dilated, may_begin=not _is_recorded())
    switches.benchmark, switches.deterministic = tries, not tries and not is_dilated
    try:
        yield
    finally:
        switches.benchmark = switches.deterministic = False


def _is_recorded() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


common.before_cuda(bound_workspace)

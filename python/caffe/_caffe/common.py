"""What a Caffe process shares: mode, device, phases, random numbers, precision, solver rank.

Out:  set_mode_cpu/gpu, set_device, device(), rng(), set_random_seed, TRAIN, TEST.
Not here: tensors (syncedmem), layers.
Source: BVLC common.cpp. There they are kept per thread; here per process.
"""

from __future__ import annotations

import contextlib
import operator
import os
import warnings
from collections.abc import Callable, Iterator

import torch

from . import log
from .errors import CaffeError
from .rng import RNG

TRAIN = 0
TEST = 1
CPU = torch.device("cpu")


# DEVIATION D1: one state for the process, where Caffe keeps one per thread.
class _State:
    device = CPU
    gpu = 0
    mode_gpu = False
    warned = False
    rng: RNG | None = None
    precision = "fp32"
    solver_count = 1
    solver_rank = 0
    multiprocess = False
    plans = os.environ.get("CAFFE_PLAN", "1") not in ("", "0")
    kernels = os.environ.get("CAFFE_KERNELS", "1") not in ("", "0")
    graphs = os.environ.get("CAFFE_GRAPHS", "0") not in ("", "0")
    normalizer: Callable[[float], float] | None = None
    before_cuda: list[Callable[[], None]] = []  # noqa: RUF012 - one state
    on_precision: list[Callable[[], None]] = []  # noqa: RUF012 - one state


_state = _State()


def device() -> torch.device:
    """Return the device on which layers compute now."""
    return _state.device


def on_host() -> bool:
    """Return whether layers compute on the CPU now."""
    return _state.device is CPU


def set_mode_cpu() -> None:
    """Compute on the CPU from now on."""
    _state.mode_gpu = False
    _state.device = CPU


def set_mode_gpu() -> None:
    """Compute on the GPU chosen by `set_device` from now on.

    Without CUDA it warns once and continues on the CPU, so that old scripts run; with CAFFE_STRICT_GPU=1
    in the environment it raises CaffeError instead.
    """
    if _have_cuda("set_mode_gpu()"):
        _state.mode_gpu = True
        _state.device = torch.device("cuda", _state.gpu)


def set_device(device_id: int) -> None:
    """Choose the GPU with this number, from 0; without CUDA it behaves as `set_mode_gpu` does."""
    if not _have_cuda(f"set_device({device_id})"):
        return
    if not 0 <= device_id < torch.cuda.device_count():
        raise CaffeError(f"set_device: got GPU {device_id}, want 0 to {torch.cuda.device_count() - 1}")
    _state.gpu = int(device_id)
    if _state.mode_gpu:
        _state.device = torch.device("cuda", _state.gpu)


def _have_cuda(who: str) -> bool:
    if torch.cuda.is_available():
        for prepare in _state.before_cuda:
            prepare()
        return True
    text = f"{who}: no CUDA device on this machine (or torch without CUDA)"
    if os.environ.get("CAFFE_STRICT_GPU", "0") not in ("", "0"):
        raise CaffeError(f"{text}; unset CAFFE_STRICT_GPU to continue on the CPU")
    # DEVIATION D3: Caffe without CUDA ends the process here.
    if not _state.warned:
        _state.warned = True
        warnings.warn(f"{text}; continuing on the CPU, much slower. CAFFE_STRICT_GPU=1 makes this an error.",
                      stacklevel=3)
    return False


def rng() -> RNG:
    """Return Caffe's random number generator; seeded from the system's entropy until `set_random_seed`."""
    if _state.rng is None:
        _state.rng = RNG(None)
    return _state.rng


def set_random_seed(seed: int) -> None:
    """Seed fillers, dropout masks and shuffles, bit for bit as Caffe's CPU generator."""
    seed = _whole("set_random_seed", seed)
    _state.rng = RNG(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)  # dropout on the GPU, which no Caffe reproduces


def _whole(who: str, number: int) -> int:
    try:
        return operator.index(number)
    except TypeError:
        raise TypeError(f"{who}: got {number!r} ({type(number).__name__}), want an integer") from None


def set_precision(precision: str) -> None:
    """Choose the precision of convolutions in this process; all else, and all blobs, stay float32.

    Args:
        precision: `fp32` (default, as Caffe); `tf32` (GPU only: 10 bits instead of 23); `bf16` (7 bits: about 2.4
            significant digits; products are summed in float32).

    Raises:
        CaffeError: an unknown precision, or bf16 where neither the CPU nor a GPU computes in it.
    """
    if precision not in ("fp32", "tf32", "bf16"):
        raise CaffeError(f"set_precision: got {precision!r}, want 'fp32', 'tf32' or 'bf16'")
    if precision == "bf16" and not has_bf16():
        raise CaffeError("set_precision: this machine computes in bf16 neither on the CPU (that takes AVX-512 with "
                         "BF16, or AMX) nor on a GPU; stay with 'fp32'")
    if precision != _state.precision:
        log.info(f"Precision of convolutions: {precision}", "common.py:1")
    _state.precision = precision
    for call in _state.on_precision:
        call()


def on_precision_change(call: Callable[[], None]) -> None:
    """Call a function whenever the precision of convolutions is set."""
    _state.on_precision.append(call)


def before_cuda(call: Callable[[], None]) -> None:
    """Call a function whenever a GPU is chosen, before it is used; also now if one is in use."""
    _state.before_cuda.append(call)
    if _state.device is not CPU:
        call()


def precision() -> str:
    """Return the precision of convolutions: fp32, tf32 or bf16."""
    return _state.precision


def compute_type() -> torch.dtype:
    """Return the type in which convolutions multiply: bfloat16 or float32 (tf32 is a switch of torch's)."""
    return torch.bfloat16 if _state.precision == "bf16" else torch.float32


def has_bf16() -> bool:
    """Whether bf16 is faster than fp32 where layers compute now."""
    if _state.device is not CPU:
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def plans() -> bool:
    """Return whether TEST nets may run as plans."""
    return _state.plans


def set_plans(flag: bool) -> None:
    """Let TEST nets run as plans (default; CAFFE_PLAN=0 in the environment: not), or layer by layer as Caffe does."""
    _state.plans = bool(flag)


def kernels() -> bool:
    """Whether layers may convolve in ways of our own (kernels/choose)."""
    return _state.kernels


def set_kernels(flag: bool) -> None:
    """Let layers convolve in ways of our own (default; CAFFE_KERNELS=0 in the environment: not), or only by torch's.

    Either way they compute the same, up to the order of sums.
    """
    _state.kernels = bool(flag)


def graphs() -> bool:
    """Return whether plans may run as CUDA graphs."""
    return _state.graphs


def set_graphs(flag: bool) -> None:
    """Let plans on a GPU run as CUDA graphs where shapes repeat (CAFFE_GRAPHS=1 in the environment), or not (default).

    A graph is recorded in the fourth pass in a row over one shape with the same weights. An extension of our own.
    """
    _state.graphs = bool(flag)


@contextlib.contextmanager
def arithmetic() -> Iterator[None]:
    """Run a pass without autograd and in the chosen precision, leaving torch's switches as they were."""
    with torch.no_grad():
        if _state.device is CPU:
            yield
            return
        allow = _state.precision == "tf32"
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allow
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def solver_count() -> int:
    """Return the number of solvers that train together."""
    return _state.solver_count


def set_solver_count(count: int) -> None:
    """Set the number of solvers that train together."""
    _state.solver_count = _whole("set_solver_count", count)


def solver_rank() -> int:
    """Return this process's number among the solvers that train together, from 0."""
    return _state.solver_rank


def set_solver_rank(rank: int) -> None:
    """Set this process's number among the solvers that train together."""
    _state.solver_rank = _whole("set_solver_rank", rank)


def root_solver() -> bool:
    """Return whether this process is the first of those that train together: it logs, tests and saves."""
    return _state.solver_rank == 0


log.write_info_if(root_solver)  # Caffe: LOG_IF(INFO, Caffe::root_solver())


def set_normalizer(of_all: Callable[[float], float] | None) -> None:
    """Let losses divide by what a function over all processes returns for their own amount; None: by their own."""
    _state.normalizer = of_all


def normalizer(amount: float, phase: int) -> float:
    """Return what a loss divides by, at least 1: its own amount, or that of all processes in training."""
    if _state.normalizer is not None and phase == TRAIN:
        amount = _state.normalizer(amount)
    return max(1, amount)  # Caffe: all ignored gives loss 0, not 0 / 0


def set_multiprocess(flag: bool) -> None:
    """Declare that solvers which train together are processes, not threads."""
    _state.multiprocess = bool(flag)

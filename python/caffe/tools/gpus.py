"""Which device a tool computes on: the one that -gpu names, and never another instead.

In:   the text of -gpu ("", "0", "0,1", "all").
Out:  caffe set to that device.
Not here: the devices themselves (_caffe.common).
"""

from __future__ import annotations

import torch

from .._caffe import common, log, threads
from .._caffe.errors import CaffeError


def chosen(text: str) -> list[int]:
    """Return the devices that -gpu names.

    Raises:
        CaffeError: no CUDA here, or not these devices.
    """
    if not text:
        return []
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise CaffeError(f"-gpu {text}: no CUDA device on this machine (or torch without CUDA); leave it out to "
                         "work on the CPU")
    try:
        numbers = list(range(count)) if text == "all" else [int(part) for part in text.split(",")]
    except ValueError:
        raise CaffeError(f"-gpu {text}: want device numbers separated by ',', or 'all'") from None
    if wrong := [number for number in numbers if not 0 <= number < count]:
        raise CaffeError(f"-gpu {text}: device {wrong[0]} does not exist; want 0 to {count - 1}")
    return numbers


def first() -> list[int]:
    """Return GPU 0 if there is one, otherwise none."""
    return [0] if torch.cuda.is_available() else []


def select(numbers: list[int]) -> None:
    """Compute on the CPU (no number) or on one GPU.

    Raises:
        CaffeError: more than one GPU.
    """
    if not numbers:
        log.info("Use CPU.", "caffe.cpp:211")
        say_threads()
        common.set_mode_cpu()
        return
    if len(numbers) > 1:
        raise CaffeError(f"got GPUs {', '.join(map(str, numbers))}; this tool computes on one. Training on several: "
                         f"python/train.py --solver SOLVER --gpus {' '.join(map(str, numbers))}")
    log.info(f"Using GPUs {numbers[0]}", "caffe.cpp:218")
    log.info(f"GPU {numbers[0]}: {torch.cuda.get_device_name(numbers[0])}", "caffe.cpp:223")
    common.set_device(numbers[0])
    common.set_mode_gpu()


def say_threads() -> None:
    """Compute with as many threads as suit this process, and log how many."""
    log.info(f"Convolutions with {threads.choose()}", "threads.py:1")

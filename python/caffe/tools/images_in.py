"""What classify.py and detect.py share: their options for a net and its images.

In:   an argparse parser.   Out:  options added; the keywords of Classifier and Detector.
Not here: running nets.    Source: BVLC python/classify.py, detect.py.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from .._caffe.files.caffemodel import read_blob
from . import gpus


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a net, its weights, its device and its images."""
    parser.add_argument("--model_def", required=True, metavar="PROTOTXT", help="deploy net")
    parser.add_argument("--pretrained_model", required=True, metavar="CAFFEMODEL", help="its weights")
    parser.add_argument("--gpu", action="store_true", help="compute on GPU 0")
    parser.add_argument("--mean_file", default="", help="mean image (.npy, channels x height x width, or one value per "
                        "channel; or a .binaryproto), in the net's order of channels")
    parser.add_argument("--input_scale", type=float, help="factor after the mean")
    parser.add_argument("--raw_scale", type=float, default=255.0, help="factor before the mean (255)")
    parser.add_argument("--channel_swap", default="2,1,0", help="order of channels (2,1,0: RGB to BGR)")


def keywords(options: argparse.Namespace) -> dict[str, Any]:
    """Choose the device; return the keywords that Classifier and Detector have in common.

    Raises:
        ValueError: a mean or a channel order that cannot be read. CaffeError: no GPU.
    """
    gpus.select(gpus.chosen("0" if options.gpu else ""))
    swap = numbers(options.channel_swap, "channel_swap") if options.channel_swap else None
    return {"mean": read_mean(options.mean_file) if options.mean_file else None, "input_scale": options.input_scale,
            "raw_scale": options.raw_scale, "channel_swap": swap}


def numbers(text: str, option: str) -> list[int]:
    """Read whole numbers separated by ','."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--{option} {text}: want whole numbers separated by ','") from None


def read_mean(path: str) -> np.ndarray:
    """Read a mean: .npy, or under any other name a BlobProto; (C,) or (C, H, W)."""
    if not path.endswith(".npy"):
        mean = np.asarray(read_blob(path).array)
        return mean.reshape(mean.shape[-3:])
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as problem:
        raise ValueError(f"{path}: cannot read a mean from it ({problem})") from problem

"""Detector: a net that scores windows in images, as R-CNN does.

In:   a deploy prototxt, its weights, how its images are prepared; image files and windows.
Out:  the scores of every window, with or without some of its surroundings.
Not here: preparing one crop (io.Transformer); proposing windows (an external module).
Source: BVLC Caffe's python/caffe/detector.py, for behaviour; Girshick et al. 2014.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import io
from ._caffe.common import TEST
from ._caffe.net.net import Net
from .classifier import input_transformer


class Detector(Net):
    """A net in TEST phase with one image input, used on windows of images.

    Args:
        model_file: path of a deploy prototxt.
        pretrained_file: path of its caffemodel.
        mean: subtracted, in the net's order of channels; see io.Transformer.set_mean.
        input_scale: factor after the mean.
        raw_scale: factor before the mean.
        channel_swap: order of channels, (2, 1, 0) for a BGR net.
        context_pad: how many pixels of the (square) input show the window's surroundings; R-CNN's is 16.
    """

    def __init__(self, model_file: str | os.PathLike[str], pretrained_file: str | os.PathLike[str] | None,
                 mean: np.ndarray | None = None, input_scale: float | None = None, raw_scale: float | None = None,
                 channel_swap: Sequence[int] | None = None, context_pad: int | None = None) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = input_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Iterable[Sequence[int]]]]) -> list[dict[str, Any]]:
        """Score windows of image files.

        Args:
            images_windows: pairs of an image's path and its windows (ymin, xmin, ymax, xmax) in pixels.

        Returns:
            One dict per window, in order: filename, window, prediction (the net's first output, float32).

        Raises:
            OSError: an image that cannot be read. ValueError: a window outside its image.
        """
        found: list[dict[str, Any]] = []
        crops = []
        in_ = self.inputs[0]
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                crops.append(self.transformer.preprocess(in_, self.crop(image, window)))
                found.append({"window": window, "filename": filename})
        if not crops:
            return []
        caffe_in: dict[str, Any] = {in_: np.stack(crops)}
        predictions = self.forward_all(**caffe_in)[self.outputs[0]]
        for row, prediction in zip(found, predictions, strict=True):
            row["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[str]) -> list[dict[str, Any]]:
        """Score the windows that Selective Search proposes, as detect_windows does.

        Raises:
            ImportError: the module selective_search_ijcv_with_python, which runs MATLAB, is missing.
        """
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError as error:
            raise ImportError("detect_selective_search needs the module selective_search_ijcv_with_python on the "
                              "path (it calls MATLAB); without it, pass windows to detect_windows") from error
        filenames = [os.path.abspath(name) for name in image_fnames]  # MATLAB works in its own folder
        windows = selective_search.get_windows(filenames, cmd="selective_search_rcnn")
        return self.detect_windows(zip(filenames, windows, strict=True))

    def crop(self, im: np.ndarray, window: Sequence[int]) -> np.ndarray:
        """Cut a window out of an image, with its surroundings if context_pad is set.

        Args:
            im: H x W x K.
            window: (ymin, xmin, ymax, xmax) in pixels, ends excluded.

        Returns:
            The window as it is, or, with context_pad, float32 of the input's size: window and surroundings
            stretched to it, and the mean where they lie outside the image.

        Raises:
            ValueError: nothing of it lies in the image.
        """
        if np.ndim(window) != 1 or len(window) != 4:
            raise ValueError(f"Detector: got the window {window!r}, want (ymin, xmin, ymax, xmax) in pixels, and for "
                             "each image a list of them")
        if im.ndim not in (2, 3):
            io.check_image("Detector.crop", im)
        ymin, xmin, ymax, xmax = (int(edge) for edge in window)
        if not self.context_pad:
            crop = im[ymin:ymax, xmin:xmax]
            if crop.size == 0:
                raise ValueError(f"window {(ymin, xmin, ymax, xmax)} contains nothing of an image of {im.shape[:2]}")
            return crop
        size = self.blobs[self.inputs[0]].width  # Caffe: a square input is assumed
        lows, highs = _with_context(np.array([ymin, xmin]), np.array([ymax, xmax]), size, self.context_pad)
        crop = np.ones(self.crop_dims, dtype=np.float32) * self.crop_mean
        places, cuts = [], []
        for low, high, length in zip(lows, highs, im.shape[:2], strict=True):
            place, cut = _fit(low, high, length, size)
            if cut.stop <= cut.start or place.stop <= place.start:
                raise ValueError(f"window {(ymin, xmin, ymax, xmax)} contains nothing of an image of {im.shape[:2]}")
            places.append(place)
            cuts.append(cut)
        shape = tuple(place.stop - place.start for place in places)
        crop[tuple(places)] = io.resize_image(im[tuple(cuts)], shape)
        return crop

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much of the surroundings crops show, and the mean in the images' own order and range.

        Raises:
            ValueError: the context is as wide as the input.
        """
        in_ = self.inputs[0]
        back = np.argsort(self.transformer.transpose[in_])
        self.crop_dims = np.array(self.blobs[in_].shape[1:])[back]
        if context_pad and 2 * context_pad >= self.blobs[in_].width:
            raise ValueError(f"context_pad {context_pad}: nothing of a window would show in an input of "
                             f"{self.blobs[in_].width} pixels; want less than half of it")
        self.context_pad = context_pad
        if not context_pad:
            return
        mean = self.transformer.mean.get(in_)
        if mean is None:
            self.crop_mean = np.zeros(self.crop_dims, dtype=np.float32)
            return
        crop_mean = mean.transpose(back).copy()
        if (order := self.transformer.channel_swap.get(in_)) is not None:
            crop_mean = crop_mean[:, :, np.argsort(order)]
        if (raw_scale := self.transformer.raw_scale.get(in_)) is not None:
            crop_mean = crop_mean / raw_scale
        self.crop_mean = crop_mean


def _with_context(low: np.ndarray, high: np.ndarray, size: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Widen a window about its centre so that it fills all but `pad` pixels at each side of the input."""
    scale = size / (size - 2.0 * pad)
    half = (high - low + 1) / 2.0
    centre = low + half
    return np.round(centre - scale * half), np.round(centre + scale * half)


def _fit(low: float, high: float, length: int, size: int) -> tuple[slice, slice]:
    """Return, along one axis, where a window's part inside the image goes in the crop, and which part that is."""
    scale = size / (high - low + 1)
    before = round(max(0.0, -low) * scale)
    low, high = np.clip((low, high), 0, length)
    inside = min(round((high - low + 1) * scale), size - before)
    # DEVIATION D32: Caffe's indices here are floats, which NumPy refuses since 1.12.
    return slice(before, before + inside), slice(int(low), int(high))

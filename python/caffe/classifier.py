"""Classifier: a net that names what is in images, from whole crops.

In:   a deploy prototxt, its weights, how its images are prepared; images H x W x K.
Out:  class scores, the mean over ten crops where wanted.
Not here: preparing one image (io.Transformer), windows in an image (detector).
Source: BVLC Caffe's python/caffe/classifier.py, for behaviour.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import io
from ._caffe.common import TEST
from ._caffe.errors import NetError
from ._caffe.net.net import Net


def input_transformer(net: Net, mean: np.ndarray | None, input_scale: float | None, raw_scale: float | None,
                      channel_swap: Sequence[int] | None) -> io.Transformer:
    """Return the Transformer of H x W x K images for a net's first input; what is None is left out.

    Raises:
        NetError: the net has no input.
    """
    if not net.inputs:
        raise NetError(f"net '{net.name}' has no input; want a deploy net, with an Input layer for its images")
    in_ = net.inputs[0]
    transformer = io.Transformer({in_: net.blobs[in_].shape})
    transformer.set_transpose(in_, (2, 0, 1))
    settings: tuple[tuple[Any, Any], ...] = (
        (transformer.set_mean, mean), (transformer.set_input_scale, input_scale),
        (transformer.set_raw_scale, raw_scale), (transformer.set_channel_swap, channel_swap))
    for set_, value in settings:
        if value is not None:
            set_(in_, value)
    return transformer


class Classifier(Net):
    """A net in TEST phase with one image input, used on arrays of images.

    Args:
        model_file: path of a deploy prototxt.
        pretrained_file: path of its caffemodel.
        image_dims: height and width that images are resized to before they are cropped; the input's by default.
        mean: subtracted, in the net's order of channels; see io.Transformer.set_mean.
        input_scale: factor after the mean.
        raw_scale: factor before the mean.
        channel_swap: order of channels, (2, 1, 0) for a BGR net.
    """

    def __init__(self, model_file: str | os.PathLike[str], pretrained_file: str | os.PathLike[str] | None,
                 image_dims: Sequence[int] | None = None, mean: np.ndarray | None = None,
                 input_scale: float | None = None, raw_scale: float | None = None,
                 channel_swap: Sequence[int] | None = None) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = input_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        if image_dims is not None and np.ndim(image_dims) == 0:
            raise TypeError(f"Classifier: got image_dims {image_dims!r}, want (height, width)")
        self.image_dims = self.crop_dims if image_dims is None or len(image_dims) == 0 else image_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Return the scores of every image.

        Args:
            inputs: N images, H x W x K, of any sizes and equal K; as load_image returns them.
            oversample: the mean over the four corners, the centre and their mirrors; else the centre alone.

        Returns:
            (N, classes) float32, of the net's first output. Without `oversample` its axes are the output's.

        Raises:
            ValueError: no images, crops larger than image_dims, or other channels than the first image's.
            IndexError: an image with fewer axes, for example one image given in place of a list of one.
            TypeError: anything but images.
        """
        images = self._resized(inputs)
        crops = io.oversample(list(images), tuple(self.crop_dims)) if oversample else self._centres(images)
        in_ = self.inputs[0]
        caffe_in: dict[str, Any] = {in_: np.stack([self.transformer.preprocess(in_, crop) for crop in crops])}
        predictions = self.forward_all(**caffe_in)[self.outputs[0]]
        return predictions.reshape(len(inputs), 10, -1).mean(1) if oversample else predictions

    def _resized(self, inputs: Any) -> np.ndarray:
        """Return images of the size image_dims, (N, H, W, K); a single channel stands for all of the first image's."""
        if isinstance(inputs, (str, bytes)) or not hasattr(inputs, "__len__"):
            raise TypeError(f"Classifier.predict: got {type(inputs).__name__}, want a list of arrays height x width x "
                            "channels, as caffe.io.load_image returns them")
        if len(inputs) == 0:
            raise ValueError("Classifier.predict: got no images, want a list of arrays H x W x K")
        height, width = (int(length) for length in self.image_dims)
        given = [_image(i, image) for i, image in enumerate(inputs)]
        images = np.zeros((len(given), height, width, given[0].shape[2]), np.float32)
        for i, image in enumerate(given):
            if image.shape[2] not in (1, images.shape[3]):
                raise ValueError(f"Classifier.predict: image {i} has {image.shape[2]} channels, the first "
                                 f"{images.shape[3]}; want equal numbers")
            images[i] = io.resize_image(image, (height, width))
        return images

    def _centres(self, images: np.ndarray) -> np.ndarray:
        centre, half = np.array(self.image_dims) / 2.0, self.crop_dims / 2.0
        top, left = (centre - half).astype(int)  # Caffe: truncated towards zero
        bottom, right = (centre + half).astype(int)
        if top < 0 or left < 0:
            raise ValueError(f"Classifier.predict: crops of {tuple(self.crop_dims)} do not fit into image_dims "
                             f"{tuple(self.image_dims)}")
        return images[:, top:bottom, left:right]


def _image(i: int, given: Any) -> np.ndarray:
    image = np.asarray(given)
    if image.dtype.kind not in "biuf":
        raise TypeError(f"Classifier.predict: image {i} is {type(given).__name__}, want an array height x width x "
                        "channels, as caffe.io.load_image returns it")
    if image.ndim != 3:  # Caffe: an IndexError if there are fewer axes
        raise (IndexError if image.ndim < 3 else ValueError)(
            f"Classifier.predict: image {i} of the list has shape {image.shape}, want height x width x channels; pass "
            "one image as [image], and a grey one as image[:, :, np.newaxis]")
    return image

"""DataTransformer: an image on its way into a blob: cropped, mirrored, mean subtracted, scaled.

In:   a TransformationParameter, the phase; (C, H, W) uint8 or float32 arrays.
Out:  float32 values, bit for bit as Caffe's, with its draws of crops and mirrors.
Not here: where images come from (datum, layers/data), `caffe.io.Transformer` (caffe/io.py).
Source: BVLC data_transformer.cpp.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import common
from ..errors import CaffeError
from ..files.blobproto import decode_blob
from ..files.wire import WireError
from ..rng import RNG


class DataTransformer:
    """One layer's transformation, with a random generator of its own.

    Args:
        param: TransformationParameter.
        phase: TRAIN crops at random, TEST in the middle.

    Raises:
        CaffeError: mutually exclusive settings, or a mean_file that cannot be read.
    """

    def __init__(self, param: Any, phase: int) -> None:
        if param.mean_file and param.mean_value:
            raise CaffeError("Cannot specify mean_file and mean_value at the same time")
        self.crop_size: int = param.crop_size
        self.mirror: bool = param.mirror
        self.scale = np.float32(param.scale)
        self.random_crop: bool = phase == common.TRAIN and self.crop_size > 0
        self._forced: tuple[bool, bool] = param.force_color, param.force_gray
        self._mean_file: str = param.mean_file
        self._mean = _read_mean(param.mean_file) if param.mean_file else None
        self._mean_values = np.array(param.mean_value, np.float32)
        self._rng: RNG | None = None

    @property
    def color(self) -> bool | None:
        """How encoded images are decoded: True for three channels, False for one, None for what the file has.

        Raises:
            CaffeError: both force_color and force_gray. Caffe: only the decoder checks this. data_transformer.cpp
        """
        if all(self._forced):
            raise CaffeError("cannot set both force_color and force_gray")
        return self._forced[0] if any(self._forced) else None

    def init_rand(self) -> None:
        """Seed the generator with a draw from Caffe's, if any image will need random numbers."""
        if self.mirror or self.random_crop:
            self._rng = RNG(common.rng().draw())

    def infer_blob_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the shape (1, C, H, W) of an image of (C, H, W) after the transformation.

        Raises:
            CaffeError: the image is smaller than crop_size.
        """
        channels, height, width = shape
        size = self.crop_size
        if height < size or width < size:
            raise CaffeError(f"an image of {width} x {height} is smaller than crop_size {size}; enlarge it, or "
                             f"choose a smaller crop_size")
        return (1, channels, size or height, size or width)

    def transform(self, image: np.ndarray, out: np.ndarray) -> None:
        """Write the transformed image.

        Args:
            image: (C, H, W) uint8 or float32.
            out: (C, H', W') float32, of `infer_blob_shape`; completely overwritten.

        Raises:
            CaffeError: sizes or a mean that do not fit.
        """
        want = self.infer_blob_shape(image.shape)[1:]
        if out.shape != want:
            raise CaffeError(f"an image gives {want[0]} x {want[1]} x {want[2]} (channels x height x width), the "
                             f"first of the batch {out.shape[0]} x {out.shape[1]} x {out.shape[2]}; images of "
                             f"several sizes need batch_size 1 or a crop_size")
        # Caffe: the order of draws is mirror, rows, columns; mirror also in TEST. data_transformer.cpp
        mirrored = self.mirror and self._rand(2)
        top, left = self._offsets(image.shape)
        window = np.s_[:, top:top + want[1], left:left + want[2]]
        into = out[..., ::-1] if mirrored else out
        mean = self._mean_for(image.shape)
        if mean is None:
            into[...] = image[window]
        else:
            np.subtract(image[window], mean[window] if self._mean is not None else mean, out=into, dtype=np.float32)
        if self.scale != 1:
            out *= self.scale

    def _offsets(self, shape: tuple[int, ...]) -> tuple[int, int]:
        if not self.crop_size:
            return 0, 0
        rows, columns = shape[1] - self.crop_size, shape[2] - self.crop_size
        if self.random_crop:
            return self._rand(rows + 1), self._rand(columns + 1)
        return rows // 2, columns // 2

    def _rand(self, n: int) -> int:
        assert self._rng is not None, "init_rand first"
        return self._rng.rand(n)

    def _mean_for(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the mean to subtract from a whole image: of its shape, or (C, 1, 1), or (1, 1, 1)."""
        if self._mean is not None:
            if self._mean.shape != shape:
                raise CaffeError(f"mean_file '{self._mean_file}' is of {' x '.join(map(str, self._mean.shape))}, the "
                                 f"image of {' x '.join(map(str, shape))} (channels x height x width); they must agree")
            return self._mean
        count = len(self._mean_values)
        if count == 0:
            return None
        if count not in (1, shape[0]):
            raise CaffeError(f"Specify either 1 mean_value or as many as channels: {shape[0]}; got {count}")
        return self._mean_values[:, np.newaxis, np.newaxis]

    def mean_of_windows(self, channels: int) -> np.ndarray:
        """Return the mean for crops made to crop_size without `transform` (WindowData): (C or 1, S or 1, S or 1).

        Raises:
            CaffeError: a mean with other channels, or smaller than crop_size.
        """
        if self._mean is None:
            mean = self._mean_for((channels, 0, 0))
            return np.zeros((1, 1, 1), np.float32) if mean is None else mean
        # Caffe: the middle of the columns decides where to begin in both directions. window_data_layer.cpp
        size, begin = self.crop_size, (self._mean.shape[2] - self.crop_size) // 2
        middle = self._mean[:, max(begin, 0):begin + size, max(begin, 0):begin + size]
        if middle.shape != (channels, size, size):
            raise CaffeError(f"mean_file '{self._mean_file}' is of {' x '.join(map(str, self._mean.shape))} (channels, "
                             f"rows, columns); crops want {channels} x {size} x {size} of it, from {begin} on")
        return middle


def _read_mean(path: str) -> np.ndarray:
    """Read the BlobProto in a mean_file as (C, H, W) float32."""
    try:
        raw = Path(path).read_bytes()
        mean = decode_blob(raw, 0, len(raw)).array.astype(np.float32)
    except OSError as problem:
        raise CaffeError(f"Could not open mean_file '{path}': {problem.strerror}") from problem
    except WireError as problem:
        raise CaffeError(f"mean_file '{path}' is not a BlobProto ({problem}); compute_image_mean makes it") from problem
    if mean.ndim not in (3, 4) or mean.size == 0 or mean.shape[:-3] not in ((), (1,)):
        raise CaffeError(f"mean_file '{path}' has the shape {mean.shape}, want 1 x channels x height x width")
    return mean.reshape(mean.shape[-3:])

"""Images and arrays on their way into nets, and arrays in and out of Caffe's messages.

In:   image files; H x W x K arrays; BlobProto, BlobProtoVector and Datum messages.
Out:  float32 arrays as nets take them (Transformer), crops, messages.
Not here: data layers; nets.
Source: BVLC Caffe's python/caffe/io.py, for behaviour as of 2015; Pillow replaces scikit-image.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from caffe.proto import caffe_pb2

LUMINANCE = np.array([0.2125, 0.7154, 0.0721])  # of R, G, B: scikit-image's rgb2gray, which Caffe used


def blobproto_to_array(blob: Any, return_diff: bool = False) -> np.ndarray:
    """Return the data (or the diff) of a BlobProto as float64 in its shape.

    Raises:
        ValueError: there are more or fewer values than the shape says.
    """
    values = (blob.diff or blob.double_diff) if return_diff else (blob.data or blob.double_data)
    array = np.array(values, dtype=np.float64)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return array.reshape(blob.num, blob.channels, blob.height, blob.width)
    return array.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> Any:
    """Return a BlobProto of the array's shape, with its values as data and, if given, a diff."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """Return the bytes of a BlobProtoVector of these arrays."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(arr) for arr in arraylist])
    return bytes(vector.SerializeToString())


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:  # noqa: A002 - Caffe's name
    """Return the arrays in a BlobProtoVector's bytes."""
    vector = caffe_pb2.BlobProtoVector.FromString(str)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> Any:
    """Return a Datum of a C x H x W array, as bytes (uint8) or floats; ValueError for other axes."""
    if arr.ndim != 3:
        raise ValueError(f"Incorrect array shape. {arr.shape}, want channels x height x width")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> np.ndarray:
    """Return a Datum's C x H x W array: uint8 from its bytes or encoded image (grey, BGR, BGRA), else float64.

    The label is not included. ValueError: the number of values differs from its shape; RuntimeError: no image.
    """
    if datum.encoded:  # Caffe fails here
        from caffe._caffe.data.datum import decode_image
        return decode_image(datum.data)
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        return np.frombuffer(datum.data, dtype=np.uint8).reshape(shape).copy()
    return np.array(datum.float_data, dtype=np.float64).reshape(shape)


class Transformer:
    """Bring images into the form of a net's input, and back.

    The steps of `preprocess`, each only where it is set: resize, transpose, channel_swap, raw_scale,
    mean, input_scale. The settings are in dicts of these names, keyed by input.
    """

    def __init__(self, inputs: dict[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Return an image as the net's input takes it.

        Args:
            in_: name of the input blob.
            data: H x W x K; usually RGB in [0, 1], as load_image returns it.

        Returns:
            float32, K x H' x W' of the input's shape (H' x W' x K without set_transpose).

        Raises:
            RuntimeError, ValueError: fewer, or more, axes than a step takes.
        """
        self._check_input(in_)
        who = f"Transformer.preprocess('{in_}')"
        # DEVIATION D7: Caffe writes into a float32 `data` if no step copies it.
        image = np.array(data, dtype=np.float32)
        in_dims = self.inputs[in_][2:]
        if image.shape[:2] != in_dims:
            check_image(who, image)
            image = resize_image(image, in_dims)
        if self.transpose.get(in_) is not None:
            if image.ndim != len(self.transpose[in_]):
                check_image(who, image)
            image = image.transpose(self.transpose[in_])
        if self.channel_swap.get(in_) is not None:
            image = image[self.channel_swap[in_], :, :]
        if self.raw_scale.get(in_) is not None:
            image *= self.raw_scale[in_]
        if self.mean.get(in_) is not None:
            image -= self.mean[in_]
        if self.input_scale.get(in_) is not None:
            image *= self.input_scale[in_]
        return image

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Undo `preprocess` except for the resizing: from a net's input back to an H x W x K image."""
        self._check_input(in_)
        image = data.copy().squeeze()
        if self.transpose.get(in_) is not None and image.ndim != len(self.transpose[in_]):
            raise ValueError(f"Transformer.deprocess('{in_}'): axes don't match array; got shape {np.shape(data)}, "
                             "want channels x height x width")
        if self.input_scale.get(in_) is not None:
            image /= self.input_scale[in_]
        if self.mean.get(in_) is not None:
            image += self.mean[in_]
        if self.raw_scale.get(in_) is not None:
            image /= self.raw_scale[in_]
        if self.channel_swap.get(in_) is not None:
            image = image[np.argsort(self.channel_swap[in_]), :, :]
        if self.transpose.get(in_) is not None:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes: (2, 0, 1) turns H x W x K into K x H x W."""
        self._check_input(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise ValueError("Transpose order needs to have the same number of dimensions as the input.")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels: (2, 1, 0) turns RGB into BGR; it acts after the transpose."""
        self._check_input(in_)
        if len(order) != self.inputs[in_][1]:
            raise ValueError("Channel swap needs to have the same number of dimensions as the input "
                             "channels.")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean: 255 turns [0, 1] into [0, 255], for nets trained on bytes."""
        self._check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """Set the mean to subtract, one value per channel (K,) or an image (K x H x W), resized to fit.

        Raises:
            ValueError: its channels differ from the input's, or it has another number of axes.
        """
        self._check_input(in_)
        mean, in_shape = np.asarray(mean), self.inputs[in_][1:]
        if mean.ndim == 1:
            if mean.shape[0] != in_shape[0]:
                raise ValueError(f"Mean channels incompatible with input. {mean.shape}, want {in_shape[0]}")
            self.mean[in_] = mean[:, np.newaxis, np.newaxis]
            return
        picture = mean[np.newaxis] if mean.ndim == 2 and in_shape[0] == 1 else mean
        if picture.ndim != 3:
            raise ValueError(f"Mean shape invalid {mean.shape}, want channels x height x width")
        if picture.shape[0] not in (1, in_shape[0]):
            raise ValueError(f"Mean shape incompatible with input shape. {mean.shape}, want {in_shape}")
        if picture.shape[1:] != in_shape[1:]:
            picture = resize_image(picture.transpose(1, 2, 0), in_shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = picture

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean; unlike raw_scale it is the net's, not the image's."""
        self._check_input(in_)
        self.input_scale[in_] = scale

    def _check_input(self, in_: str) -> None:
        if in_ not in self.inputs:
            # Caffe: a plain Exception.
            raise Exception(f"{in_} is not one of the net inputs: {self.inputs}")


def check_image(who: str, image: np.ndarray, too_few: type[Exception] = RuntimeError) -> None:
    """Refuse anything but height x width x channels.

    Raises:
        RuntimeError: fewer axes, or `too_few`; ValueError: more. Caffe: what scipy and scikit-image raise there.
    """
    if image.ndim != 3:
        hint = "; for a grey image pass image[:, :, np.newaxis]" if image.ndim == 2 else ""
        raise (too_few if image.ndim < 3 else ValueError)(
            f"{who}: got an image of shape {image.shape}, want height x width x channels{hint}")


def _height_and_width(who: str, dims: Any) -> tuple[int, int]:
    """Return two lengths of at least 1; TypeError or ValueError if they are anything else."""
    try:
        lengths = [int(length) for length in dims]
    except TypeError:
        raise TypeError(f"{who}: got {dims!r}, want (height, width)") from None
    if len(lengths) != 2 or min(lengths) < 1:
        raise ValueError(f"{who}: got {tuple(lengths)}, want (height, width), both at least 1")
    return lengths[0], lengths[1]


def load_image(filename: str | os.PathLike[str], color: bool = True) -> np.ndarray:
    """Read an image file; alpha is dropped, palettes are looked up, CMYK becomes RGB.

    Returns:
        float32 in [0, 1], H x W x 3 (RGB; a grey image's are equal) or, without `color`, H x W x 1.

    Raises:
        OSError: no such file, not an image, or only part of one; names the file.
    """
    from ._caffe.data.datum import UNREADABLE, Image

    try:
        with Image.open(filename) as opened:
            image = _unit_range(opened)  # H x W or H x W x 3
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise OSError(f"image '{os.fspath(filename)}' cannot be read: {error}") from error
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
        return np.tile(image, (1, 1, 3)) if color else image
    return image if color else (image @ LUMINANCE)[:, :, np.newaxis].astype(np.float32)


def _unit_range(opened: Any) -> np.ndarray:
    """Return a Pillow image as float32 in [0, 1], grey as H x W, all else as H x W x 3."""
    if opened.mode.startswith("I"):  # 16 bits, or 32 that hold 16
        return np.asarray(opened, dtype=np.float32) / 65535
    if opened.mode == "F":
        return np.asarray(opened, dtype=np.float32)
    grey = opened.mode in ("1", "L", "LA", "La")
    return np.asarray(opened.convert("L" if grey else "RGB"), dtype=np.float32) / 255


def resize_image(im: np.ndarray, new_dims: Sequence[int], interp_order: int = 1) -> np.ndarray:
    """Resize an image as Caffe did in 2015: no smoothing before shrinking.

    Args:
        im: H x W x K.
        new_dims: wanted height and width.
        interp_order: 0 nearest, 1 bilinear, up to 5 splines.

    Returns:
        float32, new height x new width x K. With 1 or 3 channels, what lies outside the image counts as
        the image's least value, so enlarging darkens a border; a constant image stays constant.

    Raises:
        RuntimeError, ValueError: `im` has fewer, or more, axes. ValueError, TypeError: invalid new_dims.
    """
    height, width = _height_and_width("resize_image: new_dims", new_dims)
    im = np.asarray(im)
    check_image("resize_image", im)
    if im.shape[-1] not in (1, 3):
        from scipy.ndimage import zoom
        factors = (height / im.shape[0], width / im.shape[1], 1)
        return np.asarray(zoom(im, factors, order=interp_order), dtype=np.float32)
    low, high = im.min(), im.max()
    if low == high:
        return np.full((height, width, im.shape[-1]), low, dtype=np.float32)
    unit = (im.astype(np.float64) - low) / (float(high) - float(low))
    rows, columns = _centres(im.shape[0], height), _centres(im.shape[1], width)
    if interp_order == 1:
        resized = _lerp(_lerp(unit, rows).transpose(1, 0, 2), columns).transpose(1, 0, 2)
    else:
        resized = _splines(unit, rows, columns, interp_order)
    return (resized * (float(high) - float(low)) + low).astype(np.float32)


def _centres(size: int, new_size: int) -> np.ndarray:
    """Return where the new pixels' centres lie, counted in old pixels."""
    return (np.arange(new_size) + 0.5) * (size / new_size) - 0.5


def _lerp(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate linearly along the first axis, with zero outside."""
    padded = np.zeros((image.shape[0] + 2, *image.shape[1:]))
    padded[1:-1] = image
    left = np.floor(places).astype(int)
    share = (places - left)[:, np.newaxis, np.newaxis]
    return padded[left + 1] * (1 - share) + padded[left + 2] * share


def _splines(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, order: int) -> np.ndarray:
    from scipy.ndimage import map_coordinates
    grid = np.meshgrid(rows, columns, indexing="ij")
    channels = [map_coordinates(image[..., k], grid, order=order, mode="grid-constant")
                for k in range(image.shape[-1])]
    return np.clip(np.stack(channels, axis=-1), 0, 1)


def oversample(images: Sequence[np.ndarray], crop_dims: Sequence[int]) -> np.ndarray:
    """Crop each image ten times: four corners, the centre, and these five mirrored.

    `images` are N of one size, H x W x K; returns float32, 10 N x crop_dims x K; ValueError if one does not fit,
    IndexError if there is none, or the first has fewer axes.
    """
    if len(images) == 0:
        raise IndexError("oversample: got no images, want a list of arrays height x width x channels")
    check_image("oversample", np.asarray(images[0]), IndexError)
    height, width, channels = np.asarray(images[0]).shape
    crop_h, crop_w = _height_and_width("oversample: crop_dims", crop_dims)
    if crop_h > height or crop_w > width:
        raise ValueError(f"oversample: crops of {crop_h} x {crop_w} do not fit into {height} x {width}")
    corners = [(y, x) for y in (0, height - crop_h) for x in (0, width - crop_w)]
    centre = (int(height / 2.0 - crop_h / 2.0), int(width / 2.0 - crop_w / 2.0))
    crops = np.empty((10 * len(images), crop_h, crop_w, channels), dtype=np.float32)
    for i, image in enumerate(images):
        for j, (y, x) in enumerate([*corners, centre]):
            crops[10 * i + j] = image[y:y + crop_h, x:x + crop_w]
        crops[10 * i + 5:10 * i + 10] = crops[10 * i:10 * i + 5, :, ::-1]
    return crops

"""The coordinate map between blobs of a net, and Crop layers made from it.

In:   Tops of a NetSpec.
Out:  maps (axis, scale, shift): x of one blob is scale * x + shift in the other; Crop Tops.
Not here: Concat, Slice, Reshape and other layers that have no such map in Caffe.
Source: BVLC Caffe's python/caffe/coord_map.py, for behaviour, its errors included.

`axis` is the one before the first spatial axis (1 for convolution), None for layers that leave
coordinates alone. Scales and shifts are numbers or arrays with one value, or one per axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe.net_spec import Function, Top
from caffe.net_spec import layers as L

PASS_THROUGH_LAYERS = ["AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN",
                       "Exp", "MVN", "Power", "ReLU", "PReLU", "Scale", "Sigmoid", "Split", "TanH",
                       "Threshold"]
_LEGACY = {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"}

Map = tuple[Any, Any, Any]  # axis, scale, shift


class UndefinedMapException(Exception):
    """A layer that does not map coordinates to coordinates."""


class AxisMismatchException(Exception):
    """Two maps in a row that act on different axes."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return (axis, stride, effective kernel size, pad) of a convolution-like layer.

    Raises:
        AssertionError: the layer has settings that end in _h or _w.
        KeyError: it has no kernel_size.
    """
    settings = fn.params.get("convolution_param", fn.params)
    kernel_size = np.array(settings["kernel_size"], ndmin=1)
    dilation = np.array(settings.get("dilation", 1), ndmin=1)
    if _LEGACY & set(settings):
        # Caffe: an AssertionError, which callers catch; user input all the same.
        raise AssertionError("cropping does not support legacy _h/_w params")
    return (settings.get("axis", 1), np.array(settings.get("stride", 1), ndmin=1),
            (kernel_size - 1) * dilation + 1, np.array(settings.get("pad", 0), ndmin=1))


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """Return (axis, offset) of a Crop layer."""
    settings = fn.params.get("crop_param", fn.params)
    return settings.get("axis", 2), np.array(settings.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """Return the map of a layer: where its top's coordinate x lies, counted in its bottom, inverted.

    A convolution's top has 1 / stride as many places as its bottom, so its scale is 1 / stride.

    Raises:
        UndefinedMapException: the layer has none.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel_size, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel_size - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel_size, pad = conv_params(fn)
        return axis, stride, (kernel_size - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return None, 1, 0
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset  # Crop's axis is the first spatial one
    raise UndefinedMapException(f"layer type {fn.type_name} has no coordinate map")


def compose(base_map: Map, next_map: Map) -> Map:
    """Apply `next_map`, then `base_map`.

    Raises:
        AxisMismatchException: they act on different axes.
    """
    base_axis, base_scale, base_shift = base_map
    next_axis, next_scale, next_shift = next_map
    if base_axis is not None and next_axis is not None and base_axis != next_axis:
        raise AxisMismatchException(f"maps on axis {base_axis} and on axis {next_axis} do not compose")
    axis = next_axis if base_axis is None else base_axis
    return axis, base_scale * next_scale, base_scale * next_shift + base_shift


def inverse(coord_map: Map) -> Map:
    """Return the inverse map."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Return the map from coordinates of `top_from` to those of `top_to`, via a blob both are made from.

    Raises:
        RuntimeError: no such blob leads to both through layers with a map.
    """
    from_maps: dict[Top, Map] = {top_from: (None, 1, 0)}
    frontier = [top_from]
    while frontier:
        top = frontier.pop()
        for bottom, bottom_map in _steps_up(top, from_maps[top]):
            if bottom not in from_maps:  # otherwise a net with many branches never ends
                from_maps[bottom] = bottom_map
                frontier.append(bottom)
    to_maps: dict[Top, Map] = {top_to: (None, 1, 0)}
    frontier = [top_to]
    while frontier:
        top = frontier.pop()
        if top in from_maps:
            return compose(to_maps[top], inverse(from_maps[top]))
        for bottom, bottom_map in _steps_up(top, to_maps[top]):
            if bottom not in to_maps:
                to_maps[bottom] = bottom_map
                frontier.append(bottom)
    raise RuntimeError("Could not compute map between tops; are they connected by spatial layers?")


def _steps_up(top: Top, top_map: Map) -> list[tuple[Top, Map]]:
    """Return each bottom of the Top's layer with the map from there; none if the layer has no map."""
    bottoms = top.fn.inputs
    if top.fn.type_name == "Crop":
        bottoms = bottoms[:1]  # the second bottom only contributes its size
    if not bottoms:
        return []
    try:
        below = compose(top_map, coord_map(top.fn))
    except UndefinedMapException:
        return []
    return [(bottom, below) for bottom in bottoms]


def crop(top_from: Top, top_to: Top) -> Top:
    """Crop `top_from` to the size and position of `top_to`.

    Raises:
        AssertionError: scales differ, or the offset is negative or between pixels.
        RuntimeError: the two are not connected by layers with a map.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    scale, shift = np.array(scale, ndmin=1), np.array(shift, ndmin=1)
    # Caffe: AssertionErrors, which callers catch; user input all the same.
    if not (scale == 1).all():
        raise AssertionError(f"scale mismatch on crop (a = {scale})")
    if not (shift <= 0).all():
        raise AssertionError(f"cannot crop negative offset (b = {shift})")
    if not (np.round(shift) == shift).all():
        raise AssertionError(f"cannot crop noninteger offset (b = {shift})")
    if axis is None:
        raise AssertionError("no layer between the tops moves coordinates; there is nothing to crop")
    return L.Crop(top_from, top_to,
                  crop_param=dict(axis=axis + 1, offset=[int(v) for v in -np.round(shift)]))

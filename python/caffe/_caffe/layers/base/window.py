"""Settings of a sliding window: kernel, stride, pad and dilation of a layer's convolution_param.

In:   a layer and its number of spatial axes.
Out:  four lists, one number per spatial axis.
Not here: pooling_param (layers/pooling.py), the windows themselves (im2col). Source: BVLC base_conv_layer.cpp.
"""

from __future__ import annotations

from typing import Any

from ...layer import Layer

INT_MAX = 2**31 - 1


def window(layer: Layer, axes: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Read kernel, stride, pad and dilation of a layer's convolution_param.

    Args:
        layer: named in errors.
        axes: number of spatial axes.

    Raises:
        LayerError: given in two ways, not often enough, or zero where that is not allowed.
    """
    param = layer.layer_param.convolution_param
    kernel = _lengths(layer, param, axes, "kernel_size", "kernel", None)
    stride = _lengths(layer, param, axes, "stride", "stride", 1)
    pad = _lengths(layer, param, axes, "pad", "pad", 0)
    dilation = _lengths(layer, param, axes, "dilation", None, 1)
    if 0 in kernel:
        layer.fail(f"Filter dimensions must be nonzero; got kernel {kernel}")
    if 0 in stride:
        layer.fail(f"Stride dimensions must be nonzero; got {stride}")
    if 0 in dilation:
        layer.fail(f"dilation must be nonzero; got {dilation}")
    check_int(layer, kernel, stride, pad, dilation)
    return kernel, stride, pad, dilation


def check_int(layer: Layer, *numbers: list[int]) -> None:
    """Refuse lengths that do not fit an `int`, as Caffe keeps them; LayerError."""
    if most := [number for given in numbers for number in given if number > INT_MAX]:
        layer.fail(f"kernel, stride, pad and dilation want numbers up to {INT_MAX}; got {most[0]}")


def _lengths(layer: Layer, param: Any, axes: int, once: str, per_side: str | None, default: int | None) -> list[int]:
    """Read a length per spatial axis: `once` repeated, or `per_side`_h and _w."""
    given = list(getattr(param, once))
    if per_side and (param.HasField(f"{per_side}_h") or param.HasField(f"{per_side}_w")):
        if axes != 2:
            layer.fail(f"{per_side}_h & {per_side}_w can only be used for 2D convolution; got {axes} spatial axes")
        if given:
            layer.fail(f"Either {once} or {per_side}_h/w should be specified; not both")
        return [getattr(param, f"{per_side}_h"), getattr(param, f"{per_side}_w")]
    if not given and default is not None:
        return [default] * axes
    if len(given) not in (1, axes):
        layer.fail(f"{once} must be specified once, or once per spatial dimension "
                   f"({once} specified {len(given)} times; {axes} spatial dims)")
    return given * axes if len(given) == 1 else given

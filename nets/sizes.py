"""How large every blob of a net is, and how many parameters each layer has, without building the net.

In:   a LayerParameter and the shapes of its bottoms.
Out:  shapes of its tops, sizes of its parameter blobs; None where nothing can be said.
Not here: what a place sees of the image (analysis), checks of a net's settings (Caffe makes them).
Source: Caffe's Reshape of each layer: convolutions round down, pooling rounds up.
"""

from __future__ import annotations

import math
from typing import Any, Optional

from nets import NetError

Shape = Optional[tuple[int, ...]]
ONE_CHANNEL = ("label", "sem", "geo", "depth")  # blobs of data layers that are no three-channel images
SCALARS = ("Accuracy", "SoftmaxWithLoss", "InfogainLoss", "SigmoidCrossEntropyLoss", "EuclideanLoss",
           "HingeLoss", "MultinomialLogisticLoss", "ContrastiveLoss")


def data_shapes(layer: Any, size: tuple[int, int]) -> list[Shape]:
    """Give the shapes that a layer without bottoms makes; where the net does not say, of one image of `size`."""
    if layer.type in ("Input", "DummyData"):
        shapes = layer.input_param.shape if layer.type == "Input" else layer.dummy_data_param.shape
        found = [tuple(shape.dim) for shape in shapes]
        return [found[min(i, len(found) - 1)] if found else None for i in range(len(layer.top))]
    side = layer.transform_param.crop_size
    return [(1, 1 if blob in ONE_CHANNEL else 3, *((side, side) if side else size)) for blob in layer.top]


def top_shapes(layer: Any, bottoms: list[Shape]) -> list[Shape]:
    """Give the shapes of a layer's tops; None where a bottom or the layer's type is not known."""
    tops = len(layer.top)
    if layer.type in SCALARS:
        return [()] * tops
    if not bottoms or any(shape is None for shape in bottoms):
        return [None] * tops
    shapes = [shape for shape in bottoms if shape is not None]
    rule = _RULES.get(layer.type)
    if layer.type == "Slice":
        return _slice(layer, shapes[0], tops)
    if rule is None:
        return [None] * tops
    return [rule(layer, shapes)] * tops


def parameter_counts(layer: Any, bottoms: list[Shape]) -> list[int]:
    """Give how many numbers each parameter blob of a layer has: [] without any.

    Raises:
        NetError: the layer has parameters, but the size of its bottom is not known.
    """
    rule = _PARAMETERS.get(layer.type)
    if rule is None:
        return []
    if not bottoms or bottoms[0] is None:
        raise NetError(f"layer '{layer.name}': its bottom's size is not known, so its parameters cannot be counted; "
                       "a layer below it has a type whose size only a built net tells")
    return rule(layer, bottoms)


def window(param: Any, axis: int) -> tuple[int, int, int, int]:
    """Give kernel, stride, pad and dilation of a convolution or pooling for height (0) or width (1)."""
    def of(stem: str, key: str, default: int) -> int:
        own = f"{stem}_{'hw'[axis]}"
        if hasattr(param, own) and param.HasField(own):
            return int(getattr(param, own))
        value = getattr(param, key, [])  # a pooling has no dilation
        if isinstance(value, int):
            return value if param.HasField(key) else default
        return int(value[min(axis, len(value) - 1)]) if len(value) else default

    return of("kernel", "kernel_size", 1), of("stride", "stride", 1), of("pad", "pad", 0), of("dilation", "dilation", 1)


def _convolved(layer: Any, bottoms: list[tuple[int, ...]]) -> Shape:
    param, (number, _, *sides) = layer.convolution_param, bottoms[0]
    found = []
    for axis, side in enumerate(sides):
        kernel, stride, pad, dilation = window(param, axis)
        reach = dilation * (kernel - 1) + 1
        if layer.type == "Deconvolution":
            found.append(stride * (side - 1) + reach - 2 * pad)
        else:
            found.append((side + 2 * pad - reach) // stride + 1)
    return (number, param.num_output, *found)


def _pooled(layer: Any, bottoms: list[tuple[int, ...]]) -> Shape:
    param, (number, channels, *sides) = layer.pooling_param, bottoms[0]
    found = []
    for axis, side in enumerate(sides):
        kernel, stride, pad, _ = window(param, axis)
        size = math.ceil((side + 2 * pad - kernel) / stride) + 1
        if pad and (size - 1) * stride >= side + pad:
            size -= 1
        found.append(1 if param.global_pooling else size)
    return (number, channels, *found)


def _concat(layer: Any, bottoms: list[tuple[int, ...]]) -> Shape:
    axis, first = layer.concat_param.axis, list(bottoms[0])
    first[axis] = sum(shape[axis] for shape in bottoms)
    return tuple(first)


def _slice(layer: Any, bottom: tuple[int, ...], tops: int) -> list[Shape]:
    axis, points = layer.slice_param.axis, list(layer.slice_param.slice_point)
    edges = [0, *(points or [bottom[axis] * i // tops for i in range(1, tops)]), bottom[axis]]
    return [(*bottom[:axis], end - begin, *bottom[axis + 1:]) for begin, end in zip(edges, edges[1:])]


def _cropped(layer: Any, bottoms: list[tuple[int, ...]]) -> Shape:
    axis = layer.crop_param.axis
    return (*bottoms[0][:axis], *bottoms[1][axis:])


def _flat(layer: Any, bottoms: list[tuple[int, ...]]) -> Shape:
    return (bottoms[0][0], math.prod(bottoms[0][1:]))


def _full(layer: Any, bottoms: list[tuple[int, ...]]) -> Shape:
    return (*bottoms[0][:layer.inner_product_param.axis], layer.inner_product_param.num_output)


def _same(layer: Any, bottoms: list[tuple[int, ...]]) -> Shape:
    return bottoms[0]


_RULES = {"Convolution": _convolved, "Deconvolution": _convolved, "Pooling": _pooled, "Concat": _concat,
          "Crop": _cropped, "Flatten": _flat, "InnerProduct": _full,
          **{kind: _same for kind in (
              "AbsVal", "BNLL", "BatchNorm", "Bias", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log", "MVN", "PReLU",
              "Power", "ReLU", "Scale", "Sigmoid", "Softmax", "Split", "TanH", "Threshold")}}


def _conv_parameters(layer: Any, bottoms: list[Shape]) -> list[int]:
    param, channels = layer.convolution_param, _channels(bottoms)
    across = channels * param.num_output // param.group
    weights = across * window(param, 0)[0] * window(param, 1)[0]
    return [weights, param.num_output] if param.bias_term else [weights]


def _full_parameters(layer: Any, bottoms: list[Shape]) -> list[int]:
    param = layer.inner_product_param
    weights = math.prod((bottoms[0] or ())[param.axis:]) * param.num_output
    return [weights, param.num_output] if param.bias_term else [weights]


def _scale_parameters(layer: Any, bottoms: list[Shape]) -> list[int]:
    if len(bottoms) > 1:  # the second bottom is the scale
        return [_channels(bottoms)] if layer.scale_param.bias_term else []
    return [_channels(bottoms)] * (2 if layer.scale_param.bias_term else 1)


def _channels(bottoms: list[Shape]) -> int:
    return (bottoms[0] or (0, 0))[1]


_PARAMETERS = {
    "Convolution": _conv_parameters, "Deconvolution": _conv_parameters, "InnerProduct": _full_parameters,
    "Scale": _scale_parameters,
    "Bias": lambda layer, bottoms: [] if len(bottoms) > 1 else [_channels(bottoms)],
    "PReLU": lambda layer, bottoms: [1 if layer.prelu_param.channel_shared else _channels(bottoms)],
    "BatchNorm": lambda layer, bottoms: [_channels(bottoms), _channels(bottoms), 1],
}

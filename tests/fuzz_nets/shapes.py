"""What shapes a layer makes of its bottoms', by the formulas of Caffe, worked out apart from the engine.

In:   a Layer; the shapes of its bottoms.
Out:  shapes of its tops and parameters; Misfit where Caffe would refuse, or a window would see nothing.
Not here: which layers (generate).
Source: BVLC's *_layer.cpp, Reshape and LayerSetUp.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from .spec import Layer, Shape

MOST = 60_000  # values in one blob
MOST_WORK = 8_000_000  # products in one layer
Found = tuple[list[Shape], list[Shape]]  # tops, parameters


class Misfit(Exception):
    """A layer cannot follow bottoms of these shapes."""


def need(holds: bool) -> None:
    """Raise Misfit unless something holds."""
    if not holds:
        raise Misfit


def shapes_of(layers: tuple[Layer, ...], inputs: dict[str, Shape] | None = None) -> tuple[dict, dict]:
    """Return the shape of every blob after the last layer, and those of the parameters by layer.

    Args:
        layers: in order.
        inputs: shapes of Input layers' tops that differ from what the layers say.

    Raises:
        Misfit: a layer cannot follow.
    """
    blobs: dict[str, Shape] = {}
    params: dict[str, list[Shape]] = {}
    for layer in layers:
        if layer.type == "Input":
            tops = [(inputs or {}).get(layer.tops[0]) or input_shape(layer, blobs)]
        else:
            need(all(name in blobs for name in layer.bottoms))
            tops, params[layer.name] = infer(layer, [blobs[name] for name in layer.bottoms])
        need(len(tops) >= len(layer.tops) and all(prod(top) <= MOST and min(top, default=1) > 0 for top in tops))
        blobs.update(zip(layer.tops, tops))
    return blobs, params


def input_shape(layer: Layer, blobs: dict[str, Shape]) -> Shape:
    """Return the shape of an Input layer's top; that of labels follows the scores'."""
    if layer.label and layer.label[1]:
        need(layer.label[1] in blobs)
        scores = blobs[layer.label[1]]
        need(layer.label[2] or len(scores) > 1 and layer.label[0] <= scores[1])
        return scores if layer.label[2] else label_shape(scores)
    return tuple(layer.own["shape"]["dim"])


def label_shape(scores: Shape) -> Shape:
    """Return the shape of labels for scores of classes along axis 1."""
    need(len(scores) >= 2)
    return (scores[0], 1, *scores[2:]) if len(scores) > 2 else (scores[0],)


def infer(layer: Layer, bottoms: list[Shape]) -> Found:
    """Return the shapes of a layer's tops and of its parameters."""
    tops, params = _RULES[layer.type](layer, bottoms)
    return [tuple(top) for top in tops], [tuple(param) for param in params]


def axis_of(shape: Shape, axis: int) -> int:
    """Return an axis counted from the front."""
    need(-len(shape) <= axis < len(shape))
    return axis % len(shape)


def pair(own: dict, name: str, default: int, count: int = 2) -> list[int]:
    """Return a window's number for each axis."""
    if f"{name}_h" in own:
        return [own[f"{name}_h"], own[f"{name}_w"]]
    return [own.get("kernel_size" if name == "kernel" else name, default)] * count


# -- windows -----------------------------------------------------------------------------------


def _convolution(layer: Layer, bottoms: list[Shape]) -> Found:
    need(len(bottoms[0]) > 2 and len(set(bottoms)) == 1 and ("kernel_h" not in layer.own or len(bottoms[0]) == 4))
    n, c, *sides = bottoms[0]
    own, group = layer.own, layer.own.get("group", 1)
    out = own["num_output"]
    need(c % group == 0 and out % group == 0)
    kernel, pad, stride, dilation = (pair(own, *given, len(sides)) for given in (
        ("kernel", 1), ("pad", 0), ("stride", 1), ("dilation", 1)))
    ends, down = [], layer.type == "Convolution"
    for side, k, p, s, d in zip(sides, kernel, pad, stride, dilation):
        extent = d * (k - 1) + 1
        if down:
            need(side + 2 * p >= extent)
        ends.append((side + 2 * p - extent) // s + 1 if down else s * (side - 1) + extent - 2 * p)
    need(min(ends) > 0)
    weight = (out, c // group, *kernel) if down else (c, out // group, *kernel)
    need(n * prod(weight) * prod(ends if down else sides) <= MOST_WORK)
    return [(n, out, *ends)] * len(bottoms), [weight, *([(out,)] if own.get("bias_term", True) else [])]


def _images(shape: Shape) -> Shape:
    need(len(shape) == 4)
    return shape


def _pooling(layer: Layer, bottoms: list[Shape]) -> Found:
    n, c, *sides = _images(bottoms[0])
    own = layer.own
    if own.get("global_pooling"):
        return [(n, c, 1, 1)] * 2, []
    kernel, pad, stride = (pair(own, *given) for given in (("kernel", 1), ("pad", 0), ("stride", 1)))
    ends = [pooled(side, k, p, s, own.get("round_mode") != "FLOOR", any(pad))
            for side, k, p, s in zip(sides, kernel, pad, stride)]
    return [(n, c, *ends)] * 2, []


def pooled(side: int, kernel: int, pad: int, stride: int, up: bool, padded: bool) -> int:
    """Return how many windows lie along an axis; Misfit where one would lie outside."""
    need(pad < kernel and side + 2 * pad >= kernel)
    count = (side + 2 * pad - kernel + (stride - 1 if up else 0)) // stride + 1
    if padded and (count - 1) * stride >= side + pad:
        count -= 1
    need((count - 1) * stride < side + pad)
    return count


def _spp(layer: Layer, bottoms: list[Shape]) -> Found:
    n, c, *sides = _images(bottoms[0])
    height, total = layer.own["pyramid_height"], 0
    for bins in (2 ** level for level in range(height)):
        kernels = [-(-side // bins) for side in sides]
        pads = [(k * bins - side + 1) // 2 for k, side in zip(kernels, sides)]
        ends = [pooled(side, k, p, k, True, any(pads)) for side, k, p in zip(sides, kernels, pads)]
        need(ends == [bins, bins])
        total += c * bins * bins
    return [(n, c, 1, 1) if height == 1 else (n, total)], []


def _crop(layer: Layer, bottoms: list[Shape]) -> Found:
    shape, like = bottoms
    need(len(shape) == len(like))
    axis, offset = axis_of(shape, layer.own.get("axis", 2)), layer.own.get("offset", [0])
    need(len(offset) in (1, len(shape) - axis))
    offset = offset * (len(shape) - axis) if len(offset) == 1 else offset
    need(all(o + want <= has for o, want, has in zip(offset, like[axis:], shape[axis:])))
    return [shape[:axis] + like[axis:]], []


# -- with parameters ---------------------------------------------------------------------------


def _inner_product(layer: Layer, bottoms: list[Shape]) -> Found:
    own, axis = layer.own, axis_of(bottoms[0], layer.own.get("axis", 1))
    rows, inner, out = bottoms[0][:axis], prod(bottoms[0][axis:]), own["num_output"]
    need(prod(rows) * inner * out <= MOST_WORK and inner * out <= MOST)
    weight = (inner, out) if own.get("transpose") else (out, inner)
    return [(*rows, out)], [weight, *([(out,)] if own.get("bias_term", True) else [])]


def _affine(layer: Layer, bottoms: list[Shape]) -> Found:
    """Scale and Bias."""
    shape, own = bottoms[0], layer.own
    axis = axis_of(shape, own.get("axis", 1))
    if len(bottoms) == 2:
        part = bottoms[1]
        need(shape[axis:axis + len(part)] == part)
        params = []
    else:
        count = own.get("num_axes", 1)
        need(axis + count <= len(shape))
        part = shape[axis:] if count == -1 else shape[axis:axis + count]
        params = [part]
    return [shape], params + ([part] if layer.type == "Scale" and own.get("bias_term") else [])


def _batch_norm(layer: Layer, bottoms: list[Shape]) -> Found:
    need(len(bottoms[0]) >= 2)
    return [bottoms[0]], [(bottoms[0][1],)] * 2 + [(1,)]


def _prelu(layer: Layer, bottoms: list[Shape]) -> Found:
    need(2 <= len(bottoms[0]) <= 4)
    return [bottoms[0]], [() if layer.own.get("channel_shared") else (bottoms[0][1],)]


def _embed(layer: Layer, bottoms: list[Shape]) -> Found:
    own = layer.own
    return [(*bottoms[0], own["num_output"])], [(own["input_dim"], own["num_output"]),
                                                *([(own["num_output"],)] if own.get("bias_term", True) else [])]


# -- shapes only -------------------------------------------------------------------------------


def _same(layer: Layer, bottoms: list[Shape]) -> Found:
    return [bottoms[0]], []


def _same_along(default: int, least: int = 1) -> Callable[[Layer, list[Shape]], Found]:
    def rule(layer: Layer, bottoms: list[Shape]) -> Found:
        axis_of(bottoms[0], layer.params.get(f"{layer.type.lower()}_param", {}).get("axis", default))
        need(len(bottoms[0]) >= least)
        return [bottoms[0]], []
    return rule


def _eltwise(layer: Layer, bottoms: list[Shape]) -> Found:
    need(len(bottoms) > 1 and len(set(bottoms)) == 1)
    return [bottoms[0]], []


def _concat(layer: Layer, bottoms: list[Shape]) -> Found:
    axis = axis_of(bottoms[0], layer.own.get("axis", layer.own.get("concat_dim", 1)))
    others = {shape[:axis] + (0,) + shape[axis + 1:] for shape in bottoms}
    need(len(others) == 1)
    return [(*bottoms[0][:axis], sum(shape[axis] for shape in bottoms), *bottoms[0][axis + 1:])], []


def _split(layer: Layer, bottoms: list[Shape]) -> Found:
    return [bottoms[0]] * len(layer.tops), []


def _slice(layer: Layer, bottoms: list[Shape]) -> Found:
    shape, own = bottoms[0], layer.own
    axis = axis_of(shape, own.get("axis", own.get("slice_dim", 1)))
    count, length = len(layer.tops), shape[axis]
    if "slice_point" in own:
        ends = [0, *own["slice_point"], length]
        sizes = [b - a for a, b in zip(ends, ends[1:])]
        need(len(sizes) == count and min(sizes) > 0)
    else:
        need(length % count == 0)
        sizes = [length // count] * count
    return [(*shape[:axis], size, *shape[axis + 1:]) for size in sizes], []


def _flatten(layer: Layer, bottoms: list[Shape]) -> Found:
    shape, own = bottoms[0], layer.own
    axis, end = axis_of(shape, own.get("axis", 1)), axis_of(shape, own.get("end_axis", -1))
    need(axis <= end)
    return [(*shape[:axis], prod(shape[axis:end + 1]), *shape[end + 1:])], []


def _reshape(layer: Layer, bottoms: list[Shape]) -> Found:
    shape, dims = bottoms[0], list(layer.own["shape"]["dim"])
    start = layer.own.get("axis", 0)
    end = len(shape) if layer.own.get("num_axes", -1) == -1 else start + layer.own["num_axes"]
    need(0 <= start <= end <= len(shape))
    for i, dim in enumerate(dims):
        if dim == 0:
            need(start + i < len(shape))
            dims[i] = shape[start + i]
    known = prod(dim for dim in [*shape[:start], *dims, *shape[end:]] if dim != -1)
    need(known > 0 and (prod(shape) % known == 0 if -1 in dims else prod(shape) == known))
    return [(*shape[:start], *(prod(shape) // known if dim == -1 else dim for dim in dims), *shape[end:])], []


def _tile(layer: Layer, bottoms: list[Shape]) -> Found:
    axis = axis_of(bottoms[0], layer.own.get("axis", 1))
    return [(*bottoms[0][:axis], bottoms[0][axis] * layer.own["tiles"], *bottoms[0][axis + 1:])], []


def _argmax(layer: Layer, bottoms: list[Shape]) -> Found:
    shape, own, k = bottoms[0], layer.own, layer.own.get("top_k", 1)
    need(len(shape) >= 2)
    if "axis" in own:
        axis = axis_of(shape, own["axis"])
        need(k <= shape[axis])
        return [(*shape[:axis], k, *shape[axis + 1:])], []
    need(k <= prod(shape[1:]))
    return [(shape[0], 2 if own.get("out_max_val") else 1, k, *(1,) * (max(3, len(shape)) - 3))], []


def _reduction(layer: Layer, bottoms: list[Shape]) -> Found:
    return [bottoms[0][:axis_of(bottoms[0], layer.own.get("axis", 0))]], []


def _labelled(layer: Layer, bottoms: list[Shape]) -> Found:
    """Losses and Accuracy, of scores and one label a place."""
    need(len(bottoms[0]) >= 2 and bottoms[1] == label_shape(bottoms[0]))
    if layer.type in ("HingeLoss", "MultinomialLogisticLoss"):  # one label an item
        need(prod(bottoms[0][2:]) == 1 and len(bottoms[0]) <= 4)
    need(layer.own.get("top_k", 1) <= bottoms[0][1])
    return [()], []


def _paired(layer: Layer, bottoms: list[Shape]) -> Found:
    need(bottoms[0] == bottoms[1] and 1 <= len(bottoms[0]) <= 4)
    return [()], []


def _silence(layer: Layer, bottoms: list[Shape]) -> Found:
    return [], []


def _mvn(layer: Layer, bottoms: list[Shape]) -> Found:
    need(2 <= len(bottoms[0]) <= 4)
    return [(*bottoms[0], 1, 1)[:4]], []


def _image_in_out(layer: Layer, bottoms: list[Shape]) -> Found:
    return [_images(bottoms[0])], []


def _dummy_data(layer: Layer, bottoms: list[Shape]) -> Found:
    return [tuple(layer.own["shape"]["dim"])], []


_RULES: dict[str, Callable[[Layer, list[Shape]], Found]] = {
    "Convolution": _convolution, "Deconvolution": _convolution, "Pooling": _pooling, "SPP": _spp, "Crop": _crop,
    "InnerProduct": _inner_product, "Scale": _affine, "Bias": _affine, "BatchNorm": _batch_norm, "PReLU": _prelu,
    "Embed": _embed, "Eltwise": _eltwise, "Concat": _concat, "Split": _split, "Slice": _slice, "Flatten": _flatten,
    "Reshape": _reshape, "Tile": _tile, "ArgMax": _argmax, "Reduction": _reduction, "Silence": _silence,
    "DummyData": _dummy_data, "MVN": _mvn, "LRN": _image_in_out, "Softmax": _same_along(1),
    **dict.fromkeys(("SoftmaxWithLoss", "HingeLoss", "MultinomialLogisticLoss", "Accuracy"), _labelled),
    **dict.fromkeys(("EuclideanLoss", "SigmoidCrossEntropyLoss"), _paired),
    **dict.fromkeys(("ReLU", "ELU", "Sigmoid", "TanH", "Power", "AbsVal", "Exp", "Log", "BNLL", "Threshold", "Dropout",
                     "Swish", "Clip"), _same)}

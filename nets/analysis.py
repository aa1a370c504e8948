"""What every layer of a net is: its size, stride, receptive field, place over the image, parameters, crop.

In:   a NetParameter of any prototxt file, the size of the image where the net does not say it.
Out:  one Layer for each layer of the phase, in order; None where a thing has no meaning or cannot be known.
Not here: the rule of each layer's size (sizes) and coordinates (coord); tables and drawings of all this.
Source: Long et al., section 3 (nets as nonlinear filters: receptive fields and strides compose).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Optional

from nets import NetError
from nets.coord import STRIDED, Map, layer_map
from nets.sizes import Shape, data_shapes, parameter_counts, top_shapes, window

PHASES = {"TRAIN": 0, "TEST": 1}


@dataclass(frozen=True)
class Seen:
    """What is known of a blob: its shape, its coordinates over the image, how far one place looks."""

    shape: Shape
    place: Map | None  # from a pixel of the image to a coordinate of the blob
    field: int | None  # receptive field: pixels of the image, in height, that one place can see


@dataclass(frozen=True)
class Layer:
    """One layer.

    shape: of the first top. stride: pixels of the image from one place to the next. field: pixels of the image
    that one place can see. start: the pixel at the centre of the first place's field; negative where padding
    lets it begin outside. parameters: how many numbers; learned: those whose lr_mult is not 0. crop: of a Crop,
    the offset in the file. crop_wanted: the one that lays pixel on pixel.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shape: Shape
    stride: Fraction | None
    field: int | None
    start: Fraction | None
    parameters: int | None
    learned: int | None
    crop: int | None = None
    crop_wanted: Fraction | None = None


def analyse(net: Any, size: tuple[int, int] = (500, 500), phase: str = "TEST") -> list[Layer]:
    """Look at each layer of a net.

    Args:
        net: NetParameter; nothing is changed. Weights in it are passed over.
        size: height and width of the image, where a data layer, not the net, decides it.
        phase: TRAIN or TEST; layers of the other are left out.

    Raises:
        NetError: another phase; layers in the old form (V1, `layers`); a bottom that no layer makes.
    """
    if phase not in PHASES:
        raise NetError(f"analysis: phase '{phase}', want TRAIN or TEST")
    if len(net.layers):
        raise NetError(f"analysis: the net '{net.name}' has layers in the old form (`layers`), want `layer`; "
                       "`upgrade_net_proto_text OLD NEW`, Caffe's tool, rewrites the file")
    blobs = {name: Seen(shape, Map(), 1) for name, shape in _old_inputs(net)}
    found = []
    for layer in net.layer:
        if _is_in(layer, PHASES[phase]):
            for bottom in layer.bottom:
                if bottom not in blobs:
                    raise NetError(f"analysis: layer '{layer.name}' has the bottom '{bottom}', which no layer before "
                                   f"it makes; known are {', '.join(blobs) or 'none'}")
            found.append(_look(layer, blobs, size))
    return found


def parameters(net: Any, *, learned: bool = False, size: tuple[int, int] = (500, 500)) -> int:
    """Count the parameters of a net, or those that learn. A net with sizes that cannot be known raises NetError."""
    counts = [layer.learned if learned else layer.parameters for layer in analyse(net, size)]
    if any(count is None for count in counts):
        raise NetError(f"analysis: not every layer of '{net.name}' has a size that is known; build the net to count")
    return sum(count for count in counts if count is not None)


def _look(layer: Any, blobs: dict[str, Seen], size: tuple[int, int]) -> Layer:
    bottoms = [blobs[name] for name in layer.bottom]
    shapes = [seen.shape for seen in bottoms]
    if bottoms:
        tops = top_shapes(layer, shapes)
        place, field = _place(layer, bottoms), _field(layer, bottoms)
    else:
        tops, place, field = data_shapes(layer, size), Map(), 1
    blobs.update({name: Seen(shape, place, field) for name, shape in zip(layer.top, tops)})
    counts, learned = _parameters(layer, shapes)
    return Layer(
        layer.name, layer.type, tuple(layer.bottom), tuple(layer.top), tops[0] if tops else None,
        None if place is None else 1 / place.scale, field, None if place is None else -place.shift / place.scale,
        counts, learned, *_crop(layer, bottoms))


def _place(layer: Any, bottoms: list[Seen]) -> Map | None:
    """Give the map from the image to the layer's tops."""
    below = next((seen.place for seen in bottoms if seen.place is not None), None)
    try:
        step = layer_map(SimpleNamespace(type_name=layer.type, params=_settings(layer)))
    except NetError:  # an InnerProduct, a loss, a kernel that is not square
        return None
    return None if below is None else step.after(below)


def _field(layer: Any, bottoms: list[Seen]) -> Optional[int]:
    """Give the receptive field of the layer's tops: the largest of its bottoms', widened by its own window."""
    sources = bottoms[:1] if layer.type == "Crop" else bottoms
    fields = [seen.field for seen in sources]
    if any(field is None for field in fields):
        return None
    field, first = max(field for field in fields if field is not None), sources[0]
    if layer.type not in STRIDED and layer.type != "InnerProduct":
        return field
    if first.place is None:
        return field if layer.type == "InnerProduct" else None
    stride = 1 / first.place.scale
    return int(field + (_places(layer, first) - 1) * stride)


def _places(layer: Any, bottom: Seen) -> int:
    """Give how many places of the bottom, in height, one place of the top is made of."""
    if layer.type == "InnerProduct" or (layer.type == "Pooling" and layer.pooling_param.global_pooling):
        return bottom.shape[2] if bottom.shape is not None and len(bottom.shape) > 2 else 1
    kernel, stride, _, dilation = window(getattr(layer, STRIDED[layer.type]), 0)
    if layer.type == "Deconvolution":
        return -(-kernel // stride)
    return dilation * (kernel - 1) + 1


def _parameters(layer: Any, shapes: list[Shape]) -> tuple[int | None, int | None]:
    """Give how many parameters a layer has and how many of them learn."""
    try:
        counts = parameter_counts(layer, shapes)
    except NetError:
        return None, None
    rates = [spec.lr_mult for spec in layer.param] + [1.0] * len(counts)
    if layer.type == "BatchNorm":  # Caffe: the layer keeps its sums itself, whatever lr_mult says
        rates = [0.0] * len(counts)
    return sum(counts), sum(count for count, rate in zip(counts, rates) if rate)


def _crop(layer: Any, bottoms: list[Seen]) -> tuple[int | None, Fraction | None]:
    """Give the offset of a Crop as it is, and as the coordinates of its two bottoms want it."""
    if layer.type != "Crop":
        return None, None
    written = layer.crop_param.offset[0] if layer.crop_param.offset else 0
    top, reference = (seen.place for seen in bottoms)
    if top is None or reference is None or top.scale != reference.scale:
        return written, None
    return written, top.after(reference.inverse()).shift


def _settings(layer: Any) -> dict[str, Any]:
    """Give the settings of a layer's own parameter message that are in the file."""
    own = [value for field, value in layer.ListFields()
           if field.name.endswith("_param") and field.message_type is not None and hasattr(value, "ListFields")]
    as_python: Callable[[Any], Any] = lambda value: list(value) if hasattr(value, "extend") else value  # noqa: E731
    return {field.name: as_python(value) for message in own for field, value in message.ListFields()}


def _is_in(layer: Any, phase: int) -> bool:
    """Tell whether a layer is there in a phase, as far as its rules name phases."""
    def fits(rule: Any) -> bool:
        return not rule.HasField("phase") or rule.phase == phase

    if layer.include:
        return any(map(fits, layer.include))
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def _old_inputs(net: Any) -> list[tuple[str, Shape]]:
    """Give names and shapes of a net's own `input` fields, which stood for Input layers once."""
    if net.input_shape:
        shapes: list[Shape] = [tuple(shape.dim) for shape in net.input_shape]
    else:
        dims = list(net.input_dim)
        shapes = [tuple(dims[i:i + 4]) for i in range(0, len(dims), 4)]
    return [(name, shapes[i] if i < len(shapes) else None) for i, name in enumerate(net.input)]

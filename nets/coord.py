"""Where a place of one blob lies in another: the coordinate map, and the Crops that follow from it.

In:   Tops of a NetSpec (of any pycaffe: only `fn.type_name`, `fn.params`, `fn.inputs` are read).
Out:  scale and shift as exact fractions; crop offsets; Crop Tops.
Not here: caffe.coord_map, which says the same of BVLC's layers but stops at Concat.
Source: Long et al., section 3.2 (shift and stitch, upsampling); BVLC's coordinate map is the oracle.

A layer maps a coordinate of its bottom to one of its top, x -> scale * x + shift. Convolution and
pooling: scale 1 / stride, shift (pad - (kernel - 1) / 2) / stride; Deconvolution is their inverse.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from caffe import layers as L
from nets import NetError

# Layers whose top lies pixel on pixel over the bottom. Concat and Slice qualify along channels only.
POINTWISE = frozenset((
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log",
    "MVN", "PReLU", "Power", "ReLU", "Scale", "Sigmoid", "Softmax", "Split", "Swish", "TanH",
    "Threshold"))
CHANNEL_WISE = {"Concat": "concat_param", "Slice": "slice_param"}
STRIDED = {"Convolution": "convolution_param", "Deconvolution": "convolution_param",
           "Pooling": "pooling_param", "Im2col": "convolution_param"}


class Map(NamedTuple):
    """x -> scale * x + shift, the same for height and width."""

    scale: Fraction = Fraction(1)
    shift: Fraction = Fraction(0)

    def after(self, first: Map) -> Map:
        """Compose: apply `first`, then this map."""
        return Map(self.scale * first.scale, self.scale * first.shift + self.shift)

    def inverse(self) -> Map:
        """Give the map back."""
        return Map(1 / self.scale, -self.shift / self.scale)


def crop(top: L, reference: L) -> L:
    """Crop `top` to the height and width of `reference`, pixel on pixel."""
    return L.Crop(top, reference, crop_param=dict(axis=2, offset=[crop_offset(top, reference)]))


def crop_offset(top: L, reference: L) -> int:
    """Tell where in `top` the first pixel of `reference` lies.

    Raises:
        NetError: the two differ in resolution, are not connected by spatial layers, or the place is
            between pixels or outside; the message proposes the pad or kernel that would serve.
    """
    found = map_between(reference, top)
    if found.scale != 1:
        raise NetError(
            f"{_who(top, reference)}: one step in the reference is {_number(found.scale)} steps in the "
            f"blob to crop, want 1; check the strides of the upsampling between them")
    if found.shift.denominator != 1:
        raise NetError(
            f"{_who(top, reference)}: the offset is {_number(found.shift)}, between pixels; "
            f"{_half_pixel_remedy(top, reference)}")
    if found.shift < 0:
        raise NetError(
            f"{_who(top, reference)}: the offset is {_number(found.shift)}, outside the blob; "
            f"{_negative_remedy(reference, int(-found.shift))}")
    return int(found.shift)


def map_between(source: L, target: L) -> Map:
    """Give the map from a coordinate of `source` to the one of `target` that looks at the same place."""
    to_source, to_target = _maps_from_ancestors(source), _maps_from_ancestors(target)
    for ancestor, to_here in to_source.items():
        if ancestor in to_target:
            return to_target[ancestor].after(to_here.inverse())
    raise NetError(f"coordinate map: {_describe(source)} and {_describe(target)} have no common blob that "
                   f"spatial layers lead from; give two blobs of one net, below any InnerProduct")


def layer_map(fn: Any) -> Map:
    """Give the map from a layer's bottom to its top.

    Raises:
        NetError: the layer has no such map, or has different settings for height and width.
    """
    kind, params = fn.type_name, fn.params
    if kind in STRIDED:
        return _strided_map(kind, {**params, **params.get(STRIDED[kind], {})})
    if kind == "Crop":
        return Map(shift=-Fraction(_only(kind, params.get("crop_param", params), "offset", 0)))
    if kind in CHANNEL_WISE:
        settings = {**params, **params.get(CHANNEL_WISE[kind], {})}
        if settings.get("axis", 1) == 1 and settings.get("concat_dim", settings.get("slice_dim", 1)) == 1:
            return Map()
        raise NetError(f"coordinate map: {kind} has axis {settings.get('axis')}, want 1 (channels)")
    if kind in POINTWISE:
        return Map()
    known = ", ".join(sorted(POINTWISE | set(STRIDED) | set(CHANNEL_WISE) | {"Crop"}))
    raise NetError(f"coordinate map: a {kind} layer has no coordinate map; known are {known}")


def _strided_map(kind: str, settings: dict[str, Any]) -> Map:
    if settings.get("global_pooling"):
        raise NetError("coordinate map: Pooling has global_pooling, its top has no places; "
                       "connect the head below it")
    if settings.get("axis", 1) != 1:
        raise NetError(f"coordinate map: {kind} has axis {settings['axis']}, want 1")
    kernel = _only(kind, settings, "kernel_size", None)
    stride, pad = _only(kind, settings, "stride", 1), _only(kind, settings, "pad", 0)
    reach = Fraction((kernel - 1) * _only(kind, settings, "dilation", 1), 2)
    if kind == "Deconvolution":
        return Map(Fraction(stride), reach - pad)
    return Map(Fraction(1, stride), (pad - reach) / stride)


def _only(kind: str, settings: dict[str, Any], key: str, default: Any) -> int:
    """Read a setting that must be one number for height and width."""
    stem = key.replace("_size", "")
    if f"{stem}_h" in settings or f"{stem}_w" in settings:
        raise NetError(f"coordinate map: {kind} has {stem}_h or {stem}_w, want {key} for both")
    value = settings.get(key, default)
    values = set(value) if isinstance(value, (list, tuple)) else {value}
    if len(values) != 1 or None in values:
        raise NetError(f"coordinate map: {kind} has {key} {value}, want one number for both axes")
    return int(values.pop())


def _maps_from_ancestors(top: L) -> dict[L, Map]:
    """Give, for the blob and each one it grew from (nearest first), the map from there to the blob."""
    maps = {top: Map()}
    frontier = [top]
    while frontier:
        here = frontier.pop(0)
        try:
            step = layer_map(here.fn) if here.fn.inputs else None
        except NetError:
            if here is top:
                raise
            continue  # no map above this blob; another branch may still meet
        for bottom in _spatial_inputs(here.fn):
            if bottom not in maps and step is not None:
                maps[bottom] = maps[here].after(step)
                frontier.append(bottom)
    return maps


def _spatial_inputs(fn: Any) -> list[L]:
    """Give the bottoms a layer's values come from; Crop's second bottom lends only its size."""
    return list(fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs)


def _describe(top: L) -> str:
    settings = {**top.fn.params, **top.fn.params.get("convolution_param", {})}
    sizes = [f"{key} {settings[key]}" for key in ("kernel_size", "stride", "pad") if key in settings]
    return f"the {top.fn.type_name} blob" + (f" ({', '.join(sizes)})" if sizes else "")


def _who(top: L, reference: L) -> str:
    return f"crop of {_describe(top)} to {_describe(reference)}"


def _number(value: Fraction) -> str:
    return f"{float(value):g}"


def _half_pixel_remedy(top: L, reference: L) -> str:
    """Propose the kernel that moves the offset by half a pixel, where an upsampling is in reach."""
    for blob in (top, reference):
        if blob.fn.type_name == "Deconvolution":
            settings = {**blob.fn.params, **blob.fn.params.get("convolution_param", {})}
            kernel = _only("Deconvolution", settings, "kernel_size", None)
            return (f"give the Deconvolution kernel_size {kernel - 1} instead of {kernel} (2 x stride - 1 "
                    f"is bilinear as well), or change a pad or kernel below it by one")
    return "change a pad or a kernel between the two by one"


def _negative_remedy(reference: L, pixels: int) -> str:
    """Propose more padding where the reference is the image, else to swap the two."""
    if not reference.fn.inputs:
        return f"pad the first convolution by at least {pixels} pixels more"
    return f"crop the reference to this blob instead (the offset is then {pixels})"

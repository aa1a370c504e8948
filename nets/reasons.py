"""Why a net pads and crops as it does: the coordinates behind it, in numbers.

In:   a NetParameter whose images come from Input layers (explain makes it so), and its analysis.
Out:  the padding beyond a kernel's need, with the least pads that would do; each Crop, with its sum of shifts;
      Explained, which holds all that.
Not here: sizes and coordinates (analysis), the words about them (explain), drawings (explain_picture).
Source: Long et al., section 3.2. A layer with kernel k, stride s and pad p over a blob whose places are d pixels
    apart moves place 0 by ((k - 1) / 2 - p) d; a Deconvolution moves it back by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Optional

from nets.analysis import Layer, analyse
from nets.sizes import window

LARGEST = 2048  # pixels: no smaller image works, so none will be looked for


@dataclass(frozen=True)
class CropReason:
    """One Crop: what is cut off and why there.

    steps: layer and pixels by which it moves place 0, from the image to the blob that is cropped; their sum is
    the pixel of the image under the blob's place 0. wanted: the offset that lays pixel on pixel, if it is known.
    """

    layer: Layer
    top: Layer
    reference: Layer
    steps: tuple[tuple[str, Fraction], ...]

    @property
    def wanted(self) -> Optional[Fraction]:
        """The offset that lays pixel on pixel; None where a place is not known."""
        return self.layer.crop_wanted

    @property
    def spare(self) -> tuple[int, int]:
        """How many rows and columns of the blob the crop takes away in all."""
        (height, width), (rows, cols) = sides(self.top), sides(self.layer)
        return height - rows, width - cols


@dataclass(frozen=True)
class PadReason:
    """Padding beyond a kernel's own need.

    names: of the convolutions. pad: theirs. kernel: of the first. usual: the pad that keeps their size.
    least_inside: least pad with which no crop begins outside its blob. least_any: least pad with which every image
    works, from one pixel on; None: this pad is too small for that. smallest: least image with `usual`, crops apart.
    """

    names: tuple[str, ...]
    pad: int
    kernel: int
    usual: int
    least_inside: int
    least_any: Optional[int]
    smallest: Optional[int]


@dataclass(frozen=True)
class Explained:
    """All that is known of a net. size: height and width of the image. crops: one for each Crop."""

    title: str
    size: tuple[int, int]
    layers: tuple[Layer, ...]
    pad: Optional[PadReason]
    crops: tuple[CropReason, ...]


def sides(layer: Layer) -> tuple[int, int]:
    """Give height and width of a layer's top; (0, 0) where it has none."""
    return (layer.shape[2], layer.shape[3]) if layer.shape is not None and len(layer.shape) == 4 else (0, 0)


def makers(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Give the layer that makes each blob first, before others change it in place."""
    found: dict[str, Layer] = {}
    for layer in layers:
        for top in layer.tops:
            found.setdefault(top, layer)
    return found


def crop_reasons(layers: Sequence[Layer]) -> list[CropReason]:
    """Explain each Crop of an analysed net."""
    by_blob = makers(layers)
    return [CropReason(layer, by_blob[layer.bottoms[0]], by_blob[layer.bottoms[1]], _steps(layer.bottoms[0], by_blob))
            for layer in layers if layer.type == "Crop"]


def _steps(blob: str, by_blob: dict[str, Layer]) -> tuple[tuple[str, Fraction], ...]:
    """List what moves place 0, from the image down to `blob`; the first bottom leads where there are several."""
    steps = []
    layer = by_blob[blob]
    while layer.bottoms:
        below = by_blob[layer.bottoms[0]]
        if layer.start is None or below.start is None:
            return ()
        if layer.start != below.start:
            steps.append((layer.name, layer.start - below.start))
        layer = below
    return tuple(reversed(steps))


def pad_reason(net: Any, layers: Sequence[Layer]) -> Optional[PadReason]:
    """Explain the padding that goes beyond its kernel; None where no convolution has such."""
    padded = [layer for layer in net.layer if layer.type == "Convolution" and is_wide(layer)]
    if not padded:
        return None
    kernel, _, pad, _ = window(padded[0].convolution_param, 0)
    usual = (kernel - 1) // 2
    names = tuple(layer.name for layer in padded)
    trial = Trial(net, names)
    period = max([int(layer.stride) for layer in layers if layer.stride is not None and layer.stride >= 1], default=1)
    sizes = [(2 * i + 1, 2 * i + 2) for i in range((period + 1) // 2)]  # two at once, as height and width

    def inside(p: int) -> bool:
        return all(layer.crop_wanted is None or layer.crop_wanted >= 0 for layer in trial.analysed((500, 500), p))

    def any_size(p: int) -> bool:  # what is left over repeats with the coarsest stride
        return all(_works(trial.analysed(size, p)) for size in sizes)

    def usual_pad_works(size: int) -> bool:
        return _works(trial.analysed((size, size), usual), crops=False)

    return PadReason(names, pad, kernel, usual, _least(inside, pad) or 0, _least(any_size, pad),
                     _least(usual_pad_works, LARGEST))


def is_wide(layer: Any) -> bool:
    """Tell whether a convolution pads so much that its kernel sees nothing but padding at the border."""
    kernel, _, pad, dilation = window(layer.convolution_param, 0)
    return pad >= dilation * (kernel - 1) + 1


def smallest_image(net: Any) -> Optional[int]:
    """Give the least square image with which every blob of a net has a place; None: none up to LARGEST."""
    trial = Trial(net)
    return _least(lambda size: _works(trial.analysed((size, size))), LARGEST)


class Trial:
    """A copy of a net, to be looked at with other sizes of image and other pads in some layers."""

    def __init__(self, net: Any, names: Sequence[str] = ()) -> None:
        self.net = type(net)()
        # what works in place changes no size
        self.net.layer.extend(layer for layer in net.layer if list(layer.bottom) != list(layer.top))
        self.params = [layer.convolution_param for layer in self.net.layer if layer.name in names]
        for param in self.params:
            param.ClearField("pad_h")
            param.ClearField("pad_w")

    def analysed(self, size: tuple[int, int], pad: Optional[int] = None) -> list[Layer]:
        """Analyse the net with this size of image and this pad in the named layers."""
        resize(self.net, size)
        for param in self.params if pad is not None else ():
            param.pad[:] = [pad]
        return analyse(self.net, size)


def _least(holds: Callable[[int], bool], most: int) -> Optional[int]:
    """Give the least number of 0 ... most for which something holds that goes on holding above it."""
    if not holds(most):
        return None
    low, high = -1, most  # holds at high, not at low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _works(layers: Sequence[Layer], *, crops: bool = True) -> bool:
    """Tell whether every blob has a place and every crop, at the offset its coordinates want, fits."""
    if any(layer.shape is not None and len(layer.shape) == 4 and min(layer.shape) < 1 for layer in layers):
        return False
    for crop in crop_reasons(layers) if crops else ():
        if crop.wanted is not None and not 0 <= crop.wanted <= min(crop.spare):
            return False
    return True


def resize(net: Any, size: tuple[int, int]) -> None:
    """Let a net's Input layers, and data layers that crop, make images of another height and width."""
    for layer in net.layer:
        if not layer.bottom:
            layer.transform_param.ClearField("crop_size")
        for shape in layer.input_param.shape if layer.type == "Input" else ():
            if len(shape.dim) == 4:
                shape.dim[2], shape.dim[3] = size

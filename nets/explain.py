"""Explain a net: python -m nets explain NAME|FILE [--size HxW] [--phase PHASE] [--out FILE.svg|.png].

In:   a net of the zoo or any prototxt file; the size of the image where a data layer decides it.
Out:  a table of its layers and, in words with the net's own numbers, why it pads and crops; a drawing.
Not here: the figures (analysis, reasons), the drawing (explain_picture).
Source: Long et al., sections 3.1 and 3.2.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Optional

from caffe.proto import caffe_pb2
from nets import NetError
from nets.analysis import Layer, analyse
from nets.explain_picture import draw
from nets.prototxt import read_prototxt
from nets.reasons import (
    CropReason,
    Explained,
    PadReason,
    crop_reasons,
    pad_reason,
    resize,
    sides,
    smallest_image,
)
from nets.zoo import ZOO, emit

SIZE = (500, 500)
TRAINING = ("train", "trainval")
PICTURES = (".svg", ".png")
HEAD = ("layer", "type", "output", "stride", "field", "start", "parameters")


def explain(which: str, size: Optional[tuple[int, int]] = None, phase: Optional[str] = None) -> Explained:
    """Look at a net.

    Args:
        which: a name of the zoo, or else the path of a prototxt file.
        size: height and width of the image; None: what the net says, or 500 x 500 where a data layer decides.
        phase: of the zoo's net (default deploy), or of a file (train; anything else is TEST, the default).

    Raises:
        NetError: neither a net of the zoo nor a file that can be read as one, no image goes in, or the image is
            too small for the net.
    """
    title, net, phase = _load(which, phase)
    net = _with_input_layers(net)
    if size:
        resize(net, size)
    caffe_phase = "TRAIN" if phase in TRAINING else "TEST"
    layers = tuple(analyse(net, size or SIZE, caffe_phase))
    first = next((layer for layer in layers if not layer.bottoms and layer.shape is not None
                  and len(layer.shape) == 4), None)
    if first is None:
        raise NetError(f"{title}: no image goes in; want a layer without bottoms that makes a blob of "
                       "N x channels x height x width (Input, or a data layer)")
    too_small = next((layer for layer in layers if layer.shape is not None and len(layer.shape) == 4
                      and min(layer.shape) < 1), None)
    if too_small is not None:
        least = smallest_image(net)
        remedy = f"the least image is {least} x {least}" if least else "no image works; check its kernels and pads"
        raise NetError(f"{title}: with an image of {_by(sides(first))}, '{too_small.name}' would be "
                       f"{_by(sides(too_small))}; {remedy}")
    return Explained(title, sides(first), layers, pad_reason(net, layers), tuple(crop_reasons(layers)))


def _load(which: str, phase: Optional[str]) -> tuple[str, Any, str]:
    """Give a title, the message and the phase of a net of the zoo or of a file."""
    if which in ZOO:
        phase = phase or "deploy"
        return f"{which} ({phase})", emit(which, phase), phase
    if not Path(which).is_file():
        close = [name for name in ZOO if which.lower() in name]
        raise NetError(f"'{which}' is neither a net of the zoo nor a file; nets: {', '.join(close or ZOO)}")
    if phase not in (None, "train", "test", "val", "trainval", "deploy"):
        raise NetError(f"--phase {phase}: want train or test")
    net = read_prototxt(which, caffe_pb2.NetParameter())
    if not len(net.layer) and not len(net.layers):
        raise NetError(f"'{which}' has no layers; give the net's prototxt, not the solver's")
    return str(which), _in_current_form(net, Path(which)), phase or "test"


def _in_current_form(net: Any, path: Path) -> Any:
    """Rewrite layers of 2013 and 2014 by Caffe's tool, where it is a module; else analyse() names the tool."""
    if not len(net.layers):
        return net
    try:
        from caffe.tools.upgrade import net_text
    except ImportError:
        return net
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder, "net.prototxt")
        if net_text([str(path), str(new)]):
            raise NetError(f"'{path}' cannot be brought into the current form; see above")
        return read_prototxt(new, caffe_pb2.NetParameter())


def _with_input_layers(net: Any) -> Any:
    """Give a net whose `input` fields, the older form, are Input layers."""
    if not net.input:
        return net
    layers = [caffe_pb2.LayerParameter(name=name, type="Input", top=[name]) for name in net.input]
    for i, layer in enumerate(layers):
        if i < len(net.input_shape):
            layer.input_param.shape.add().dim.extend(net.input_shape[i].dim)
        elif net.input_dim[4 * i:4 * i + 4]:
            layer.input_param.shape.add().dim.extend(net.input_dim[4 * i:4 * i + 4])
    changed = caffe_pb2.NetParameter(name=net.name)
    changed.layer.extend([*layers, *net.layer])
    changed.layers.extend(net.layers)  # which the analysis refuses
    return changed


def text(found: Explained) -> str:
    """Give the table and the reasons as text."""
    parts = [f"{found.title}: image {_by(found.size)} (height x width)", "", *table(found.layers), "",
             "output: height x width x channels. stride: pixels of the image from one place to the next. field: pixels",
             "that one place sees (receptive field). start: the pixel under the centre of the first place; negative:",
             "in the padding.", ""]
    return "\n".join(parts + reasons(found))


def table(layers: Sequence[Layer]) -> list[str]:
    """Give a line for each layer, with a head and the sum of the parameters."""
    rows = [HEAD] + [_row(layer) for layer in layers]
    total = sum(layer.parameters or 0 for layer in layers)
    learned = sum(layer.learned or 0 for layer in layers)
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    unknown = sum(layer.parameters is None for layer in layers)
    more = f", and those of {unknown} layers that are not known" if unknown else ""
    return [*lines, f"parameters: {total:,}, of which {learned:,} learn{more}"]


def _row(layer: Layer) -> tuple[str, ...]:
    output = "-" if layer.shape == () else "?"
    if layer.shape:
        *_, channels, height, width = (1, 1, 1, *layer.shape) if len(layer.shape) < 4 else layer.shape
        output = f"{height} x {width} x {channels}" if len(layer.shape) == 4 else " x ".join(map(str, layer.shape))
    stride, start = ("-" if value is None else str(value) if value == layer.stride else number(value)
                     for value in (layer.stride, layer.start))
    count = "?" if layer.parameters is None else f"{layer.parameters:,}" if layer.parameters else ""
    return layer.name, layer.type, output, stride, "-" if layer.field is None else str(layer.field), start, count


def reasons(found: Explained) -> list[str]:
    """Give the words: why the pad, why each crop, what is not known."""
    lines = _pad_words(found) if found.pad is not None else []
    for crop in found.crops:
        lines += _crop_words(crop)
    if found.pad is None and not found.crops:
        lines += ["No layer pads beyond its kernel, and nothing is cropped."]
    dark = [f"{layer.name} ({layer.type})" for layer in found.layers if layer.shape is None]
    if dark:
        lines += ["", f"Not known, because only the built net tells its size: {', '.join(dark)}"]
    return lines


def _pad_words(found: Explained) -> list[str]:
    pad = found.pad
    assert pad is not None
    shift = next((crop for crop in reversed(found.crops) if crop.wanted is not None), None)
    lines = [f"Why pad {pad.pad}? ({' and '.join(pad.names)})"]
    if pad.least_any is not None and pad.usual >= pad.least_any:
        lines += [f"  This net does not need it: its kernel's own pad of {pad.usual} would do for every size of image."]
    else:
        lines += [f"  The kernel of {pad.kernel} alone would need {pad.usual}. But the score must cover the whole",
                  "  image, and further layers look at more than they are padded for: their maps begin inside it."]
        inwards = max(shift.steps if shift else (), key=lambda step: step[1], default=("", Fraction(0)))
        if inwards[1]:
            lines += [f"  Above all {inwards[0]}: it moves the first place in by {number(inwards[1])} pixels."]
    if shift is not None and shift.wanted is not None and shift.reference.start == 0:
        less = pad.pad - shift.wanted
        place = f"p {'-' if less >= 0 else '+'} {number(abs(less))}"
        lines += [f"  With pad p, place {place} of {shift.top.name} lies over the image's first pixel: that is the "
                  f"crop of {shift.layer.name}."]
        lines += _least_words(pad, pad.usual - less, shift.top.name)
    if pad.least_any is None:
        lines += [f"  p = {pad.pad}: not every size of image works; the smallest ones have no score."]
    else:
        lines += [f"  p >= {pad.least_any}: images of every size work, down to one pixel. {pad.pad} "
                  + (f"leaves {pad.pad - pad.least_any} to spare." if pad.pad > pad.least_any else "is the least.")]
    made = next(layer for layer in found.layers if layer.name == pad.names[0])
    rows, cols = sides(made)
    stride = int(made.stride or 1)
    cost = Fraction(rows * cols * stride * stride, found.size[0] * found.size[1])
    return [*lines, f"  The price: {made.name} makes {_by((rows, cols))} places, {float(cost):.2f} times those of the "
            "image alone.", ""]


def _least_words(pad: PadReason, usual_crop: Fraction, top: str) -> list[str]:
    """Say what the kernel's own pad would do, and from which pad on the crop begins inside."""
    inside = f"  p >= {pad.least_inside}: the crop begins inside."
    if pad.usual < pad.least_inside:
        return [f"  p = {pad.usual}: the crop would begin at {number(usual_crop)}, outside {top}"
                + (f"; below {pad.smallest} pixels, an image would have no score at all."
                   if pad.smallest and pad.smallest > 1 else "."), inside]
    if pad.smallest and pad.smallest > 1:
        return [f"  p = {pad.usual}: the crop begins inside, but an image below {pad.smallest} pixels has no score."]
    return []


def _crop_words(crop: CropReason) -> list[str]:
    layer, top, reference = crop.layer, crop.top, crop.reference
    lines = [f"Why crop {layer.crop}? ({layer.name}: {top.name}, {_by(sides(top))}, to the size of "
             f"{layer.bottoms[1]}, {_by(sides(layer))})"]
    if crop.wanted is None or top.start is None or reference.start is None or top.stride is None:
        return [*lines, "  Where the two lie over the image is not known, so this offset cannot be judged.", ""]
    if crop.steps:
        shifts = ", ".join(f"{name} {number(step, sign=True)}" for name, step in crop.steps)
        lines += [f"  The first place of {top.name} lies over pixel {number(top.start)}, the sum of what each layer "
                  "moves it:", f"  {shifts}."]
    away = reference.start - top.start
    if reference.start == 0 and top.stride == 1:
        lines += [f"  So the image begins {number(away)} pixels into it."]
    else:
        lines += [f"  That of {layer.bottoms[1]} lies over {number(reference.start)}: {number(away)} pixels on, "
                  f"which at stride {number(top.stride)} is {number(crop.wanted)} places."]
    if crop.wanted != layer.crop:
        lines += [f"  NOT pixel on pixel: the file crops at {layer.crop}, the coordinates want {number(crop.wanted)}"
                  + (", which is between pixels: a kernel or pad on the way is odd where it should be even."
                     if crop.wanted.denominator != 1 else ".")]
    else:
        lines += _rest_words(crop)
    return [*lines, ""]


def _rest_words(crop: CropReason) -> list[str]:
    """Say what is cut at the other end, and why it is not the same."""
    ends = [spare - (crop.layer.crop or 0) for spare in crop.spare]
    rest = str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} rows and {ends[1]} columns"
    lines = [f"  Cut off: {crop.layer.crop} at the top and left, {rest} at the bottom and right."]
    if any(end != crop.layer.crop for end in ends):
        lines[0] += " Sizes are rounded at the far end only,"
        lines += ["  so the middle of the map is not the middle of the image."]
    return lines


def number(value: Fraction | int, *, sign: bool = False) -> str:
    """Give a number as text, halves as .5."""
    return f"{float(value):+g}" if sign else f"{float(value):g}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def main(argv: Sequence[str]) -> int:
    """Explain a net; gives the exit status. Faults are raised (startup.run makes lines of them)."""
    parser = argparse.ArgumentParser(
        prog="python -m nets explain", description="Say of a net what its layers see, why it pads and why it crops.")
    parser.add_argument("net", metavar="NAME|FILE", help="a net of the zoo, or a prototxt file")
    parser.add_argument("--size", type=_size, metavar="HxW",
                        help="height and width of the image (default: what the net says, else 500x500)")
    parser.add_argument("--phase", help="of the net: train, val, trainval, test, deploy")
    parser.add_argument("--out", metavar="FILE", help="draw it, too: a .svg or .png file")
    args = parser.parse_args(argv)
    if args.out and Path(args.out).suffix not in PICTURES:
        raise NetError(f"--out {args.out}: want a file that ends in {' or '.join(PICTURES)}")
    found = explain(args.net, args.size, args.phase)
    print(text(found))
    if args.out:
        draw(found, args.out)
        print(f"wrote {args.out}")
    return 0


def _size(word: str) -> tuple[int, int]:
    sides_found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", word)
    if sides_found is None or not all(int(side) for side in sides_found.groups()):
        raise argparse.ArgumentTypeError(f"{word!r} is not HEIGHTxWIDTH in pixels, as in 375x500")
    return int(sides_found[1]), int(sides_found[2])

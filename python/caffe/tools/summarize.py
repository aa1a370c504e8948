"""summarize.py: a net's prototxt as a table, one line per layer.

In:   summarize.py NET.prototxt [-w WIDTH].
Out:  name, type, window, bottoms and tops of each layer; tops that no layer takes are underlined on a terminal.
Not here: shapes, for which a net has to be built. Old forms are first upgraded to today's.
Source: BVLC tools/extra/summarize.py, for behaviour.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from .._caffe.files.proto_text import read_net_param_from_text
from .entry import tool

_UNDERLINED, _PLAIN = "\x1b[4m", "\x1b[0m"


def summarize_net(net: Any, marked: bool = False) -> list[list[str]]:
    """Return a row of texts for each layer of a NetParameter: name, type, window, bottoms, an arrow, tops.

    Args:
        net: a NetParameter in the current form.
        marked: underline the tops that no layer takes.
    """
    taken = {bottom for layer in net.layer for bottom in layer.bottom}
    return [[layer.name, _type(layer), _window(layer), ", ".join(layer.bottom), "->",
             ", ".join(_top(layer, i, marked and top not in taken) for i, top in enumerate(layer.top))]
            for layer in net.layer]


def _type(layer: Any) -> str:
    if layer.type == "Python":
        return f"{layer.python_param.module}.{layer.python_param.layer}"
    return str(layer.type)


def _top(layer: Any, i: int, loose: bool) -> str:
    text = layer.top[i]
    if i < len(layer.loss_weight):
        text = f"{layer.loss_weight[i]:g} * {text}"
    return f"{_UNDERLINED}{text}{_PLAIN}" if loose else text


def _window(layer: Any) -> str:
    """Return num_output, kernel, stride, pad, dilation in short form: 64 3x3 s2 p1."""
    if layer.type in ("Convolution", "Deconvolution"):
        return _short(layer.convolution_param, str(layer.convolution_param.num_output))
    if layer.type == "Pooling":
        param = layer.pooling_param
        return _short(param, param.PoolMethod.Name(param.pool))
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else ""


def _short(param: Any, first: str) -> str:
    if getattr(param, "global_pooling", False):
        return f"{first} global"
    words = [first, _sizes(param, "kernel", "kernel_size", 1, always=True)]
    words += [_sizes(param, "stride", "stride", 1, "s"), _sizes(param, "pad", "pad", 0, "p")]
    dilation = list(getattr(param, "dilation", []))
    words.append("d" + "x".join(map(str, dilation)) if any(d != 1 for d in dilation) else "")
    words.append(f"g{param.group}" if getattr(param, "group", 1) != 1 else "")
    return " ".join(word for word in words if word)


def _sizes(param: Any, stem: str, name: str, usual: int, letter: str = "", always: bool = False) -> str:
    """Return a size along the axes, from NAME (one number or several) or STEM_h and STEM_w; "" for the usual one."""
    if param.HasField(f"{stem}_h") or param.HasField(f"{stem}_w"):
        sizes = [getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w")]
    else:
        value = getattr(param, name)
        sizes = [value] if isinstance(value, int) else list(value) or [usual]
    if not always and all(size == usual for size in sizes):
        return ""
    if len(sizes) == 1 and always:
        sizes = sizes * 2
    return letter + ("x".join(map(str, sizes)) if always or len(set(sizes)) > 1 else str(sizes[0]))


def print_table(table: Sequence[Sequence[str]], max_width: int) -> None:
    """Print rows in columns as narrow as possible and at most `max_width` wide; longer texts stick out."""
    widths = [min(max_width, max(len(row[i]) for row in table)) for i in range(len(table[0]))] if table else []
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@tool
def main(argv: list[str]) -> int:
    """Run summarize.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="summarize.py", description="Concise summarization of net prototxt files")
    parser.add_argument("filename", help="filename of prototxt to summarize")
    parser.add_argument("-w", "--max-width", type=int, default=30, help="maximum field width")
    options = parser.parse_args(argv)
    net = read_net_param_from_text(options.filename)
    print_table(summarize_net(net, sys.stdout.isatty()), options.max_width)
    return 0

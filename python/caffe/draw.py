"""Nets as drawings: layers as boxes, blobs as octagons.

In:   a NetParameter.
Out:  a pydot graph, an image of any of graphviz's formats, or the graph's text.
Not here: reading prototxt files.
Needs pydot (or pydotplus) and, for images, graphviz; both are looked for only when needed.
`.raw` and `.dot` files need neither.
Source: BVLC Caffe's python/caffe/draw.py, for behaviour.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

from caffe.proto import caffe_pb2

from ._caffe.files.caffemodel_writer import atomic_write

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
_TEXT_FORMATS = ("raw", "dot")

Node = tuple[str, dict[str, str]]  # label, style
Edge = tuple[str, str, str]  # keys of two nodes, label


def get_pooling_types_dict() -> dict[int, str]:
    """Return the names of pooling methods by number."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: Any) -> str:
    """Return the label of the arrow to a layer's top: its number of outputs, or its batch size."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return '""'


def get_layer_lr_mult(layer: Any) -> tuple[float, float]:
    """Return lr_mult of weights and biases; 1 where they are not set.

    Raises:
        ValueError: a layer other than Convolution, Deconvolution or InnerProduct, or more than two params.
    """
    if layer.type not in _LEARNING:
        raise ValueError(f"{layer.type} layers do not have a learning rate multiplier")
    given = [param.lr_mult for param in layer.param]
    if len(given) > 2:
        raise ValueError(f"Could not parse the learning rate multiplier: layer '{layer.name}' has {len(given)} params")
    weight, bias = given + [1.0] * (2 - len(given))
    return weight, bias


def get_layer_label(layer: Any, rankdir: str, display_lrm: bool = False) -> str:
    """Return a layer's quoted label: name, type, kernel_size, stride and pad, and lr_mult where wanted.

    Args:
        layer: a LayerParameter.
        rankdir: "LR" separates words with line breaks; "TB" and "BT" with spaces.
        display_lrm: whether lr_mult of weights and biases is shown.
    """
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    words = [layer.name, f"({layer.type})"]
    if layer.type == "Pooling":
        param = layer.pooling_param
        words[1] = f"({layer.type} {get_pooling_types_dict()[param.pool]})"
        words += _window(param.kernel_size, param.stride, param.pad)
    elif layer.type in ("Convolution", "Deconvolution"):
        param = layer.convolution_param
        words += _window(*(next(iter(given), absent) for given, absent in
                           ((param.kernel_size, 1), (param.stride, 1), (param.pad, 0))))
    if display_lrm and layer.type in _LEARNING and any(get_layer_lr_mult(layer)):
        words.append("lr mult: {:.1f}, {:.1f}".format(*get_layer_lr_mult(layer)))
    return f'"{separator.join(words)}"'


def _window(kernel_size: int, stride: int, pad: int) -> list[str]:
    return [f"kernel size: {kernel_size}", f"stride: {stride}", f"pad: {pad}"]


def choose_color_by_layertype(layertype: str) -> str:
    """Return the colour of a layer type's box."""
    colors = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}
    return colors.get(layertype, "#6495ED")


def _is_drawn(layer: Any, phase: int | None) -> bool:
    if phase is None:
        return True
    if len(layer.include) > 0 and len(layer.exclude) > 0:
        raise ValueError(f"layer {layer.name} has both include and exclude specified.")
    if any(rule.phase == phase for rule in layer.exclude):
        return False
    return len(layer.include) == 0 or any(rule.phase == phase for rule in layer.include)


def _graph(caffe_net: Any, rankdir: str, label_edges: bool, phase: int | None,
           display_lrm: bool) -> tuple[dict[str, Node], list[Edge]]:
    """Return nodes by key, and edges, in the order of the net."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    for layer in caffe_net.layer:
        if not _is_drawn(layer, phase):
            continue
        key = f"{layer.name}_{layer.type}"
        in_place = len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]
        style = NEURON_LAYER_STYLE if in_place else {**LAYER_STYLE_DEFAULT,
                                                     "fillcolor": choose_color_by_layertype(layer.type)}
        nodes[key] = get_layer_label(layer, rankdir, display_lrm), style
        for bottom in layer.bottom:
            nodes[f"{bottom}_blob"] = bottom, BLOB_STYLE
            edges.append((f"{bottom}_blob", key, '""'))
        for top in layer.top:
            nodes[f"{top}_blob"] = top, {}  # Caffe: only a blob that is some layer's bottom has its style
            edges.append((key, f"{top}_blob", get_edge_label(layer) if label_edges else '""'))
    return nodes, edges


def get_pydot_graph(caffe_net: Any, rankdir: str, label_edges: bool = True, phase: int | None = None,
                    display_lrm: bool = False) -> Any:
    """Return a net as a pydot graph.

    Args:
        caffe_net: a NetParameter.
        rankdir: "LR", "TB" or "BT", the direction of the drawing.
        label_edges: whether arrows say how many outputs a layer has.
        phase: TRAIN or TEST leaves the other's layers out; None draws all.
        display_lrm: whether layers that learn show their lr_mult.

    Raises:
        ImportError: neither pydotplus nor pydot is installed.
        ValueError: with a phase, a layer with both include and exclude.
    """
    pydot = _pydot()
    nodes, edges = _graph(caffe_net, rankdir, label_edges, phase, display_lrm)
    graph = pydot.Dot(caffe_net.name or "Net", graph_type="digraph", rankdir=rankdir)
    drawn = {key: pydot.Node(label, **style) for key, (label, style) in nodes.items()}
    for node in drawn.values():
        graph.add_node(node)
    for source, target, label in edges:
        graph.add_edge(pydot.Edge(drawn[source], drawn[target], label=label))
    return graph


def _pydot() -> ModuleType:
    for name in ("pydotplus", "pydot"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError("drawing nets needs the package pydot (pip install pydot) and, for images, graphviz; "
                      "neither is needed to save a file that ends in .dot or .raw")


def _text(caffe_net: Any, rankdir: str, phase: int | None, display_lrm: bool) -> str:
    """Return a net as graphviz's text."""
    nodes, edges = _graph(caffe_net, rankdir, True, phase, display_lrm)
    lines = [f"digraph {_quoted(caffe_net.name or 'Net')} {{", f"rankdir={rankdir};"]
    for label, style in nodes.values():
        look = ", ".join(f'{key}="{value}"' for key, value in style.items())
        lines.append(f"{_quoted(label)}{f' [{look}]' if look else ''};")
    lines += [f"{_quoted(nodes[source][0])} -> {_quoted(nodes[target][0])} [label={_quoted(label)}];"
              for source, target, label in edges]
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    return '"' + text.strip('"').replace('"', r"\"") + '"'


def draw_net(caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None,
             display_lrm: bool = False) -> bytes:
    """Return the bytes of a net's drawing.

    Args:
        caffe_net: a NetParameter.
        rankdir: "LR", "TB" or "BT", the direction of the drawing.
        ext: the format; "raw" and "dot" are text for graphviz, all others are made by graphviz.
        phase: TRAIN or TEST leaves the other's layers out; None draws all.
        display_lrm: whether layers that learn show their lr_mult.

    Raises:
        ImportError: neither pydotplus nor pydot is installed. RuntimeError: graphviz is not, or does not know `ext`.
    """
    if ext in _TEXT_FORMATS:
        return _text(caffe_net, rankdir, phase, display_lrm).encode()
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    try:
        return bytes(graph.create(format=ext))
    except FileNotFoundError as error:
        raise RuntimeError("drawing nets needs graphviz's program 'dot' on PATH (install graphviz); a file that ends "
                           "in .dot or .raw does not need it") from error
    except (AssertionError, OSError) as error:
        raise RuntimeError(f"graphviz cannot draw the net as '{ext}': {error}") from error


def draw_net_to_file(caffe_net: Any, filename: str | os.PathLike[str], rankdir: str = "LR", phase: int | None = None,
                     display_lrm: bool = False) -> None:
    """Draw a net into a file, in the format its name ends in; otherwise as draw_net."""
    name = os.fspath(filename)
    drawn = draw_net(caffe_net, rankdir, name[name.rfind(".") + 1:], phase, display_lrm)
    with atomic_write(name) as file:
        file.write(drawn)

"""caffe.draw: what a drawing says, as genuine Caffe's says it, and what happens without pydot and graphviz."""

from __future__ import annotations

import re
import subprocess
import sys
import types
import warnings

import pytest
from google.protobuf import text_format

import caffe
from caffe import draw
from caffe.proto import caffe_pb2

NET = """
name: "drawn"
layer { name: "data" type: "Data" top: "data" include { phase: TRAIN } data_param { batch_size: 7 } }
layer { name: "in" type: "Input" top: "data" include { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 2 }
        convolution_param { num_output: 16 kernel_size: 5 pad: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "up" type: "Deconvolution" bottom: "ip" top: "up" convolution_param { num_output: 3 } exclude {
        phase: TEST } }
"""


@pytest.fixture
def net():
    return text_format.Parse(NET, caffe_pb2.NetParameter())


@pytest.fixture
def pydot(monkeypatch):
    """Stands in for pydot: notes what is drawn; its create is graphviz's to fail."""
    module = types.ModuleType("pydot")
    module.missing = False

    class Dot:
        def __init__(self, name, **options):
            self.name, self.options, self.nodes, self.edges = name, options, [], []

        def add_node(self, node):
            self.nodes.append(node)

        def add_edge(self, edge):
            self.edges.append(edge)

        def create(self, format):  # noqa: A002 - pydot's name
            if module.missing:
                raise FileNotFoundError('"dot" not found in path.')
            return f"{format} of {self.name}".encode()

    module.Dot = Dot
    module.Node = lambda name, **style: (name, style)
    module.Edge = lambda source, target, label: (source[0], target[0], label)
    monkeypatch.setitem(sys.modules, "pydotplus", None)
    monkeypatch.setitem(sys.modules, "pydot", module)
    return module


def test_labels_are_literal(net):
    data, _, conv, relu, pool, ip, up = net.layer
    assert draw.get_layer_label(conv, "LR") == r'"conv\n(Convolution)\nkernel size: 5\nstride: 1\npad: 2"'
    assert draw.get_layer_label(conv, "TB", True) == (
        '"conv (Convolution) kernel size: 5 stride: 1 pad: 2 lr mult: 2.0, 1.0"')
    assert draw.get_layer_label(pool, "BT") == '"pool (Pooling AVE) kernel size: 3 stride: 2 pad: 0"'
    assert draw.get_layer_label(up, "LR") == r'"up\n(Deconvolution)\nkernel size: 1\nstride: 1\npad: 0"'
    assert draw.get_layer_label(ip, "LR", display_lrm=True) == r'"ip\n(InnerProduct)\nlr mult: 1.0, 1.0"'
    assert draw.get_layer_label(relu, "LR", True) == r'"relu\n(ReLU)"'
    assert [draw.get_edge_label(layer) for layer in (data, conv, relu, ip, up)] == ["Batch 7", "16", '""', "10", "3"]
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}
    assert [draw.choose_color_by_layertype(t) for t in ("Convolution", "Deconvolution", "Pooling", "InnerProduct",
                                                        "ReLU")] == ["#FF5050", "#FF5050", "#FF9900", "#CC33FF",
                                                                     "#6495ED"]


def test_lr_mult_of_other_layers_and_of_too_many_params(net):
    assert draw.get_layer_lr_mult(net.layer[2]) == (2, 1)
    with pytest.raises(ValueError, match="ReLU layers do not have a learning rate multiplier"):
        draw.get_layer_lr_mult(net.layer[3])
    for _ in range(3):
        net.layer[5].param.add()
    with pytest.raises(ValueError, match="Could not parse the learning rate multiplier"):
        draw.get_layer_lr_mult(net.layer[5])


def test_graph_of_pydot(net, pydot):
    graph = draw.get_pydot_graph(net, "LR", phase=caffe.TEST)
    assert (graph.name, graph.options) == ("drawn", {"graph_type": "digraph", "rankdir": "LR"})
    styles = dict(graph.nodes)
    assert list(styles) == [r'"in\n(Input)"', "data", r'"conv\n(Convolution)\nkernel size: 5\nstride: 1\npad: 2"',
                            "conv", r'"relu\n(ReLU)"', r'"pool\n(Pooling AVE)\nkernel size: 3\nstride: 2\npad: 0"',
                            "pool", r'"ip\n(InnerProduct)"', "ip"]
    assert styles["data"] == draw.BLOB_STYLE and styles["ip"] == {} and styles[r'"relu\n(ReLU)"'] == (
        draw.NEURON_LAYER_STYLE) and styles[r'"ip\n(InnerProduct)"']["fillcolor"] == "#CC33FF"
    assert graph.edges[1][1:] == (r'"conv\n(Convolution)\nkernel size: 5\nstride: 1\npad: 2"', '""')
    assert graph.edges[-1] == (r'"ip\n(InnerProduct)"', "ip", "10") and len(graph.edges) == 9
    assert draw.LAYER_STYLE_DEFAULT["fillcolor"] == "#6495ED"
    assert {e[2] for e in draw.get_pydot_graph(net, "LR", label_edges=False).edges} == {'""'}
    assert len(draw.get_pydot_graph(net, "TB", phase=caffe.TRAIN).nodes) == 11
    net.layer[0].exclude.add(phase=caffe.TEST)
    with pytest.raises(ValueError, match="layer data has both include and exclude specified."):
        draw.get_pydot_graph(net, "LR", phase=caffe.TEST)


def test_files_and_what_is_missing(net, pydot, monkeypatch, tmp_path):
    name = tmp_path / "net.png"
    draw.draw_net_to_file(net, name)
    assert name.read_bytes() == b"png of drawn" and draw.draw_net(net, "LR", "svg") == b"svg of drawn"
    pydot.missing = True
    with pytest.raises(RuntimeError, match="needs graphviz's program 'dot'"):
        draw.draw_net_to_file(net, str(name))
    assert name.read_bytes() == b"png of drawn"
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(ImportError, match="needs the package pydot"):
        draw.draw_net_to_file(net, str(name))


def test_text_needs_neither_pydot_nor_graphviz(net, monkeypatch, tmp_path):
    for package in ("pydot", "pydotplus"):
        monkeypatch.setitem(sys.modules, package, None)
    draw.draw_net_to_file(net, str(tmp_path / "net.dot"), "TB", caffe.TEST)
    lines = (tmp_path / "net.dot").read_text().splitlines()
    assert lines[:3] == ['digraph "drawn" {', "rankdir=TB;",
                         '"in (Input)" [shape="record", fillcolor="#6495ED", style="filled"];']
    assert '"data" [shape="octagon", fillcolor="#E0E0E0", style="filled"];' in lines and '"ip";' in lines
    assert '"ip (InnerProduct)" -> "ip" [label="10"];' in lines and lines[-1] == "}"
    draw.draw_net_to_file(net, str(tmp_path / "net.raw"))
    assert r'"conv\n(Convolution)\nkernel size: 5\nstride: 1\npad: 2" -> "conv" [label="16"];' in (
        tmp_path / "net.raw").read_text()


def test_real_pydot_draws_the_same(net):
    pydot = pytest.importorskip("pydot", reason="pydot is not installed")
    text = draw.get_pydot_graph(net, "TB").to_string()
    assert "rankdir=TB" in text and len(re.findall("->", text)) == text_format.MessageToString(net).count(
        "bottom:") + 7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydot's own, of its parser
        read = pydot.graph_from_dot_data(draw.draw_net(net, "TB", "raw").decode())[0]
    assert read.get_rankdir() == "TB" and len(read.get_edges()) == len(draw.get_pydot_graph(net, "TB").get_edges())


def test_importing_it_needs_no_pydot():
    code = ("import sys; sys.modules['pydot'] = sys.modules['pydotplus'] = None; import caffe.draw; "
            "print(caffe.draw.BLOB_STYLE['shape'])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          timeout=120).stdout == "octagon\n"

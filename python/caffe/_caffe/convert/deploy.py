"""Deploy nets of torchvision's classifiers, for weights that came from there.

In:   the architecture's name; the layers with their weights, which determine each one's width.
Out:  a NetParameter: an image of 3 x 224 x 224 in, `prob` out.
Not here: the weights' values; BVLC's AlexNet, CaffeNet and GoogLeNet, which are other nets (groups, LRN, 5 x 5).
Source: the models' published definitions. Caffe's pooling rounds up: GoogLeNet's does too, the others' sizes
    come out even at 224 x 224, where their adaptive pooling does nothing; at other sizes they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe.net_spec import NetSpec, Top, params
from caffe.net_spec import layers as L

from ..errors import ProtoError
from ..files.caffemodel import LayerBlobs

_LEARN = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]


def deploy(name: str, layers: list[LayerBlobs]) -> Any:
    """Return the NetParameter of one of torchvision's nets.

    Args:
        name: torchvision-vgg16, torchvision-alexnet or torchvision-googlenet.
        layers: all its layers; num_output and kernel_size come from the shapes of their weights.

    Raises:
        ProtoError: no such net.
    """
    if name not in _NETS:
        raise ProtoError(f"no deploy net for '{name}'; there are {', '.join(_NETS)}")
    n = NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[1, 3, 224, 224])))
    top = _NETS[name](_Maker(n, layers))
    n.prob = L.Softmax(top)
    param = n.to_proto()
    param.name = name
    return param


class _Maker:
    """Adds layers to a net by name, as wide as their weights."""

    def __init__(self, n: NetSpec, layers: list[LayerBlobs]) -> None:
        self.n = n
        self.shapes = {layer.name: layer.blobs[0].shape for layer in layers}

    def conv(self, name: str, bottom: Top, relu: str, **more: int) -> Top:
        outputs, _, kernel, _ = self._shape(name, 4)
        self.n[name] = L.Convolution(bottom, num_output=outputs, kernel_size=kernel, param=_LEARN, **more)
        self.n[relu] = L.ReLU(self.n[name], in_place=True)
        return self.n[relu]

    def full(self, name: str, bottom: Top, relu: str = "") -> Top:
        self.n[name] = L.InnerProduct(bottom, num_output=self._shape(name, 2)[0], param=_LEARN)
        if not relu:
            return self.n[name]
        self.n[relu] = L.ReLU(self.n[name], in_place=True)
        return self.n[relu]

    def pool(self, name: str, bottom: Top, kernel: int, stride: int, **more: int) -> Top:
        self.n[name] = L.Pooling(bottom, pool=params.Pooling.MAX, kernel_size=kernel, stride=stride, **more)
        return self.n[name]

    def _shape(self, name: str, axes: int) -> tuple[int, ...]:
        shape = self.shapes[name]
        if len(shape) != axes:
            raise ProtoError(f"layer '{name}' has weights of shape {shape}, want {axes} axes")
        return shape


def _vgg16(make: _Maker) -> Top:
    top = make.n.data
    for block, count in enumerate((2, 2, 3, 3, 3), start=1):
        for i in range(1, count + 1):
            top = make.conv(f"conv{block}_{i}", top, f"relu{block}_{i}", pad=1)
        top = make.pool(f"pool{block}", top, 2, 2)
    return _classifier(make, top)


def _alexnet(make: _Maker) -> Top:
    top = make.conv("conv1", make.n.data, "relu1", pad=2, stride=4)
    top = make.conv("conv2", make.pool("pool1", top, 3, 2), "relu2", pad=2)
    top = make.conv("conv3", make.pool("pool2", top, 3, 2), "relu3", pad=1)
    top = make.conv("conv4", top, "relu4", pad=1)
    top = make.conv("conv5", top, "relu5", pad=1)
    return _classifier(make, make.pool("pool5", top, 3, 2))


def _classifier(make: _Maker, top: Top) -> Top:
    return make.full("fc8", make.full("fc7", make.full("fc6", top, "relu6"), "relu7"))


def _googlenet(make: _Maker) -> Top:
    top = make.conv("conv1/7x7_s2", make.n.data, "conv1/relu_7x7", pad=3, stride=2)
    top = make.pool("pool1/3x3_s2", top, 3, 2)
    top = make.conv("conv2/3x3_reduce", top, "conv2/relu_3x3_reduce")
    top = make.pool("pool2/3x3_s2", make.conv("conv2/3x3", top, "conv2/relu_3x3", pad=1), 3, 2)
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        top = _inception(make, f"inception_{block}", top)
        if block == "3b":
            top = make.pool("pool3/3x3_s2", top, 3, 2)
        elif block == "4e":
            top = make.pool("pool4/2x2_s2", top, 2, 2)
    make.n["pool5/7x7_s1"] = L.Pooling(top, pool=params.Pooling.AVE, global_pooling=True)
    return make.full("loss3/classifier", make.n["pool5/7x7_s1"])


def _inception(make: _Maker, block: str, bottom: Top) -> Top:
    def conv(name: str, top: Top, pad: int = 0) -> Top:
        return make.conv(f"{block}/{name}", top, f"{block}/relu_{name}", pad=pad)

    pooled = make.pool(f"{block}/pool", bottom, 3, 1, pad=1)
    tops = (conv("1x1", bottom), conv("3x3", conv("3x3_reduce", bottom), 1),
            conv("5x5", conv("5x5_reduce", bottom), 1),  # 3 x 3, as torchvision's
            conv("pool_proj", pooled))
    make.n[f"{block}/output"] = L.Concat(*tops)
    return make.n[f"{block}/output"]


_NETS: dict[str, Callable[[_Maker], Top]] = {
    "torchvision-vgg16": _vgg16, "torchvision-alexnet": _alexnet, "torchvision-googlenet": _googlenet}

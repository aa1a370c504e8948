"""A net being written: a NetSpec with the ways of adding layers that families of nets share.

In:   batch size; whether it is to be trained; whether BatchNorm uses stored statistics; whether fillers are written.
Out:  a Draft: `text()` is its prototxt, `arrays(seed)` what its inputs hold.
Not here: the nets (a file per family), weights (weights).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

import caffe
from caffe import layers as L
from caffe import params as P

FIXED = [{"lr_mult": 0, "decay_mult": 0}] * 3  # BatchNorm's blobs are statistics
WEIGHT, BIAS = {"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}


class Draft:
    """A net being written."""

    def __init__(self, batch: int = 1, train: bool = False, global_stats: bool = False, fillers: bool = True) -> None:
        """Begin an empty net.

        Args:
            batch: number of images.
            train: end in losses, with auxiliary heads; otherwise in scores.
            global_stats: BatchNorm uses its stored statistics, also where the net is trained.
            fillers: name the fillers of weights; without them weights are 0 and the net is built fast.
        """
        self.n = caffe.NetSpec()
        self.batch, self.train, self.global_stats, self.fillers = batch, train, global_stats, fillers
        self.inputs: dict[str, tuple[tuple[int, ...], Callable]] = {}

    def add(self, name: str, top):
        """Name a layer's top, or its tops, and return it."""
        if isinstance(top, Iterable):
            top = tuple(top)
            for number, one in enumerate(top):
                self.n[name if number == 0 else f"{name}_{number}"] = one
        else:
            self.n[name] = top
        return top

    # -- inputs

    def input(self, name: str, *shape: int, draw: Callable | None = None):
        """Add an Input layer; draw(rng, shape) makes its values, by default normal ones."""
        self.inputs[name] = (shape, draw or (lambda rng, size: rng.standard_normal(size)))
        return self.add(name, L.Input(shape={"dim": list(shape)}))

    def image(self, height: int, width: int | None = None, channels: int = 3):
        """Add the input `data`: a batch of images."""
        return self.input("data", self.batch, channels, height, width or height)

    def label(self, classes: int, *shape: int, name: str = "label"):
        """Add an input of class numbers, by default one per image."""
        return self.input(name, *(shape or (self.batch,)), draw=lambda rng, size: rng.integers(0, classes, size))

    # -- layers

    def weights(self, filler: str, bias: bool = True) -> dict:
        """Return a layer's arguments for its weights: fillers, learning rates, bias or none."""
        found: dict = {"param": [WEIGHT, BIAS] if bias else [WEIGHT]}
        if self.fillers:
            found["weight_filler"] = {"type": filler}
            if bias:
                found["bias_filler"] = {"type": "constant", "value": 0}
        return found if bias else {**found, "bias_term": False}

    def conv(self, name: str, bottom, num_output: int, kernel: int | tuple[int, int], stride: int = 1,
             pad: int | tuple[int, int] = 0, group: int = 1, bias: bool = True, filler: str = "msra"):
        """Add a convolution; kernel and pad are one number or height and width."""
        size = {"kernel_size": kernel} if isinstance(kernel, int) else {"kernel_h": kernel[0], "kernel_w": kernel[1]}
        edge = {"pad": pad} if isinstance(pad, int) else {"pad_h": pad[0], "pad_w": pad[1]}
        edge = {} if pad in (0, (0, 0)) else edge
        more = {**({"stride": stride} if stride > 1 else {}), **({"group": group} if group > 1 else {})}
        return self.add(name, L.Convolution(bottom, num_output=num_output, **size, **edge, **more,
                                            **self.weights(filler, bias)))

    def full(self, name: str, bottom, num_output: int, filler: str = "xavier", **more):
        """Add an InnerProduct."""
        return self.add(name, L.InnerProduct(bottom, num_output=num_output, **self.weights(filler), **more))

    def relu(self, name: str, bottom):
        """Add a ReLU in place."""
        return self.add(name, L.ReLU(bottom, in_place=True))

    def dropout(self, name: str, bottom, ratio: float = 0.5):
        """Add a Dropout in place."""
        return self.add(name, L.Dropout(bottom, dropout_ratio=ratio, in_place=True))

    def norm(self, name: str, bottom, in_place: bool = True, eps: float | None = None):
        """Add BatchNorm and Scale, name/bn and name/scale; out of place where others read the bottom, too."""
        how: dict = {} if eps is None else {"eps": eps}
        if self.train and self.global_stats:
            how["use_global_stats"] = True
        top = self.add(f"{name}/bn", L.BatchNorm(bottom, in_place=in_place, param=FIXED, **how))
        return self.add(f"{name}/scale", L.Scale(top, bias_term=True, in_place=True))

    def unit(self, name: str, bottom, num_output: int, kernel: int | tuple[int, int], relu: bool = True,
             eps: float | None = None, **how):
        """Add a convolution without bias, BatchNorm, Scale and, where asked, ReLU."""
        top = self.norm(name, self.conv(name, bottom, num_output, kernel, bias=False, **how), eps=eps)
        return self.relu(f"{name}/relu", top) if relu else top

    def conv_relu(self, name: str, bottom, num_output: int, kernel: int, **how):
        """Add a convolution and a ReLU."""
        return self.relu(f"{name}/relu", self.conv(name, bottom, num_output, kernel, **how))

    def pool(self, name: str, bottom, kernel: int, stride: int = 1, pad: int = 0, ave: bool = False, ntop: int = 1):
        """Add a maximum, or average, over windows."""
        return self.add(name, L.Pooling(bottom, pool=P.Pooling.AVE if ave else P.Pooling.MAX, kernel_size=kernel,
                                        stride=stride, ntop=ntop, **({"pad": pad} if pad else {})))

    def whole(self, name: str, bottom):
        """Add the average over all places."""
        return self.add(name, L.Pooling(bottom, pool=P.Pooling.AVE, global_pooling=True))

    def sum(self, name: str, *bottoms):
        """Add the sum of blobs."""
        return self.add(name, L.Eltwise(*bottoms, operation=P.Eltwise.SUM))

    def concat(self, name: str, *bottoms):
        """Add the channels of all bottoms, one after another."""
        return self.add(name, L.Concat(*bottoms))

    # -- ends

    def classify(self, score, classes: int, loss_weight: float = 1, prefix: str = "") -> None:
        """End in the loss, or in probabilities."""
        if not self.train:
            self.add(f"{prefix}prob", L.Softmax(score))
            return
        label = self.n["label"] if "label" in self.inputs else self.label(classes)
        self.add(f"{prefix}loss", L.SoftmaxWithLoss(score, label, loss_weight=loss_weight))

    def text(self) -> str:
        """Return the net as prototxt."""
        return str(self.n.to_proto())

    def arrays(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Return what each input holds; the same for the same seed, whether trained or not."""
        found = {}
        for name, (shape, draw) in self.inputs.items():
            rng = np.random.default_rng([seed, *name.encode()])
            found[name] = np.ascontiguousarray(draw(rng, shape), np.float32)
        return found

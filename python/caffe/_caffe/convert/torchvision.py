"""torchvision's classifiers and Caffe's form of them: names, the first layer's input, batch normalisation.

In:   a state dict of torchvision's VGG16, AlexNet or GoogLeNet; or layers of Caffe with their blobs.
Out:  the other one, with equal scores.
Not here: files (files.py), prototxts of these nets (deploy.py).
Source: the models' published definitions, for names of keys; Caffe pads with 0 after the mean is subtracted.

torchvision feeds RGB as (x / 255 - mean) / std, Caffe BGR as x - mean, x in 0 ... 255. Order and scale go into
the first layer's weights. With the mean 255 * (torchvision's mean) nothing else changes, and borders are
equal too, because there both pad with the mean's colour. Any other mean goes into the first layer's bias, which is
exact wherever that layer's window lies inside the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import ProtoError
from ..files.caffemodel import LayerBlobs
from .files import Arrays
from .names import as_blob, modern_arrays

EPS = 0.001  # of GoogLeNet's BatchNorm
_NORM = ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


@dataclass(frozen=True)
class Images:
    """What a net's first layer was trained on: (x / 255 - mean) / std of RGB, or Caffe's own images."""

    text: str
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def mean_bgr(self) -> tuple[float, float, float]:
        """The mean in 0 ... 255, blue first."""
        return tuple(255.0 * value for value in reversed(self.mean))  # type: ignore[return-value]


IMAGES = {
    "imagenet": Images("RGB, (x / 255 - (.485, .456, .406)) / (.229, .224, .225)", (0.485, 0.456, 0.406),
                       (0.229, 0.224, 0.225)),
    # transform_input=True, as torchvision makes its pretrained GoogLeNet
    "half": Images("RGB, (x / 255 - .5) / .5 after its transform_input", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "caffe": Images("BGR, 0 ... 255 less the mean, as Caffe's own"),
}


@dataclass(frozen=True)
class Architecture:
    """One of torchvision's nets: the module of each layer with weights, first layer first."""

    name: str
    modules: dict[str, str]  # by Caffe's layer name
    images: str = "imagenet"
    normalised: bool = False  # convolutions are followed by BatchNorm and have no bias
    ignored: tuple[str, ...] = ()  # keys that start this way serve training only

    def matches(self, keys: Iterable[str]) -> bool:
        """Return whether these are the keys of this net, some of which may be missing."""
        keys = set(keys)
        there = [key for key in self.keys() if key in keys]
        return 2 * len(there) > len(self.keys()) and not self._unknown(keys)

    def keys(self) -> list[str]:
        """List the keys that a state dict must have."""
        return [f"{module}.{word}" for layer, module in self.modules.items() for word in self._words(layer)]

    def read(self, arrays: Arrays, images: Images, mean_bgr: tuple[float, ...]) -> list[LayerBlobs]:
        """Return Caffe's layers, for BGR images from which `mean_bgr` has been subtracted.

        Raises:
            ProtoError: keys missing or unknown, shapes that do not fit each other, numbers not finite.
        """
        missing = [key for key in self.keys() if key not in arrays]
        unknown = self._unknown(arrays)
        if missing or unknown:
            raise ProtoError(f"{self.name}: {len(missing)} of {len(self.keys())} keys missing"
                             f"{': ' if missing else ''}{', '.join(missing)}; unknown: "
                             f"{', '.join(sorted(unknown)) or 'none'}; want the state dict of torchvision's net")
        layers: list[LayerBlobs] = []
        for layer, module in self.modules.items():
            found = [np.asarray(arrays[f"{module}.{word}"], np.float64) for word in self._words(layer)]
            _check(self.name, module, found)
            weight, bias = _merge(*found) if len(found) > 2 else found
            if not layers:
                weight, bias = _for_caffe(weight, bias, images, mean_bgr)
            layer_type = "InnerProduct" if weight.ndim == 2 else "Convolution"
            layers.append(LayerBlobs(layer, layer_type, [as_blob(weight), as_blob(bias)]))
        return layers

    def write(self, layers: list[LayerBlobs], images: Images, mean_bgr: tuple[float, ...]) -> Arrays:
        """Return the state dict for torchvision's net, from layers fed with BGR images less `mean_bgr`.

        Raises:
            ProtoError: layers missing or with other parameters.
        """
        there = {layer.name: modern_arrays(layer) for layer in layers if layer.blobs}
        missing = [name for name in self.modules if len(there.get(name, ())) != 2]
        unknown = sorted(set(there) - set(self.modules))
        if missing or unknown:
            raise ProtoError(f"{self.name}: no weights and bias for {', '.join(missing) or 'none'}; no place for "
                             f"{', '.join(unknown) or 'none'}; want the layers {', '.join(self.modules)}")
        arrays: Arrays = {}
        for i, (layer, module) in enumerate(self.modules.items()):
            weight, bias = (array.astype(np.float64) for array in there[layer])
            weight, bias = _for_torch(weight, bias, images, mean_bgr) if i == 0 else (weight, bias)
            _check(self.name, layer, [weight, bias])
            values = [weight, bias] if len(self._words(layer)) == 2 else _split(weight, bias)
            for word, value in zip(self._words(layer), values, strict=True):
                arrays[f"{module}.{word}"] = np.ascontiguousarray(value, np.float32)
            if len(values) > 2:
                arrays[f"{module}.bn.num_batches_tracked"] = np.array(0, np.int64)
        return arrays

    def _words(self, layer: str) -> tuple[str, ...]:
        normalised = self.normalised and self.modules[layer] != "fc"
        return ("conv.weight", *_NORM) if normalised else ("weight", "bias")

    def _unknown(self, keys: Iterable[str]) -> set[str]:
        return {key for key in set(keys) - set(self.keys())
                if not key.startswith(self.ignored) and not key.endswith("num_batches_tracked")}


def _merge(weight: np.ndarray, gain: np.ndarray, shift: np.ndarray, mean: np.ndarray,
           var: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A convolution without bias and its BatchNorm as one convolution with bias."""
    factor = gain / np.sqrt(var + EPS)
    return weight * factor[:, None, None, None], shift - mean * factor


def _split(weight: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    """A convolution with bias as one without and a BatchNorm that only adds: gain, shift, mean, variance."""
    ones, zeros = np.ones_like(bias), np.zeros_like(bias)
    return [weight, ones, bias, zeros, ones - EPS]


def _for_caffe(weight: np.ndarray, bias: np.ndarray, images: Images,
               mean_bgr: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    if images is IMAGES["caffe"]:
        return weight, bias
    weight = weight[:, ::-1] / (255.0 * np.array(images.std[::-1]))[:, None, None]
    return weight, bias + weight.sum((2, 3)) @ (np.array(mean_bgr) - images.mean_bgr)


def _for_torch(weight: np.ndarray, bias: np.ndarray, images: Images,
               mean_bgr: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    if images is IMAGES["caffe"]:
        return weight, bias
    bias = bias - weight.sum((2, 3)) @ (np.array(mean_bgr) - images.mean_bgr)
    return weight[:, ::-1] * (255.0 * np.array(images.std))[:, None, None], bias


def _check(net: str, module: str, arrays: list[np.ndarray]) -> None:
    weight, others = arrays[0], arrays[1:]
    wrong = [array.shape for array in others if array.shape != weight.shape[:1]]
    if weight.ndim not in (2, 4) or wrong:
        raise ProtoError(f"{net}: '{module}' has weights of shape {weight.shape} and {wrong or 'a bias'}; want 2 or 4 "
                         "axes, and one number for each output in the others")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ProtoError(f"{net}: '{module}' has numbers that are nan or infinite; want a file that was trained "
                         "completely (some published ones hold a classifier's features only)")


def _numbered(prefix: str, names: Iterable[str], places: Iterable[int]) -> dict[str, str]:
    return {name: f"{prefix}.{place}" for name, place in zip(names, places, strict=True)}


def _googlenet() -> dict[str, str]:
    modules = {"conv1/7x7_s2": "conv1", "conv2/3x3_reduce": "conv2", "conv2/3x3": "conv3"}
    branches = {"1x1": "branch1", "3x3_reduce": "branch2.0", "3x3": "branch2.1", "5x5_reduce": "branch3.0",
                "5x5": "branch3.1", "pool_proj": "branch4.1"}  # torchvision's "5x5" has kernels of 3 x 3
    for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        modules |= {f"inception_{block}/{name}": f"inception{block}.{branch}" for name, branch in branches.items()}
    return modules | {"loss3/classifier": "fc"}


_VGG16_NAMES = [f"conv{block}_{i}" for block, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, count + 1)]
ARCHITECTURES = {row.name: row for row in (
    Architecture("torchvision-vgg16",
                 _numbered("features", _VGG16_NAMES, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))
                 | _numbered("classifier", ("fc6", "fc7", "fc8"), (0, 3, 6))),
    Architecture("torchvision-alexnet",
                 _numbered("features", ("conv1", "conv2", "conv3", "conv4", "conv5"), (0, 3, 6, 8, 10))
                 | _numbered("classifier", ("fc6", "fc7", "fc8"), (1, 4, 6))),
    Architecture("torchvision-googlenet", _googlenet(), images="half", normalised=True, ignored=("aux1.", "aux2.")),
)}

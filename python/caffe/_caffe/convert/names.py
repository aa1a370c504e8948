"""Weights whose keys are the layers' names: Caffe's blobs by number, or named as other frameworks name them.

In:   layers with blobs; arrays by key.
Out:  arrays by key; layers with blobs.
Not here: files (files.py); nets whose layers have other names (torchvision.py).

The converted FCNs that others publish keep Caffe's names: `conv1_1/W` (Chainer), `conv1_1.weight` (PyTorch).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..errors import ProtoError
from ..files.caffemodel import BlobArray, LayerBlobs
from .files import NPZ, PTH, Arrays

LAYERS = "layers"  # key of the table of names and types in an .npz of ours
_WEIGHTED = {"", "Convolution", "Deconvolution", "InnerProduct", "Scale", "Bias", "PReLU", "Embed"}
_CONVOLUTIONS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3")
_TRUNK = (*(f"conv{i}" for i in _CONVOLUTIONS), "fc6", "fc7", "score_fr")
FCNS = {  # published with these names
    "FCN-32s": (*_TRUNK, "upscore"),
    "FCN-16s": (*_TRUNK, "upscore2", "score_pool4", "upscore16"),
    "FCN-8s": (*_TRUNK, "upscore2", "score_pool4", "upscore_pool4", "score_pool3", "upscore8"),
}
_FIXED = {"scale_pool4": 0.01, "scale_pool3": 0.0001}  # at-once nets: code in PyTorch and Chainer, layers in Caffe


@dataclass(frozen=True)
class Naming:
    """Keys made of a layer's name and a word for each of its blobs."""

    name: str
    kind: str
    separator: str
    words: tuple[str, ...]  # for blobs 0, 1; others, and layers that are not weights and bias, have the number

    def matches(self, keys: Iterable[str]) -> bool:
        """Return whether all keys are of this form."""
        keys = [key for key in keys if key != LAYERS]
        return bool(keys) and all(self._index(key) is not None for key in keys)

    def read(self, arrays: Arrays) -> list[LayerBlobs]:
        """Return the layers, in the order of the file.

        Raises:
            ProtoError: keys of another form, a blob without those before it, or one of the published
                FCNs with keys missing.
        """
        wrong = [key for key in arrays if key != LAYERS and self._index(key) is None]
        if wrong or not self.matches(arrays):
            raise ProtoError(f"key '{wrong[0] if wrong else LAYERS}' is not of the form {self.name}, want "
                             f"'LAYER{self.separator}{self.words[0]}' and the like; name the form with --from")
        table = arrays.get(LAYERS)
        types = _table(table) if table is not None else {}
        blobs: dict[str, dict[int, np.ndarray]] = {name: {} for name in types}
        for key, array in arrays.items():
            if key != LAYERS:
                blobs.setdefault(key.rpartition(self.separator)[0], {})[self._index(key) or 0] = array
        _check_whole(blobs, self)
        types = types or _fcn_types(blobs, self)
        return [LayerBlobs(name, types.get(name, ""), [as_blob(found[i]) for i in range(len(found))])
                for name, found in blobs.items()]

    def write(self, layers: list[LayerBlobs]) -> Arrays:
        """Return the arrays by key; ProtoError if two layers with blobs have the same name."""
        arrays: Arrays = {}
        for layer in layers:
            for i, array in enumerate(modern_arrays(layer)):
                key = f"{layer.name}{self.separator}{self._word(layer, i)}"
                if key in arrays:
                    raise ProtoError(f"two layers are called '{layer.name}'; keys need names of their own")
                arrays[key] = array
        if self.words[0] == "0":
            arrays[LAYERS] = np.array([[layer.name, layer.type] for layer in layers], dtype=np.str_)
        return arrays

    def _index(self, key: str) -> int | None:
        name, _, word = key.rpartition(self.separator)
        if not name:
            return None
        if word in self.words:
            return self.words.index(word)
        return int(word) if word.isascii() and word.isdigit() else None

    def _word(self, layer: LayerBlobs, i: int) -> str:
        return self.words[i] if i < len(self.words) and layer.type in _WEIGHTED else str(i)


NAMINGS = (
    Naming("caffe-npz", NPZ, "/", ("0", "1")),
    Naming("chainer", NPZ, "/", ("W", "b")),
    Naming("pytorch", PTH, ".", ("weight", "bias")),
)


def as_blob(array: np.ndarray) -> BlobArray:
    """Return an array as a blob of a file, float32."""
    array = np.ascontiguousarray(array, np.float32)
    return BlobArray(array.shape, False, array.reshape(-1))


def modern_arrays(layer: LayerBlobs) -> list[np.ndarray]:
    """Return a layer's blobs in today's shapes: a file from 2014 has a bias as 1 x 1 x 1 x N."""
    return [blob.data.reshape(_modern_shape(layer.type, i, blob)) for i, blob in enumerate(layer.blobs)]


def without_fixed_scales(layers: list[LayerBlobs]) -> list[LayerBlobs]:
    """Leave out the at-once net's two scale layers: PyTorch and Chainer have these factors in their code."""
    return [layer for layer in layers if not (layer.name in _FIXED and len(layer.blobs) == 1 and np.allclose(
        layer.blobs[0].data, _FIXED[layer.name], rtol=1e-6, atol=0))]


def fcn_variant(names: Iterable[str]) -> str:
    """Return the name of the published FCN of VGG16 that has these layers and no other kind of layer, or ''."""
    names = set(names) - set(_FIXED)
    if "score_fr" not in names or not names <= {name for layers in FCNS.values() for name in layers}:
        return ""
    if names & {"upscore8", "upscore_pool4", "score_pool3"}:
        return "FCN-8s"
    return "FCN-16s" if names & {"upscore16", "upscore2", "score_pool4"} else "FCN-32s"


def _modern_shape(layer_type: str, i: int, blob: BlobArray) -> tuple[int, ...]:
    if not blob.legacy:
        return blob.shape
    if i == 0 and layer_type in ("Convolution", "Deconvolution"):
        return blob.shape
    if i == 0 and layer_type in ("InnerProduct", "Embed"):
        return blob.shape[2:] if math.prod(blob.shape[:2]) == 1 else blob.shape
    shape = blob.shape
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _table(table: np.ndarray) -> dict[str, str]:
    if table.ndim != 2 or table.shape[1:] != (2,) or table.dtype.kind != "U":
        raise ProtoError(f"key '{LAYERS}' has shape {table.shape} of {table.dtype}, want a row (name, type) per layer")
    return {str(name): str(layer_type) for name, layer_type in table}


def _check_whole(blobs: dict[str, dict[int, np.ndarray]], naming: Naming) -> None:
    for name, found in blobs.items():
        gaps = sorted(set(range(len(found))) - set(found))
        if gaps:
            word = naming.words[gaps[0]] if gaps[0] < len(naming.words) else gaps[0]
            raise ProtoError(f"layer '{name}' has blobs {sorted(found)} but no '{name}{naming.separator}{word}'; "
                             "was the file cut?")
        for array in found.values():
            if array.dtype.kind not in "fiu":
                raise ProtoError(f"layer '{name}' has an array of {array.dtype}, want numbers")


def _fcn_types(blobs: dict[str, dict[int, np.ndarray]], naming: Naming) -> dict[str, str]:
    """Types of a published FCN's layers, whose keys must all be there; empty for another net."""
    variant = fcn_variant(blobs)
    if not variant:
        return {}
    wanted = [f"{name}{naming.separator}{word}" for name in FCNS[variant]
              for word in (naming.words[:1] if name.startswith("upscore") else naming.words)]
    there = {f"{name}{naming.separator}{naming.words[i]}" for name, found in blobs.items() for i in found if i < 2}
    missing = [key for key in wanted if key not in there]
    if missing:
        raise ProtoError(f"{variant}: {len(missing)} of {len(wanted)} keys are missing: {', '.join(missing)}")
    return {name: "Deconvolution" if name.startswith("upscore") else "Convolution" for name in FCNS[variant]}

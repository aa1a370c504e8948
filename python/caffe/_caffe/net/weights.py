"""A net's weights: shared with another net, copied from files, saved to them.

In:   a net's wiring; caffemodels, binary or HDF5.
Out:  copy_from, load_hdf5, save, save_hdf5, share_with, to_proto.
Not here: the files' bytes (caffemodel, caffemodel_writer, hdf5_files). Source: BVLC net.cpp.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from .. import log
from ..blob import Blob
from ..errors import NetError
from ..files import caffemodel, hdf5_files
from ..paths import path_of
from .turn import Turn
from .wiring import Node, Wiring

Method = TypeVar("Method", bound=Callable[..., Any])


def _in_turn(method: Method) -> Method:
    @functools.wraps(method)
    def run(self: Weights, *args: Any, **kwargs: Any) -> Any:
        with self._turn:
            return method(self, *args, **kwargs)
    return cast(Method, run)


class Weights:
    """The parameters of a net, layer by layer.

    Args:
        name: the net's name, which is saved.
        wiring: that of the net.
        turn: held by whoever runs the net; meanwhile weights are neither loaded nor saved.
    """

    def __init__(self, name: str, wiring: Wiring, turn: Turn) -> None:
        self._name, self._wiring, self._turn = name, wiring, turn

    def _node(self, name: str) -> Node | None:
        """Return the first layer of this name, or None."""
        return next((node for node in self._wiring.nodes if node.name == name), None)

    @_in_turn
    def share_with(self, other: Any) -> None:
        """Use another net's parameters, layer by layer of the same name; data only, gradients stay apart.

        Raises:
            NetError: a layer of the same name has other parameters. TypeError: it is not a net.
        """
        wiring = getattr(other, "wiring", None)
        if not isinstance(wiring, Wiring):
            raise TypeError(f"net.share_with: got {type(other).__name__}, want a caffe.Net")
        for source in wiring.nodes:
            target = self._node(source.name)
            if target is None:
                log.info(f"Ignoring source layer {source.name}", "net.cpp:670")
                continue
            mine, theirs = target.layer.blobs, source.layer.blobs
            if len(mine) != len(theirs):
                raise NetError(f"Incompatible number of blobs for layer {source.name}: the other net has "
                               f"{len(theirs)}, this one {len(mine)}")
            want, got = [b.shape for b in mine], [b.shape for b in theirs]
            if want != got:
                raise NetError(f"Cannot share param weights from layer '{source.name}'; shape mismatch. Source params "
                               f"are {got}; target params are {want}")
            for blob, shared in zip(mine, theirs, strict=True):
                blob.share_data(shared)

    @_in_turn
    def copy_from(self, path: str | os.PathLike[str]) -> None:
        """Copy weights of a caffemodel, binary or HDF5, into the layers of the same names; others stay as they are.

        Raises:
            ProtoError: the file is missing, truncated or not a caffemodel.
            NetError: a layer of the same name has other parameters.
        """
        path = path_of("net.copy_from", path, "a caffemodel")
        if hdf5_files.is_hdf5(path):
            self.load_hdf5(path)
            return
        for source in caffemodel.read_layers(path):
            target = self._target(source.name)
            if target is None:
                continue
            blobs = target.layer.blobs
            if len(blobs) != len(source.blobs):
                raise _incompatible(source.name, path, len(source.blobs), len(blobs))
            for param_id, (blob, values) in enumerate(zip(blobs, source.blobs, strict=True)):
                if not _same_shape(values, blob):
                    raise _other_shape(source.name, param_id, values.shape, blob.shape)
                blob.data.reshape(-1)[...] = values.data
                if values.diff is not None:  # Caffe: a snapshot with snapshot_diff brings gradients too. blob.cpp
                    blob.diff.reshape(-1)[...] = values.diff

    @_in_turn
    def load_hdf5(self, path: str | os.PathLike[str]) -> None:
        """Copy weights of an HDF5 caffemodel, as copy_from does.

        Raises:
            ProtoError: the file is missing, damaged or something else.
            NetError: a layer of the same name has other parameters.
        """
        path = path_of("net.load_hdf5", path, "an HDF5 caffemodel")
        for name, source in hdf5_files.read_net(path):
            target = self._target(name)
            if target is None:
                continue
            blobs, own = target.layer.blobs, self._own_blobs(self._wiring.nodes.index(target))
            if set(source) - set(range(len(blobs))) or set(own) - set(source):
                raise _incompatible(name, path, len(source), len(own))
            for param_id, values in source.items():
                if values.shape != blobs[param_id].shape:
                    raise _other_shape(name, param_id, values.shape, blobs[param_id].shape)
                blobs[param_id].data[...] = values

    def _target(self, layer_name: str) -> Node | None:
        """Return the first layer of this name; if there is none, log that and return None."""
        node = self._node(layer_name)
        if node is None:
            log.info(f"Ignoring source layer {layer_name}", "net.cpp:740")
        return node

    @_in_turn
    def save(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write all layers with their parameters as a caffemodel, byte for byte as Caffe does; atomic."""
        path = path_of("net.save", path, "a caffemodel")
        param, blobs = self.to_proto()
        caffemodel.write_net(path, param, [[b.data for b in layer] for layer in blobs],
                             diffs=[[b.diff for b in layer] for layer in blobs] if write_diff else None)

    @_in_turn
    def save_hdf5(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write all parameters as HDF5, group by group as Caffe does, a shared one with its owner; atomic."""
        nodes = self._wiring.nodes
        layers = [(node.name, {i: blob.data for i, blob in self._own_blobs(layer_id).items()})
                  for layer_id, node in enumerate(nodes)]
        # Caffe: every parameter's gradient is written, shared or not. net.cpp, ToHDF5
        diffs = [{i: blob.diff for i, blob in enumerate(node.layer.blobs)} for node in nodes]
        hdf5_files.write_net(path_of("net.save_hdf5", path, "a caffemodel"), layers, diffs if write_diff else None)

    def _own_blobs(self, layer_id: int) -> dict[int, Blob]:
        """Return a layer's parameters by number, except those that another layer owns."""
        return {p.param_id: p.blob for p in self._wiring.params if p.layer_id == layer_id and p.owner is None}

    def to_proto(self) -> tuple[Any, list[list[Blob]]]:
        """Return the NetParameter as it is saved, without values, and each layer's parameter blobs."""
        from caffe.proto import caffe_pb2

        param = caffe_pb2.NetParameter(name=self._name)
        for node in self._wiring.nodes:
            # via bytes: a layer registered since this net was built has recreated all message classes
            param.layer.add().MergeFromString(node.layer.layer_param.SerializeToString())
        return param, [list(node.layer.blobs) for node in self._wiring.nodes]


def _incompatible(layer: str, path: str, got: int, want: int) -> NetError:
    return NetError(f"Incompatible number of blobs for layer {layer}: {path} has {got}, this net {want}; rename the "
                    "layer to leave it out")


def _other_shape(layer: str, param_id: int, got: tuple[int, ...], want: tuple[int, ...]) -> NetError:
    return NetError(
        f"Cannot copy param {param_id} weights from layer '{layer}'; shape mismatch. Source param shape is "
        f"{tuple(got)}; target param shape is {want}. To learn this layer's parameters from scratch rather than "
        "copying from a saved net, rename the layer.")


def _same_shape(values: Any, target: Blob) -> bool:
    """Compare shapes; a legacy (num, channels, height, width) is right-aligned and padded with 1."""
    if values.legacy:
        shape = target.shape
        return len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == tuple(values.shape)
    return tuple(values.shape) == target.shape

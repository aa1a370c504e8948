"""A Net's weights: shared with another net, copied from files, saved to them.

In:   a Net's wiring (`_w`); caffemodels, binary or HDF5.
Out:  copy_from, load_hdf5, save, save_hdf5, share_with, to_proto.
Not here: bytes of files (caffemodel, caffemodel_writer, hdf5_files). Source: BVLC net.cpp.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .. import log
from ..blob import Blob
from ..errors import NetError
from ..files import caffemodel, hdf5_files
from ..layer import Layer

if TYPE_CHECKING:
    from .build import Wiring


class NetWeights:
    """The part of a Net that gets and gives weights."""

    _w: Wiring
    layers: list[Layer]
    name: str

    def layer_index(self, name: str) -> int | None:
        """Return the index of the first layer of this name, or None."""
        try:
            return self._w.layer_names.index(name)
        except ValueError:
            return None

    def share_with(self, other: NetWeights) -> None:
        """Use another net's parameters, layer by layer of the same name; data only, gradients stay apart.

        Raises:
            NetError: a layer of the same name has other parameters.
        """
        for name, source in zip(other._w.layer_names, other.layers, strict=True):
            index = self.layer_index(name)
            if index is None:
                log.info(f"Ignoring source layer {name}", "net.cpp:670")
                continue
            target = self.layers[index]
            if len(target.blobs) != len(source.blobs):
                raise NetError(f"Incompatible number of blobs for layer {name}: the other net has "
                               f"{len(source.blobs)}, this one {len(target.blobs)}")
            want, got = [b.shape for b in target.blobs], [b.shape for b in source.blobs]
            if want != got:
                raise NetError(f"Cannot share param weights from layer '{name}'; shape mismatch. Source params are "
                               f"{got}; target params are {want}")
            for mine, theirs in zip(target.blobs, source.blobs, strict=True):
                mine.share_data(theirs)

    def copy_from(self, path: str | os.PathLike[str]) -> None:
        """Copy weights of a caffemodel, binary or HDF5, into the layers of the same names; others stay as they are.

        Raises:
            ProtoError: the file is missing, truncated or no caffemodel.
            NetError: a layer of the same name has other parameters.
        """
        path = os.fspath(path)
        if hdf5_files.is_hdf5(path):
            self.load_hdf5(path)
            return
        for source in caffemodel.read_layers(path):
            blobs = self._blobs_for(source.name)
            if blobs is None:
                continue
            if len(blobs) != len(source.blobs):
                raise _incompatible(source.name, path, len(source.blobs), len(blobs))
            for param_id, (target, values) in enumerate(zip(blobs, source.blobs, strict=True)):
                if not _same_shape(values, target):
                    raise _other_shape(source.name, param_id, values.shape, target.shape)
                target.data.reshape(-1)[...] = values.data
                if values.diff is not None:  # Caffe: a snapshot with snapshot_diff brings gradients too. blob.cpp
                    target.diff.reshape(-1)[...] = values.diff

    def load_hdf5(self, path: str | os.PathLike[str]) -> None:
        """Copy weights of an HDF5 caffemodel, as copy_from does.

        Raises:
            ProtoError: the file is missing, damaged or something else.
            NetError: a layer of the same name has other parameters.
        """
        for name, source in hdf5_files.read_net(os.fspath(path)):
            blobs = self._blobs_for(name)
            if blobs is None:
                continue
            own = self._own_blobs(self._w.layer_names.index(name))
            if set(source) - set(range(len(blobs))) or set(own) - set(source):
                raise _incompatible(name, os.fspath(path), len(source), len(own))
            for param_id, values in source.items():
                if values.shape != blobs[param_id].shape:
                    raise _other_shape(name, param_id, values.shape, blobs[param_id].shape)
                blobs[param_id].data[...] = values

    def _blobs_for(self, layer_name: str) -> list[Blob] | None:
        """Return the parameters of the first layer of this name, or None (and say so) where there is none."""
        index = self.layer_index(layer_name)
        if index is None:
            log.info(f"Ignoring source layer {layer_name}", "net.cpp:740")
            return None
        return self.layers[index].blobs

    def save(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write all layers with their parameters as a caffemodel, byte for byte as Caffe does; atomic."""
        param, blobs = self.to_proto()
        caffemodel.write_net(os.fspath(path), param, [[b.data for b in layer] for layer in blobs],
                             diffs=[[b.diff for b in layer] for layer in blobs] if write_diff else None)

    def save_hdf5(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write all parameters as HDF5, group by group as Caffe does; a shared one stands with its owner; atomic."""
        layers = [(name, {i: blob.data for i, blob in self._own_blobs(layer_id).items()})
                  for layer_id, name in enumerate(self._w.layer_names)]
        # Caffe: gradients are written of every parameter, shared or not. net.cpp, ToHDF5
        diffs = [{i: blob.diff for i, blob in enumerate(layer.blobs)} for layer in self.layers]
        hdf5_files.write_net(os.fspath(path), layers, diffs if write_diff else None)

    def _own_blobs(self, layer_id: int) -> dict[int, Blob]:
        """Return a layer's parameters by number, but those that another layer owns."""
        w, blobs = self._w, self.layers[layer_id].blobs
        owners = {place: owner for place, owner in zip(w.param_layer_ids, w.param_owners, strict=True)}
        return {i: blob for i, blob in enumerate(blobs) if owners[(layer_id, i)] < 0}

    def to_proto(self) -> tuple[Any, list[list[Blob]]]:
        """Return the NetParameter as it is saved, without values, and each layer's parameter blobs."""
        from caffe.proto import caffe_pb2

        param = caffe_pb2.NetParameter(name=self.name)
        for layer in self.layers:
            # by bytes: a layer registered since this net was built has made all message classes anew
            param.layer.add().MergeFromString(layer.layer_param.SerializeToString())
        return param, [list(layer.blobs) for layer in self.layers]


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

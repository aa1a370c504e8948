"""Net: layers connected by blobs, run forwards and backwards.

In:   a prototxt or NetParameter, a phase; weights by `copy_from`.
Out:  forward and backward over any range of layers, live blobs and parameters, saved weights.
Not here: building (net_init), what scripts call with names and keywords (net_face), updates (solver).
Source: BVLC net.cpp, _caffe.cpp.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from . import caffemodel, common, hdf5_files, log, net_debug
from .blob import Blob
from .errors import NetError
from .insert_splits import insert_splits
from .net_face import NetFace
from .net_filter import filter_net
from .net_init import NetBuilder
from .proto_text import read_net_param_from_text


class Net(NetFace):
    """A network, as pycaffe shows it.

    `Net(network_file, phase, level=0, stages=None, weights=None)`, or the legacy
    `Net(network_file, weights, phase)`.

    Args:
        network_file: path of a prototxt.
        phase: caffe.TRAIN or caffe.TEST.
        level: the NetState's level, for `include` and `exclude` rules.
        stages: the NetState's stages.
        weights: path of a caffemodel to copy from.

    Raises:
        RuntimeError: a file that is missing or cannot be read, a net that cannot be built (all CaffeError).
        TypeError: other arguments.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        network_file, phase, level, stages, weights = _arguments(args, kwargs)
        self._init(read_net_param_from_text(network_file), phase, level, stages)
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def from_param(cls, net_param: Any, phase: int, level: int = 0, stages: Iterable[str] = ()) -> Net:
        """Build a net from an upgraded NetParameter message, which is left as it is."""
        net = cls.__new__(cls)
        net._init(net_param, phase, level, stages)
        return net

    def _init(self, net_param: Any, phase: int, level: int, stages: Iterable[str]) -> None:
        param = type(net_param)()
        param.CopyFrom(net_param)
        param.state.phase = phase
        param.state.level = level
        param.state.stage.extend(stages)
        param = filter_net(param)
        log.info(f"Initializing net from parameters: \n{param}", "net.cpp:51")
        param = insert_splits(param)
        self.name: str = param.name
        self.phase = phase
        self.debug_info: bool = param.debug_info
        self._w = NetBuilder().build(param)
        self.layers = self._w.layers
        self.learnable_params = self._w.learnable_params
        self.params_lr = self._w.params_lr
        self.params_weight_decay = self._w.params_weight_decay
        self.output_blobs = [self._w.blobs[i] for i in self._w.output_ids]
        self._hooks: dict[str, list[Callable[[int], Any]]] = {
            name: [] for name in ("before_forward", "after_forward", "before_backward", "after_backward")}
        log.info("Network initialization done.", "net.cpp:255")

    # -- running -------------------------------------------------------------------------------

    def forward_from_to(self, start: int, end: int) -> float:
        """Run layers start … end, both included; return the sum of their weighted losses."""
        w, losses = self._w, []
        before, after = self._hooks["before_forward"], self._hooks["after_forward"]
        with common.arithmetic():
            for i in range(start, end + 1):
                for hook in before:
                    hook(i)
                layer, bottom, top = w.layers[i], w.bottom_vecs[i], w.top_vecs[i]
                layer.reshape(bottom, top)
                layer.forward(bottom, top)
                for weight, blob in zip(layer.loss_weights, top, strict=True):
                    if weight != 0:
                        losses.append(torch.dot(blob.read_data().reshape(-1), blob.read_diff().reshape(-1)))
                if self.debug_info:
                    net_debug.forward(self, i)
                for hook in after:
                    hook(i)
        return sum((float(loss) for loss in losses), 0.0)

    def backward_from_to(self, start: int, end: int) -> None:
        """Run backward from layer `start` down to layer `end`, both included."""
        self._backward(start, end)
        if self.debug_info and start == len(self.layers) - 1 and end == 0:
            # Caffe: these are printed for solvers only; pycaffe's backward runs a range. net.cpp, Backward
            net_debug.norms(self)

    def _backward(self, start: int, end: int) -> None:
        self._check_range(end, start)
        w = self._w
        before, after = self._hooks["before_backward"], self._hooks["after_backward"]
        with common.arithmetic():
            for i in range(start, end - 1, -1):
                for hook in before:
                    hook(i)
                if w.layer_need_backward[i]:
                    w.layers[i].backward(w.top_vecs[i], w.bottom_need_backward[i], w.bottom_vecs[i])
                    if self.debug_info:
                        net_debug.backward(self, i)
                for hook in after:
                    hook(i)

    def reshape(self) -> None:
        """Let every layer take the present shapes of its bottoms, first to last."""
        with common.arithmetic():
            for layer, bottom, top in zip(self._w.layers, self._w.bottom_vecs, self._w.top_vecs, strict=True):
                layer.reshape(bottom, top)

    def clear_param_diffs(self) -> None:
        """Set the gradients of all learnable parameters to zero."""
        with torch.no_grad():
            diffs = [blob.write_diff() for blob in self.learnable_params]
            if diffs:
                torch._foreach_zero_(diffs)

    # -- parameters ----------------------------------------------------------------------------

    def layer_index(self, name: str) -> int | None:
        """Return the index of the first layer of this name, or None."""
        try:
            return self._w.layer_names.index(name)
        except ValueError:
            return None

    def share_with(self, other: Net) -> None:
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
            param.layer.add().CopyFrom(layer.layer_param)
        return param, [list(layer.blobs) for layer in self.layers]

    # -- hooks ---------------------------------------------------------------------------------

    def before_forward(self, function: Callable[[int], Any]) -> None:
        """Call `function(layer_index)` before each layer's forward."""
        self._hooks["before_forward"].append(function)

    def after_forward(self, function: Callable[[int], Any]) -> None:
        """Call `function(layer_index)` after each layer's forward."""
        self._hooks["after_forward"].append(function)

    def before_backward(self, function: Callable[[int], Any]) -> None:
        """Call `function(layer_index)` before each layer's backward, also of layers that need none."""
        self._hooks["before_backward"].append(function)

    def after_backward(self, function: Callable[[int], Any]) -> None:
        """Call `function(layer_index)` after each layer's backward, also of layers that need none."""
        self._hooks["after_backward"].append(function)


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


_NEW = inspect.Signature([
    inspect.Parameter("network_file", inspect.Parameter.POSITIONAL_OR_KEYWORD),
    inspect.Parameter("phase", inspect.Parameter.POSITIONAL_OR_KEYWORD),
    inspect.Parameter("level", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0),
    inspect.Parameter("stages", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None),
    inspect.Parameter("weights", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)])


def _arguments(args: tuple, kwargs: dict) -> tuple[str, int, int, list[str], str | None]:
    """Read either form of the constructor's arguments."""
    if len(args) == 3 and not kwargs and isinstance(args[1], (str, os.PathLike)):
        warnings.warn("Net('net.prototxt', 'weights', phase) is deprecated; write Net('net.prototxt', phase, "
                      "weights='weights')", DeprecationWarning, stacklevel=3)
        args, kwargs = (args[0], args[2]), {"weights": args[1]}
    try:
        given = _NEW.bind(*args, **kwargs)
    except TypeError as problem:
        raise TypeError(f"Net: {problem}; want Net(network_file, phase, level=0, stages=None, weights=None)") from None
    given.apply_defaults()
    network_file, phase, level, stages, weights = given.args
    if phase not in (common.TRAIN, common.TEST) or isinstance(phase, (bool, str)):
        raise TypeError(f"Net: got phase {phase!r}, want caffe.TRAIN ({common.TRAIN}) or caffe.TEST ({common.TEST})")
    return os.fspath(network_file), int(phase), int(level), list(stages or []), weights

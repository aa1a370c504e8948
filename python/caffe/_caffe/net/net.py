"""Net: layers connected by blobs, run forwards and backwards.

In:   a prototxt or NetParameter, a phase; weights by `copy_from`.
Out:  what pycaffe's Net has: blobs and parameters by name, forward and backward over any range of layers, weights.
Not here: building (build), weights from and to files (weights), more items than a batch (batches), updates (solvers),
      how a TEST net runs faster (plan).
Source: BVLC net.cpp, _caffe.cpp, pycaffe.py.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from .. import common, log
from ..blob import Blob, BlobVec, shape_version
from ..errors import NetError
from ..files.proto_text import read_net_param_from_text
from ..plan.plan import Plan
from . import batches, by_name, debug, faults, fix_crop
from .arguments import constructor_arguments
from .batches import assign, union
from .build import NetBuilder
from .by_name import LayerVec, NameDict, near
from .filter import filter_net
from .hooks import Hooks
from .insert_splits import insert_splits
from .turn import Turn
from .weights import Weights

Hook = Callable[[int], Any]


class Net:
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
        network_file, phase, level, stages, weights = constructor_arguments(args, kwargs)
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
        fix_crop.warn(param)
        if log.enabled(0):  # the text of a large net takes longer than building it
            log.info(f"Initializing net from parameters: \n{param}", "net.cpp:51")
        param = insert_splits(param)
        self.name: str = param.name
        self.phase = phase
        self.debug_info: bool = param.debug_info
        self.wiring = wiring = NetBuilder().build(param)
        self.turn = Turn(self.name)
        self.weights = Weights(self.name, wiring, self.turn)
        self._layers = by_name.layer_vec(self, wiring)
        self.learnable_params: list[Blob] = [one.blob for one in wiring.learnables]
        self.params_lr: list[float] = [one.lr_mult for one in wiring.learnables]
        self.params_weight_decay: list[float] = [one.decay_mult for one in wiring.learnables]
        self.output_blobs: list[Blob] = [wiring.named_blobs[i].blob for i in wiring.output_ids]
        self._by_name: dict[str, Any] = {}  # what does not change once the net is built; scripts may hold it
        self._named_blobs = by_name.blobs_of(wiring)
        self._hooks = {name: Hooks(name) for name in ("before_forward", "after_forward", "before_backward",
                                                      "after_backward")}
        self._shaped_at = -1  # the shape version at which all layers were last reshaped
        self._plan = Plan.of(wiring, phase, self._run_node, self._reshape_node, self.turn)
        log.info("Network initialization done.", "net.cpp:255")

    # -- blobs, parameters and layers by name --------------------------------------------------

    @property
    def layers(self) -> LayerVec:
        """All layers, first to last."""
        return self._layers

    @property
    def blobs(self) -> OrderedDict[str, Blob]:
        """All blobs by name, in the net's order."""
        return self._once("blobs", lambda: by_name.blobs_of(self.wiring))

    @property
    def params(self) -> OrderedDict[str, BlobVec]:
        """The parameter blobs of every layer that has any, by layer name."""
        return self._once("params", lambda: NameDict.of("net.params", (
            (node.name, node.layer.blobs) for node in self.wiring.nodes if len(node.layer.blobs) > 0)))

    @property
    def layer_dict(self) -> OrderedDict[str, Any]:
        """All layers by name."""
        return self._once("layers", lambda: NameDict.of("net.layer_dict", (
            (node.name, node.layer) for node in self.wiring.nodes)))

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """The loss weight of every blob, by name."""
        return self._once("loss_weights", lambda: OrderedDict(
            (b.name, b.loss_weight) for b in self.wiring.named_blobs))

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's bottoms, by layer name."""
        return self._once("bottoms", lambda: OrderedDict(
            (node.name, self.wiring.names_of(node.bottom_ids)) for node in self.wiring.nodes))

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Each layer's tops, by layer name."""
        return self._once("tops", lambda: OrderedDict(
            (node.name, self.wiring.names_of(node.top_ids)) for node in self.wiring.nodes))

    @property
    def inputs(self) -> list[str]:
        """Names of the blobs that Input layers make."""
        return self.wiring.names_of(self.wiring.input_ids)

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs nobody consumes, in alphabetical order."""
        return self.wiring.names_of(self.wiring.output_ids)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._by_name:
            self._by_name[name] = make()
        return self._by_name[name]

    # -- forward -------------------------------------------------------------------------------

    def forward(self, blobs: list[str] | None = None, start: str | None = None, end: str | None = None,
                **kwargs: np.ndarray) -> dict[str, np.ndarray]:
        """Run layers `start` … `end` (names, both included; default all).

        Args:
            blobs: names of blobs to return besides the outputs.
            start: name of the first layer to run.
            end: name of the last layer to run.
            **kwargs: arrays for all net inputs, by blob name; the first axis must fit.

        Returns:
            Live float32 views by blob name: the net's outputs, or the tops of `end`, and `blobs`.

        Raises:
            Exception: kwargs do not name exactly the inputs, or are not batch sized.
            ValueError: unknown layer name. KeyError: unknown blob name.
        """
        first = 0 if start is None else self._index_of(start)
        last = len(self.layers) - 1 if end is None else self._index_of(end)
        outputs = self.outputs if end is None else self.top_names[end]
        wanted = [(name, self._named_blobs[name]) for name in union(outputs, blobs)]
        with self.turn:
            if kwargs:
                assign(self._named_blobs, kwargs, self.inputs, "data")
            self._forward(first, last)
            return {name: blob.data for name, blob in wanted}

    def _forward(self, start: int, end: int) -> float:
        self._check_range(start, end)
        return self.forward_from_to(start, end)

    def forward_from_to(self, start: int, end: int) -> float:
        """Run layers start … end, both included; return the sum of their weighted losses."""
        return sum((float(loss) for loss in self._losses_of(start, end)), 0.0)

    def forward_losses(self) -> list[Any]:
        """Run all layers; return their weighted losses: floats, or scalars of a device not waited for."""
        return self._losses_of(0, len(self.layers) - 1)

    def _losses_of(self, start: int, end: int) -> list[Any]:
        with self.turn, common.arithmetic():
            if self._plan is None:
                return self._run_range(start, end)
            if end - start + 1 == len(self.layers) and self._nobody_watches():
                return self._plan.run()
            self._plan.catch_up()
            return self._run_range(start, end)

    def _nobody_watches(self) -> bool:
        """Whether nothing looks between the layers, so that a plan may run them all."""
        return (common.plans() and not self.debug_info
                and not self._hooks["before_forward"] and not self._hooks["after_forward"])

    def _run_range(self, start: int, end: int) -> list[torch.Tensor]:
        losses: list[torch.Tensor] = []
        before, after = self._hooks["before_forward"], self._hooks["after_forward"]
        for i in range(start, end + 1):
            before(i)
            losses += self._run_node(i)
            if self.debug_info:
                debug.forward(self.wiring, i)
            after(i)
        if end - start + 1 == len(self.layers):
            self._shaped_at = shape_version()
        return losses

    def _run_node(self, i: int) -> list[torch.Tensor]:
        """Reshape and run one layer; return its weighted losses."""
        node = self.wiring.nodes[i]
        layer, bottoms, tops = node.layer, node.bottoms, node.tops
        try:
            if not layer.is_pure or shape_version() != self._shaped_at:
                layer.reshape(bottoms, tops)
            layer.forward(bottoms, tops)
        except Exception as problem:
            raise faults.named(layer, problem)  # noqa: B904 - its cause is set
        if not any(layer.loss_weights):
            return []
        return [torch.dot(blob.read_data().reshape(-1), blob.read_diff().reshape(-1))
                for weight, blob in zip(layer.loss_weights, tops, strict=True) if weight != 0]

    def leave_plan(self) -> None:
        """Run layer by layer from now on."""
        if self._plan is not None:
            self._plan.catch_up()
            self._plan = None

    def reshape(self) -> None:
        """Reshape every layer to the current shapes of its bottoms, first to last."""
        with self.turn, common.arithmetic():
            for i in range(len(self.layers)):
                self._reshape_node(i)
        self._shaped_at = shape_version()

    def _reshape_node(self, i: int) -> None:
        node = self.wiring.nodes[i]
        with faults.naming(node.layer):
            node.layer.reshape(node.bottoms, node.tops)

    # -- backward ------------------------------------------------------------------------------

    def backward(self, diffs: list[str] | None = None, start: str | None = None, end: str | None = None,
                 **kwargs: np.ndarray) -> dict[str, np.ndarray]:
        """Run backward from layer `start` (the later one) down to `end` (names, both included; default all).

        Args:
            diffs: names of blobs whose diff to return besides the inputs'.
            start: name of the layer to begin at.
            end: name of the layer to stop after.
            **kwargs: diffs for all net outputs, by blob name; the first axis must fit.

        Returns:
            Live float32 views by blob name: diffs of the net's inputs, or of the bottoms of `end`, and `diffs`.

        Raises:
            Exception: kwargs do not name exactly the outputs, or are not batch sized.
            ValueError: unknown layer name. KeyError: unknown blob name.
        """
        first = len(self.layers) - 1 if start is None else self._index_of(start)
        last = 0 if end is None else self._index_of(end)
        outputs = self.inputs if end is None else self.bottom_names[end]
        wanted = [(name, self._named_blobs[name]) for name in union(outputs, diffs)]
        with self.turn:
            if kwargs:
                assign(self._named_blobs, kwargs, self.outputs, "diff")
            self._backward(first, last)
            return {name: blob.diff for name, blob in wanted}

    def backward_from_to(self, start: int, end: int) -> None:
        """Run backward from layer `start` down to layer `end`, both included."""
        self._backward(start, end)
        if self.debug_info and start == len(self.layers) - 1 and end == 0:
            # Caffe: these are printed for solvers only; pycaffe's backward runs a range. net.cpp, Backward
            debug.norms(self.learnable_params)

    def _backward(self, start: int, end: int) -> None:
        self._check_range(end, start)
        before, after = self._hooks["before_backward"], self._hooks["after_backward"]
        with self.turn, common.arithmetic():
            self.leave_plan()  # a layer's own forward stores what its backward needs
            for i in range(start, end - 1, -1):
                before(i)
                node = self.wiring.nodes[i]
                if node.need_backward:
                    with faults.naming(node.layer):
                        node.layer.backward(node.tops, node.bottom_need_backward, node.bottoms)
                    if self.debug_info:
                        debug.backward(self.wiring, i)
                after(i)

    def clear_param_diffs(self) -> None:
        """Set the gradients of all learnable parameters to zero."""
        with self.turn, torch.no_grad():
            diffs = [blob.write_diff() for blob in self.learnable_params]
            if diffs:
                torch._foreach_zero_(diffs)

    # -- arguments of both ---------------------------------------------------------------------

    def _index_of(self, name: str) -> int:
        """Return the index of the first layer of this name."""
        names = self._layer_names
        if name not in names:
            raise ValueError(f"{name!r} is not in list: the net has no layer of this name; {near(name, names)}")
        return names.index(name)

    def _check_range(self, low: int, high: int) -> None:
        if not 0 <= low < len(self.layers) or not 0 <= high < len(self.layers):
            raise NetError(f"net: got layers {low} to {high}, want 0 to {len(self.layers) - 1}")

    # -- more items than a batch ---------------------------------------------------------------------

    def forward_all(self, blobs: list[str] | None = None, **kwargs: np.ndarray) -> dict[str, np.ndarray]:
        """Run over more items than one batch holds; the last batch is padded with zeros.

        Args:
            blobs: names of blobs to return besides the outputs.
            **kwargs: arrays for all net inputs, by blob name, of any number of items.

        Returns:
            Copies by blob name, one row per item.
        """
        return batches.forward_all(self, blobs, kwargs)

    def forward_backward_all(self, blobs: list[str] | None = None, diffs: list[str] | None = None,
                             **kwargs: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Run forward and backward over more items than one batch holds.

        Args:
            blobs: names of blobs to return besides the outputs.
            diffs: names of blobs whose diff to return besides the inputs'.
            **kwargs: arrays for inputs, and diffs for outputs, by blob name.

        Returns:
            Two dicts of copies, data and diffs, one row per item.
        """
        return batches.forward_backward_all(self, blobs, diffs, kwargs)

    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Feed the net's first layer, a MemoryData layer; see batches.set_input_arrays."""
        batches.set_input_arrays(self.layers, data, labels)

    # -- weights -------------------------------------------------------------------------------

    def copy_from(self, path: str | os.PathLike[str]) -> None:
        """Copy weights of a caffemodel, binary or HDF5, into the layers of the same names; others stay as they are.

        Raises:
            ProtoError: the file is missing, truncated or not a caffemodel.
            NetError: a layer of the same name has other parameters.
        """
        self.weights.copy_from(path)

    def share_with(self, other: Net) -> None:
        """Share the parameter data of another net's layers of the same names; gradients stay separate.

        Raises:
            NetError: a layer of the same name has other parameters.
        """
        self.weights.share_with(other)

    def save(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write all layers with their parameters as a caffemodel, byte for byte as Caffe does; atomic."""
        self.weights.save(path, write_diff)

    def save_hdf5(self, path: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write all parameters as HDF5, group by group as Caffe does; atomic."""
        self.weights.save_hdf5(path, write_diff)

    def load_hdf5(self, path: str | os.PathLike[str]) -> None:
        """Copy weights of an HDF5 caffemodel, as copy_from does."""
        self.weights.load_hdf5(path)

    def to_proto(self) -> tuple[Any, list[list[Blob]]]:
        """Return the NetParameter as it is saved, without values, and each layer's parameter blobs."""
        return self.weights.to_proto()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NetError("a net cannot be pickled or copied; save it, net.save(path), and build another: "
                       "caffe.Net(prototxt, phase, weights=path), or net.share_with(this one)")

    # -- hooks ---------------------------------------------------------------------------------

    def before_forward(self, function: Hook) -> None:
        """Call `function(layer_index)` before each layer's forward."""
        self._hooks["before_forward"].add(function)

    def after_forward(self, function: Hook) -> None:
        """Call `function(layer_index)` after each layer's forward."""
        self._hooks["after_forward"].add(function)

    def before_backward(self, function: Hook) -> None:
        """Call `function(layer_index)` before each layer's backward, even for layers that need none."""
        self._hooks["before_backward"].add(function)

    def after_backward(self, function: Any) -> None:
        """Call `function(layer_index)`, or an NCCL's `run`, after each layer's backward, even if it needs none."""
        self._hooks["after_backward"].add(function)

    # -- the C++ side's names ------------------------------------------------------------------

    _set_input_arrays = set_input_arrays

    @property
    def _blobs(self) -> list[Blob]:
        return self.wiring.blobs

    @property
    def _blob_names(self) -> list[str]:
        return self.wiring.blob_names

    @property
    def _layer_names(self) -> list[str]:
        return self.wiring.layer_names

    @property
    def _inputs(self) -> list[int]:
        return self.wiring.input_ids

    @property
    def _outputs(self) -> list[int]:
        return self.wiring.output_ids

    @property
    def _blob_loss_weights(self) -> list[float]:
        return [named.loss_weight for named in self.wiring.named_blobs]

    def _bottom_ids(self, layer_id: int) -> list[int]:
        return self.wiring.nodes[layer_id].bottom_ids

    def _top_ids(self, layer_id: int) -> list[int]:
        return self.wiring.nodes[layer_id].top_ids

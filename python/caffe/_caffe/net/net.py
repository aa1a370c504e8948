"""Net: layers connected by blobs, run forwards and backwards.

In:   a prototxt or NetParameter, a phase; weights by `copy_from`.
Out:  forward and backward over any range of layers, live blobs and parameters.
Not here: building (build), what scripts call with names and keywords (face), weights from and to
      files (weights), updates (solver).
Source: BVLC net.cpp, _caffe.cpp.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from .. import common, log
from ..files.proto_text import read_net_param_from_text
from ..plan.plan import Plan
from ..solvers.parallel import NCCL
from . import debug, faults, fix_crop
from .build import NetBuilder
from .face import NetFace
from .filter import filter_net
from .insert_splits import insert_splits
from .weights import NetWeights


class Net(NetFace, NetWeights):
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
        fix_crop.warn(param)
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
        self._plan = Plan.of(self)
        log.info("Network initialization done.", "net.cpp:255")

    # -- running -------------------------------------------------------------------------------

    def forward_from_to(self, start: int, end: int) -> float:
        """Run layers start … end, both included; return the sum of their weighted losses."""
        if self._plan is not None and end - start + 1 == len(self.layers) and self._serves_plan():
            with common.arithmetic():
                return self._plan.run()
        return self._forward_by_layer(start, end)

    def _serves_plan(self) -> bool:
        """Tell whether nobody looks between the layers."""
        return (common.plans() and not self.debug_info
                and not self._hooks["before_forward"] and not self._hooks["after_forward"])

    def forward_losses(self) -> list[Any]:
        """Run all layers; return their weighted losses, not added up: on a device scalars of their own, not awaited."""
        if self._plan is not None and self._serves_plan():
            return [self.forward_from_to(0, len(self.layers) - 1)]
        return self._run_layers(0, len(self.layers) - 1)

    def _forward_by_layer(self, start: int, end: int) -> float:
        return sum((float(loss) for loss in self._run_layers(start, end)), 0.0)

    def _run_layers(self, start: int, end: int) -> list[torch.Tensor]:
        losses: list[torch.Tensor] = []
        before, after = self._hooks["before_forward"], self._hooks["after_forward"]
        with common.arithmetic():
            for i in range(start, end + 1):
                for hook in before:
                    hook(i)
                losses += self.forward_layer(i)
                if self.debug_info:
                    debug.forward(self, i)
                for hook in after:
                    hook(i)
        return losses

    def forward_layer(self, i: int) -> list[torch.Tensor]:
        """Reshape and run one layer; return its weighted losses."""
        layer, bottom, top = self._w.layers[i], self._w.bottom_vecs[i], self._w.top_vecs[i]
        try:
            layer.reshape(bottom, top)
            layer.forward(bottom, top)
        except Exception as problem:
            raise faults.named(layer, problem)  # noqa: B904 - it knows its cause
        return [torch.dot(blob.read_data().reshape(-1), blob.read_diff().reshape(-1))
                for weight, blob in zip(layer.loss_weights, top, strict=True) if weight != 0]

    def backward_from_to(self, start: int, end: int) -> None:
        """Run backward from layer `start` down to layer `end`, both included."""
        self._backward(start, end)
        if self.debug_info and start == len(self.layers) - 1 and end == 0:
            # Caffe: these are printed for solvers only; pycaffe's backward runs a range. net.cpp, Backward
            debug.norms(self)

    def _backward(self, start: int, end: int) -> None:
        self._check_range(end, start)
        if self._plan is not None:  # layers keep what their backward needs in their own forward
            self._plan.fill()
            self._plan = None
        w = self._w
        before, after = self._hooks["before_backward"], self._hooks["after_backward"]
        with common.arithmetic():
            for i in range(start, end - 1, -1):
                for hook in before:
                    hook(i)
                if w.layer_need_backward[i]:
                    try:
                        w.layers[i].backward(w.top_vecs[i], w.bottom_need_backward[i], w.bottom_vecs[i])
                    except Exception as problem:
                        raise faults.named(w.layers[i], problem)  # noqa: B904 - it knows its cause
                    if self.debug_info:
                        debug.backward(self, i)
                for hook in after:
                    hook(i)

    def reshape(self) -> None:
        """Let every layer take the present shapes of its bottoms, first to last."""
        with common.arithmetic():
            for i in range(len(self.layers)):
                self.reshape_layer(i)

    def reshape_layer(self, i: int) -> None:
        """Let one layer take the present shapes of its bottoms."""
        try:
            self.layers[i].reshape(self._w.bottom_vecs[i], self._w.top_vecs[i])
        except Exception as problem:
            raise faults.named(self.layers[i], problem)  # noqa: B904 - it knows its cause

    def clear_param_diffs(self) -> None:
        """Set the gradients of all learnable parameters to zero."""
        with torch.no_grad():
            diffs = [blob.write_diff() for blob in self.learnable_params]
            if diffs:
                torch._foreach_zero_(diffs)

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

    def after_backward(self, function: Callable[[int], Any] | NCCL) -> None:
        """Call `function(layer_index)` after each layer's backward, also of layers that need none; or an NCCL's run."""
        self._hooks["after_backward"].append(function.run if isinstance(function, NCCL) else function)


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

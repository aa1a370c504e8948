"""Building a net: from a NetParameter to connected, shaped layers.

In:   a NetParameter that is already upgraded, filtered by phase and has its splits.
Out:  a Wiring (wiring): layers, blobs, who feeds whom, parameters with their owners, who needs backward.
Not here: running (net), filtering (filter), splits (insert_splits).
Source: BVLC net.cpp, Init, AppendTop, AppendBottom, AppendParam.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from typing import Any

from .. import common, log
from ..blob import Blob
from ..errors import LayerError, NetError
from ..files.blobproto import decode_blob
from ..files.proto_pool import MESSAGES
from ..files.wire import WireError
from ..layer import Layer
from ..layer_factory import create_layer
from . import faults, lost_gradients
from .estimate import Estimate
from .wiring import Learnable, NamedBlob, Node, Parameter, Wiring


class NetBuilder:
    """Appends layer after layer to a Wiring, as Caffe does."""

    def __init__(self) -> None:
        self.wiring = Wiring()
        self._blob_id: dict[str, int] = {}
        self._available: dict[str, None] = {}  # blobs not yet consumed, in order
        self._owner: dict[str, Parameter] = {}  # by param name
        self._given: dict[int, dict[str, float]] = {}  # by id of a learnable: multipliers that a ParamSpec gave
        self._values = 0  # in all tops so far
        self._estimate = Estimate()
        self._is_logged = log.enabled(0)  # asked once: a large net logs thousands of lines
        self._default_spec = MESSAGES["ParamSpec"]()

    def build(self, net_param: Any) -> Wiring:
        """Build all layers, then decide who needs backward.

        Args:
            net_param: NetParameter; `state.phase` is the phase of layers that give none.

        Raises:
            NetError or LayerError: unknown or duplicate blobs, wrong counts, shapes that do not fit.
            OutOfMemory: its blobs take more memory than there is.
        """
        with common.arithmetic(), collection_put_off():
            for layer_id, layer_param in enumerate(net_param.layer):
                if not layer_param.HasField("phase"):
                    layer_param.phase = net_param.state.phase
                self._append_layer(layer_id, layer_param)
        self._switch_off_backward()
        if net_param.force_backward:
            self._force_backward()
        w = self.wiring
        for node in w.nodes:  # final from here on: a layer may leave out what only its backward needs
            node.layer.need_backward = node.need_backward
        self._allow_channels_last()
        self._estimate.add_gradients(w)
        lost_gradients.warn(w)
        # Caffe: left-over blobs are a std::set, so outputs come in alphabetical order. net.cpp
        for name in sorted(self._available):
            w.output_ids.append(self._blob_id[name])
            log.info(f"This network produces output {name}", "net.cpp:242")
        return w

    def _log(self, where: str, text: str, *names: str) -> None:
        if self._is_logged:
            log.info(text.format(*names), where)

    # -- one layer -----------------------------------------------------------------------------

    def _append_layer(self, layer_id: int, layer_param: Any) -> None:
        w, name = self.wiring, layer_param.name
        bottoms, tops, propagate_down = (list(layer_param.bottom), list(layer_param.top),
                                         list(layer_param.propagate_down))
        if len(propagate_down) not in (0, len(bottoms)):
            raise NetError(f"layer '{name}': propagate_down param must be specified either 0 or bottom_size times; "
                           f"got {len(propagate_down)} for {len(bottoms)}")
        self._log("layer_factory.hpp:77", "Creating layer {}", name)
        given = _given_blobs(layer_param)
        layer = create_layer(layer_param)
        if given:
            layer.blobs.extend(given)
        self._log("net.cpp:84", "Creating Layer {}", name)
        node = Node(layer, name)
        w.nodes.append(node)
        need_backward = False
        for bottom_id, bottom in enumerate(bottoms):
            blob_id = self._append_bottom(node, bottom, bottom_id, propagate_down)
            need_backward = need_backward or w.named_blobs[blob_id].need_backward
        for top_id, top in enumerate(tops):
            self._append_top(node, top, top_id, bottoms)
            if layer.type == "Input":
                w.input_ids.append(len(w.named_blobs) - 1)
        if layer.auto_top_blobs:
            needed = max(layer.min_num_top or 0, layer.exact_num_top or 0)
            for _ in range(len(tops), needed):
                self._log("net.cpp:380", "{} -> (automatic)", name)
                self._append_blob(node, "(automatic)")
        specified = len(layer_param.param)
        self._set_up(node)
        need_backward = self._append_params(layer_id, layer_param, specified) or need_backward
        self._estimate.add(w)
        node.need_backward = need_backward
        if need_backward:
            for blob_id in node.top_ids:
                w.named_blobs[blob_id].need_backward = True

    def _set_up(self, node: Node) -> None:
        layer, tops = node.layer, node.tops
        layer.check_blobs(node.bottoms, tops)
        try:
            layer.setup(node.bottoms, tops)
            layer.reshape(node.bottoms, tops)
        except Exception as problem:
            raise faults.named(layer, problem)  # noqa: B904 - it knows its cause
        layer.set_loss_weights(tops)
        for blob, blob_id, weight in zip(tops, node.top_ids, layer.loss_weights, strict=True):
            self.wiring.named_blobs[blob_id].loss_weight = weight
            self._values += blob.count
        if self._is_logged:
            self._log_tops(layer, tops)

    def _log_tops(self, layer: Layer, tops: list[Blob]) -> None:
        log.info(f"Setting up {layer.name}", "net.cpp:122")
        for blob, weight in zip(tops, layer.loss_weights, strict=True):
            lengths = "".join(f"{length} " for length in blob.shape)
            log.info(f"Top shape: {lengths}({blob.count})", "net.cpp:129")
            if weight:
                log.info(f"    with loss weight {weight:g}", "net.cpp:132")
        log.info(f"Memory required for data: {4 * self._values}", "net.cpp:137")

    # -- blobs ---------------------------------------------------------------------------------

    def _append_bottom(self, node: Node, name: str, bottom_id: int, propagate_down: Sequence[bool]) -> int:
        if name not in self._available:
            known = ", ".join(self._available) or "none"
            raise NetError(f"Unknown bottom blob '{name}' (layer '{node.name}', bottom index {bottom_id}); "
                           f"blobs not consumed so far: {known}")
        blob_id = self._blob_id[name]
        del self._available[name]
        self._log("net.cpp:406", "{} <- {}", node.name, name)
        named = self.wiring.named_blobs[blob_id]
        node.bottoms.append(named.blob)
        node.bottom_ids.append(blob_id)
        node.bottom_need_backward.append(propagate_down[bottom_id] if propagate_down else named.need_backward)
        return blob_id

    def _append_top(self, node: Node, name: str, top_id: int, bottoms: Sequence[str]) -> None:
        w = self.wiring
        if top_id < len(bottoms) and bottoms[top_id] == name:
            self._log("net.cpp:367", "{} -> {} (in-place)", node.name, name)
            blob_id = self._blob_id[name]
            node.tops.append(w.named_blobs[blob_id].blob)
            node.top_ids.append(blob_id)
        elif name in self._blob_id:
            raise NetError(f"Top blob '{name}' produced by multiple sources. (layer '{node.name}', top index "
                           f"{top_id}; to work in place, name it as the bottom of the same index)")
        else:
            self._log("net.cpp:380", "{} -> {}", node.name, name)
            self._blob_id[name] = len(w.named_blobs)
            self._append_blob(node, name)
        self._available[name] = None

    def _append_blob(self, node: Node, name: str) -> None:
        blobs = self.wiring.named_blobs
        node.top_ids.append(len(blobs))
        blobs.append(NamedBlob(Blob(0), name))
        node.tops.append(blobs[-1].blob)

    # -- parameters ----------------------------------------------------------------------------

    def _append_params(self, layer_id: int, layer_param: Any, specified: int) -> bool:
        """Register a layer's parameters, the first `specified` with a spec; return whether any is to be learned."""
        layer = self.wiring.nodes[layer_id].layer
        blobs, specs = layer.blobs, list(layer_param.param)
        if len(specs) > len(blobs):
            raise NetError(f"Too many params specified for layer {layer_param.name}: got {len(specs)}, "
                           f"it has {len(blobs)}")
        specs += [self._default_spec] * (len(blobs) - len(specs))
        # Caffe: specs that a layer adds in its own setup (BatchNorm) bind the solver, but not backward. net.cpp, Init
        rates = [spec.lr_mult for spec in specs]
        layer.param_propagate_down = [i >= specified or rate != 0 for i, rate in enumerate(rates)]
        for param_id, (blob, spec, rate) in enumerate(zip(blobs, specs, rates, strict=True)):
            self._append_param(blob, layer_id, param_id, spec, rate)
        return any(layer.param_propagate_down)

    def _append_param(self, blob: Blob, layer_id: int, param_id: int, spec: Any, rate: float) -> None:
        w, name = self.wiring, spec.name
        owner = self._owner.get(name) if name else None
        if owner is None:
            learnable = Learnable(blob, rate, spec.decay_mult)
            w.learnables.append(learnable)
        else:
            self._share_param(owner, blob, spec)
            learnable = owner.learnable
        w.params.append(Parameter(blob, name or str(param_id), layer_id, param_id, owner, learnable))
        if name:  # others may share it
            self._owner.setdefault(name, w.params[-1])
            self._settle_multipliers(learnable, spec)

    def _share_param(self, owner: Parameter, blob: Blob, spec: Any) -> None:
        nodes = self.wiring.nodes
        owner_layer = nodes[owner.layer_id].name
        who = f"Cannot share param '{spec.name}' owned by layer '{owner_layer}' with layer '{nodes[-1].name}'"
        permissive = spec.share_mode == type(spec).PERMISSIVE
        if permissive and blob.count != owner.blob.count:
            raise NetError(f"{who}; count mismatch. Owner layer param shape is {owner.blob.shape}; "
                           f"sharing layer shape is {blob.shape}")
        if not permissive and blob.shape != owner.blob.shape:
            raise NetError(f"{who}; shape mismatch. Owner layer param shape is {owner.blob.shape}; sharing layer "
                           f"expects shape {blob.shape} (share_mode: PERMISSIVE compares only the counts)")
        blob.share_data(owner.blob)
        blob.share_diff(owner.blob)
        log.info(f"Sharing parameters '{spec.name}' owned by layer '{owner_layer}', param index {owner.param_id}",
                 "net.cpp:465")

    def _settle_multipliers(self, learnable: Learnable, spec: Any) -> None:
        """Let explicit lr_mult and decay_mult of sharers agree, and win over defaults."""
        given = self._given.setdefault(id(learnable), {})
        for name in ("lr_mult", "decay_mult"):
            if not spec.HasField(name):
                continue
            value = getattr(spec, name)
            if given.setdefault(name, value) != value:
                raise NetError(f"Shared param '{spec.name}' has mismatched {name}: {given[name]:g} and {value:g}")
            setattr(learnable, name, value)

    def _allow_channels_last(self) -> None:
        """Allow blobs between layers that take any strides to be stored channels last (syncedmem)."""
        w = self.wiring
        bound = set(w.output_ids)
        for node in w.nodes:
            if not node.layer.any_strides:
                bound.update(node.bottom_ids)
                bound.update(node.top_ids)
        for blob_id, named in enumerate(w.named_blobs):
            if blob_id not in bound:
                named.blob.allow_channels_last()

    # -- who needs backward --------------------------------------------------------------------

    def _switch_off_backward(self) -> None:
        """Walk from the end: no backward for what is under no loss, or only feeds blobs that need none."""
        names = self.wiring.blob_names
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for node in reversed(self.wiring.nodes):
            tops, bottoms = [names[i] for i in node.top_ids], [names[i] for i in node.bottom_ids]
            contributes = any(node.layer.loss_weights) or not under_loss.isdisjoint(tops)
            if not contributes or (node.need_backward and skipped.issuperset(tops)):
                node.need_backward = False
                node.bottom_need_backward = [False] * len(bottoms)
            if contributes:
                under_loss.update(bottoms)
            skipped.update(name for name, needed in zip(bottoms, node.bottom_need_backward, strict=True) if not needed)
            word = "needs" if node.need_backward else "does not need"
            self._log("net.cpp:198", "{} {} backward computation.", node.name, word)

    def _force_backward(self) -> None:
        w = self.wiring
        for node in w.nodes:
            node.need_backward = True
            needs = node.bottom_need_backward
            for bottom_id, blob_id in enumerate(node.bottom_ids):
                needs[bottom_id] = needs[bottom_id] or node.layer.allow_force_backward(bottom_id)
                named = w.named_blobs[blob_id]
                named.need_backward = named.need_backward or needs[bottom_id]
            node.layer.param_propagate_down = [True] * len(node.layer.blobs)


@contextlib.contextmanager
def collection_put_off() -> Iterator[None]:
    """Pause the garbage collector: nearly everything made is kept, and scanning it takes a third longer."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _given_blobs(layer_param: Any) -> list[Blob]:
    """Take the parameters that a prototxt brings along out of a LayerParameter, and return them as blobs."""
    found: list[Blob] = []
    if not layer_param.blobs:
        return found
    for proto in layer_param.blobs:
        raw = proto.SerializeToString()
        try:
            values = decode_blob(raw, 0, len(raw))
        except WireError as problem:
            raise LayerError(f"layer '{layer_param.name}' ({layer_param.type}): blobs: {problem}") from problem
        blob = Blob(*values.shape)
        blob.data.reshape(-1)[...] = values.data
        if values.diff is not None:
            blob.diff.reshape(-1)[...] = values.diff
        found.append(blob)
    layer_param.ClearField("blobs")
    return found

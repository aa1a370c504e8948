"""Building a net: from a NetParameter to connected, shaped layers.

In:   a NetParameter that is already upgraded, filtered by phase and has its splits.
Out:  a Wiring (wiring): layers, blobs, who feeds whom, parameters with their owners, who needs backward.
Not here: running (net), filtering (filter), splits (insert_splits).
Source: BVLC net.cpp, Init, AppendTop, AppendBottom, AppendParam.
"""

from __future__ import annotations

from typing import Any

from .. import common, log
from ..blob import Blob
from ..errors import LayerError, NetError
from ..files.blobproto import decode_blob
from ..files.wire import WireError
from ..layer_factory import create_layer
from . import faults
from .estimate import Estimate
from .wiring import Learnable, NamedBlob, Node, Parameter, Wiring


class NetBuilder:
    """Appends layer after layer to a Wiring, as Caffe does."""

    def __init__(self) -> None:
        self.wiring = Wiring()
        self._blob_id: dict[str, int] = {}
        self._available: dict[str, None] = {}  # blobs nobody consumed yet, in order
        self._owner: dict[str, Parameter] = {}  # by param name
        self._given: dict[int, dict[str, float]] = {}  # by id of a learnable: multipliers that a ParamSpec gave
        self._values = 0  # in all tops so far
        self._estimate = Estimate()

    def build(self, net_param: Any) -> Wiring:
        """Build all layers, then decide who needs backward.

        Args:
            net_param: NetParameter; `state.phase` is the phase of layers that give none.

        Raises:
            NetError or LayerError: unknown or duplicate blobs, wrong counts, shapes that do not fit.
            OutOfMemory: its blobs take more memory than there is.
        """
        for layer_id, layer_param in enumerate(net_param.layer):
            if not layer_param.HasField("phase"):
                layer_param.phase = net_param.state.phase
            self._append_layer(layer_id, layer_param)
        self._switch_off_backward()
        if net_param.force_backward:
            self._force_backward()
        self._allow_channels_last()
        w = self.wiring
        self._estimate.add_gradients(w)
        for node in w.nodes:
            node.layer.need_backward = node.need_backward
        # Caffe: left-over blobs are a std::set, so outputs come in alphabetical order. net.cpp
        for name in sorted(self._available):
            w.output_ids.append(self._blob_id[name])
            log.info(f"This network produces output {name}", "net.cpp:242")
        return w

    # -- one layer -----------------------------------------------------------------------------

    def _append_layer(self, layer_id: int, layer_param: Any) -> None:
        w = self.wiring
        if len(layer_param.propagate_down) not in (0, len(layer_param.bottom)):
            raise NetError(f"layer '{layer_param.name}': propagate_down param must be specified either 0 or "
                           f"bottom_size times; got {len(layer_param.propagate_down)} for {len(layer_param.bottom)}")
        log.info(f"Creating layer {layer_param.name}", "layer_factory.hpp:77")
        given = _given_blobs(layer_param)
        layer = create_layer(layer_param)
        layer.blobs.extend(given)
        log.info(f"Creating Layer {layer_param.name}", "net.cpp:84")
        node = Node(layer, layer_param.name)
        w.nodes.append(node)
        need_backward = False
        for bottom_id in range(len(layer_param.bottom)):
            blob_id = self._append_bottom(node, layer_param, bottom_id)
            need_backward = need_backward or w.named_blobs[blob_id].need_backward
        for top_id in range(len(layer_param.top)):
            self._append_top(node, layer_param, top_id)
            if layer_param.type == "Input":
                w.input_ids.append(len(w.named_blobs) - 1)
        if layer.auto_top_blobs:
            needed = max(layer.min_num_top or 0, layer.exact_num_top or 0)
            for _ in range(len(layer_param.top), needed):
                log.info(f"{layer_param.name} -> (automatic)", "net.cpp:380")
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
        layer = node.layer
        layer.check_blobs(node.bottoms, node.tops)
        with common.arithmetic(), faults.naming(layer):
            layer.setup(node.bottoms, node.tops)
            layer.reshape(node.bottoms, node.tops)
        layer.set_loss_weights(node.tops)
        log.info(f"Setting up {layer.name}", "net.cpp:122")
        for blob, blob_id, weight in zip(node.tops, node.top_ids, layer.loss_weights, strict=True):
            self.wiring.named_blobs[blob_id].loss_weight = weight
            lengths = "".join(f"{length} " for length in blob.shape)
            log.info(f"Top shape: {lengths}({blob.count})", "net.cpp:129")
            if weight:
                log.info(f"    with loss weight {weight:g}", "net.cpp:132")
            self._values += blob.count
        log.info(f"Memory required for data: {4 * self._values}", "net.cpp:137")

    # -- blobs ---------------------------------------------------------------------------------

    def _append_bottom(self, node: Node, layer_param: Any, bottom_id: int) -> int:
        w, name = self.wiring, layer_param.bottom[bottom_id]
        if name not in self._available:
            known = ", ".join(self._available) or "none"
            raise NetError(f"Unknown bottom blob '{name}' (layer '{layer_param.name}', bottom index {bottom_id}); "
                           f"blobs not consumed so far: {known}")
        blob_id = self._blob_id[name]
        del self._available[name]
        log.info(f"{layer_param.name} <- {name}", "net.cpp:406")
        need_backward = w.named_blobs[blob_id].need_backward
        if layer_param.propagate_down:
            need_backward = layer_param.propagate_down[bottom_id]
        node.bottoms.append(w.named_blobs[blob_id].blob)
        node.bottom_ids.append(blob_id)
        node.bottom_need_backward.append(need_backward)
        return blob_id

    def _append_top(self, node: Node, layer_param: Any, top_id: int) -> None:
        w, name = self.wiring, layer_param.top[top_id]
        if top_id < len(layer_param.bottom) and layer_param.bottom[top_id] == name:
            log.info(f"{layer_param.name} -> {name} (in-place)", "net.cpp:367")
            node.tops.append(w.named_blobs[self._blob_id[name]].blob)
            node.top_ids.append(self._blob_id[name])
        elif name in self._blob_id:
            raise NetError(f"Top blob '{name}' produced by multiple sources. (layer '{layer_param.name}', top index "
                           f"{top_id}; to work in place, name it as the bottom of the same index)")
        else:
            log.info(f"{layer_param.name} -> {name}", "net.cpp:380")
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
        """Register a layer's parameters, of which so many came with a spec; tell whether any is to be learned."""
        layer = self.wiring.nodes[layer_id].layer
        if len(layer_param.param) > len(layer.blobs):
            raise NetError(f"Too many params specified for layer {layer_param.name}: got {len(layer_param.param)}, "
                           f"it has {len(layer.blobs)}")
        absent = type(layer_param)().param.add()
        specs = [layer_param.param[i] if i < len(layer_param.param) else absent for i in range(len(layer.blobs))]
        # Caffe: specs that a layer adds in its own setup (BatchNorm) rule the solver, but not backward. net.cpp, Init
        layer.param_propagate_down = [i >= specified or spec.lr_mult != 0 for i, spec in enumerate(specs)]
        for param_id, spec in enumerate(specs):
            self._append_param(layer_id, param_id, spec)
        return any(layer.param_propagate_down)

    def _append_param(self, layer_id: int, param_id: int, spec: Any) -> None:
        w = self.wiring
        blob = w.nodes[layer_id].layer.blobs[param_id]
        owner = self._owner.get(spec.name) if spec.name else None
        if owner is None:
            w.learnables.append(Learnable(blob, spec.lr_mult, spec.decay_mult))
            learnable = w.learnables[-1]
        else:
            self._share_param(owner, blob, spec)
            learnable = owner.learnable
        w.params.append(Parameter(blob, spec.name or str(param_id), layer_id, param_id, owner, learnable))
        if owner is None and spec.name:
            self._owner[spec.name] = w.params[-1]
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
        """Let blobs between layers that take any strides stand with channels last (syncedmem)."""
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
        """From the end: no backward for what is under no loss, or only feeds blobs that need none."""
        w = self.wiring
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for node in reversed(w.nodes):
            tops = w.names_of(node.top_ids)
            contributes = any(node.layer.loss_weights) or any(name in under_loss for name in tops)
            if not contributes or (node.need_backward and all(name in skipped for name in tops)):
                node.need_backward = False
                node.bottom_need_backward = [False] * len(node.bottom_ids)
            for name, needed in zip(w.names_of(node.bottom_ids), node.bottom_need_backward, strict=True):
                if contributes:
                    under_loss.add(name)
                if not needed:
                    skipped.add(name)
            word = "needs" if node.need_backward else "does not need"
            log.info(f"{node.name} {word} backward computation.", "net.cpp:198")

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


def _given_blobs(layer_param: Any) -> list[Blob]:
    """Take out of a LayerParameter the parameters that a prototxt brings along, and return them as blobs."""
    found = []
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

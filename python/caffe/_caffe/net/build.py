"""Building a net: from a NetParameter to connected, shaped layers.

In:   a NetParameter that is already upgraded, filtered by phase and has its splits.
Out:  a Wiring: blobs, layers, who feeds whom, parameters with their owners, who needs backward.
Not here: running (net), filtering (filter), splits (insert_splits).
Source: BVLC net.cpp, Init, AppendTop, AppendBottom, AppendParam.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import common, log
from ..blob import Blob
from ..errors import LayerError, NetError
from ..files.blobproto import decode_blob
from ..files.wire import WireError
from ..layer import Layer
from ..layer_factory import create_layer
from . import faults
from .estimate import Estimate


@dataclass
class Wiring:
    """A built net, as parallel lists; index = layer, blob, parameter or learnable parameter."""

    layers: list[Layer] = field(default_factory=list)
    layer_names: list[str] = field(default_factory=list)
    layer_need_backward: list[bool] = field(default_factory=list)
    bottom_vecs: list[list[Blob]] = field(default_factory=list)
    bottom_ids: list[list[int]] = field(default_factory=list)
    bottom_need_backward: list[list[bool]] = field(default_factory=list)
    top_vecs: list[list[Blob]] = field(default_factory=list)
    top_ids: list[list[int]] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    blob_names: list[str] = field(default_factory=list)
    blob_need_backward: list[bool] = field(default_factory=list)
    blob_loss_weights: list[float] = field(default_factory=list)
    input_ids: list[int] = field(default_factory=list)
    output_ids: list[int] = field(default_factory=list)
    params: list[Blob] = field(default_factory=list)
    param_display_names: list[str] = field(default_factory=list)
    param_owners: list[int] = field(default_factory=list)  # -1, or the parameter it shares memory with
    param_layer_ids: list[tuple[int, int]] = field(default_factory=list)
    learnable_ids: list[int] = field(default_factory=list)  # of each parameter, itself or its owner
    learnable_params: list[Blob] = field(default_factory=list)
    params_lr: list[float] = field(default_factory=list)
    params_weight_decay: list[float] = field(default_factory=list)


class NetBuilder:
    """Appends layer after layer to a Wiring, as Caffe does."""

    def __init__(self) -> None:
        self.wiring = Wiring()
        self._blob_id: dict[str, int] = {}
        self._available: dict[str, None] = {}  # blobs nobody consumed yet, in order
        self._param_id: dict[str, int] = {}  # of the owner, by param name
        self._given: dict[int, dict[str, float]] = {}  # learnable id -> multipliers that a ParamSpec gave
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
        for layer, needed in zip(w.layers, w.layer_need_backward, strict=True):
            layer.need_backward = needed
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
        w.layers.append(layer)
        w.layer_names.append(layer_param.name)
        for lists in (w.bottom_vecs, w.bottom_ids, w.bottom_need_backward, w.top_vecs, w.top_ids):
            lists.append([])
        need_backward = False
        for bottom_id in range(len(layer_param.bottom)):
            blob_id = self._append_bottom(layer_id, layer_param, bottom_id)
            need_backward = need_backward or w.blob_need_backward[blob_id]
        for top_id in range(len(layer_param.top)):
            self._append_top(layer_id, layer_param, top_id)
            if layer_param.type == "Input":
                w.input_ids.append(len(w.blobs) - 1)
        if layer.auto_top_blobs:
            needed = max(layer.min_num_top or 0, layer.exact_num_top or 0)
            for _ in range(len(layer_param.top), needed):
                log.info(f"{layer_param.name} -> (automatic)", "net.cpp:380")
                self._append_blob(layer_id, "(automatic)")
        specified = len(layer_param.param)
        self._set_up(layer_id, layer)
        need_backward = self._append_params(layer_id, layer_param, specified) or need_backward
        self._estimate.add(w)
        w.layer_need_backward.append(need_backward)
        if need_backward:
            for blob_id in w.top_ids[layer_id]:
                w.blob_need_backward[blob_id] = True

    def _set_up(self, layer_id: int, layer: Layer) -> None:
        w = self.wiring
        bottom, top = w.bottom_vecs[layer_id], w.top_vecs[layer_id]
        layer.check_blobs(bottom, top)
        with common.arithmetic():
            try:
                layer.setup(bottom, top)
                layer.reshape(bottom, top)
            except Exception as problem:
                raise faults.named(layer, problem)  # noqa: B904 - it knows its cause
        layer.set_loss_weights(top)
        log.info(f"Setting up {layer.name}", "net.cpp:122")
        for blob, blob_id, weight in zip(top, w.top_ids[layer_id], layer.loss_weights, strict=True):
            w.blob_loss_weights[blob_id] = weight
            lengths = "".join(f"{length} " for length in blob.shape)
            log.info(f"Top shape: {lengths}({blob.count})", "net.cpp:129")
            if weight:
                log.info(f"    with loss weight {weight:g}", "net.cpp:132")
            self._values += blob.count
        log.info(f"Memory required for data: {4 * self._values}", "net.cpp:137")

    # -- blobs ---------------------------------------------------------------------------------

    def _append_bottom(self, layer_id: int, layer_param: Any, bottom_id: int) -> int:
        w, name = self.wiring, layer_param.bottom[bottom_id]
        if name not in self._available:
            known = ", ".join(self._available) or "none"
            raise NetError(f"Unknown bottom blob '{name}' (layer '{layer_param.name}', bottom index {bottom_id}); "
                           f"blobs not consumed so far: {known}")
        blob_id = self._blob_id[name]
        del self._available[name]
        log.info(f"{layer_param.name} <- {name}", "net.cpp:406")
        need_backward = w.blob_need_backward[blob_id]
        if layer_param.propagate_down:
            need_backward = layer_param.propagate_down[bottom_id]
        w.bottom_vecs[layer_id].append(w.blobs[blob_id])
        w.bottom_ids[layer_id].append(blob_id)
        w.bottom_need_backward[layer_id].append(need_backward)
        return blob_id

    def _append_top(self, layer_id: int, layer_param: Any, top_id: int) -> None:
        w, name = self.wiring, layer_param.top[top_id]
        if top_id < len(layer_param.bottom) and layer_param.bottom[top_id] == name:
            log.info(f"{layer_param.name} -> {name} (in-place)", "net.cpp:367")
            w.top_vecs[layer_id].append(w.blobs[self._blob_id[name]])
            w.top_ids[layer_id].append(self._blob_id[name])
        elif name in self._blob_id:
            raise NetError(f"Top blob '{name}' produced by multiple sources. (layer '{layer_param.name}', top index "
                           f"{top_id}; to work in place, name it as the bottom of the same index)")
        else:
            log.info(f"{layer_param.name} -> {name}", "net.cpp:380")
            self._blob_id[name] = len(w.blobs)
            self._append_blob(layer_id, name)
        self._available[name] = None

    def _append_blob(self, layer_id: int, name: str) -> None:
        w = self.wiring
        w.top_ids[layer_id].append(len(w.blobs))
        w.blobs.append(Blob(0))
        w.top_vecs[layer_id].append(w.blobs[-1])
        w.blob_names.append(name)
        w.blob_need_backward.append(False)
        w.blob_loss_weights.append(0.0)

    # -- parameters ----------------------------------------------------------------------------

    def _append_params(self, layer_id: int, layer_param: Any, specified: int) -> bool:
        """Register a layer's parameters, of which so many came with a spec; tell whether any is to be learned."""
        layer = self.wiring.layers[layer_id]
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
        blob = w.layers[layer_id].blobs[param_id]
        owner = self._param_id.get(spec.name, -1) if spec.name else -1
        w.params.append(blob)
        w.param_display_names.append(spec.name or str(param_id))
        w.param_layer_ids.append((layer_id, param_id))
        w.param_owners.append(owner)
        if owner < 0:
            if spec.name:
                self._param_id[spec.name] = len(w.params) - 1
            self._given[len(w.learnable_params)] = {}
            w.learnable_ids.append(len(w.learnable_params))
            w.learnable_params.append(blob)
            w.params_lr.append(spec.lr_mult)
            w.params_weight_decay.append(spec.decay_mult)
        else:
            self._share_param(owner, blob, spec)
            w.learnable_ids.append(w.learnable_ids[owner])
        self._settle_multipliers(w.learnable_ids[-1], spec)

    def _share_param(self, owner: int, blob: Blob, spec: Any) -> None:
        w = self.wiring
        owner_blob = w.params[owner]
        owner_layer = w.layer_names[w.param_layer_ids[owner][0]]
        who = f"Cannot share param '{spec.name}' owned by layer '{owner_layer}' with layer '{w.layer_names[-1]}'"
        permissive = spec.share_mode == type(spec).PERMISSIVE
        if permissive and blob.count != owner_blob.count:
            raise NetError(f"{who}; count mismatch. Owner layer param shape is {owner_blob.shape}; "
                           f"sharing layer shape is {blob.shape}")
        if not permissive and blob.shape != owner_blob.shape:
            raise NetError(f"{who}; shape mismatch. Owner layer param shape is {owner_blob.shape}; sharing layer "
                           f"expects shape {blob.shape} (share_mode: PERMISSIVE compares only the counts)")
        blob.share_data(owner_blob)
        blob.share_diff(owner_blob)
        log.info(f"Sharing parameters '{spec.name}' owned by layer '{owner_layer}', param index "
                 f"{w.param_layer_ids[owner][1]}", "net.cpp:465")

    def _settle_multipliers(self, learnable_id: int, spec: Any) -> None:
        """Let explicit lr_mult and decay_mult of sharers agree, and win over defaults."""
        given = self._given[learnable_id]
        for name, values in (("lr_mult", self.wiring.params_lr), ("decay_mult", self.wiring.params_weight_decay)):
            if not spec.HasField(name):
                continue
            value = getattr(spec, name)
            if given.setdefault(name, value) != value:
                raise NetError(f"Shared param '{spec.name}' has mismatched {name}: {given[name]:g} and {value:g}")
            values[learnable_id] = value

    def _allow_channels_last(self) -> None:
        """Let blobs between layers that take any strides stand with channels last (syncedmem)."""
        w = self.wiring
        bound = set(w.output_ids)
        for layer, bottoms, tops in zip(w.layers, w.bottom_ids, w.top_ids, strict=True):
            if not layer.any_strides:
                bound.update(bottoms)
                bound.update(tops)
        for blob_id, blob in enumerate(w.blobs):
            if blob_id not in bound:
                blob.allow_channels_last()

    # -- who needs backward --------------------------------------------------------------------

    def _switch_off_backward(self) -> None:
        """From the end: no backward for what is under no loss, or only feeds blobs that need none."""
        w = self.wiring
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for layer_id in reversed(range(len(w.layers))):
            tops = [w.blob_names[i] for i in w.top_ids[layer_id]]
            contributes = any(w.layers[layer_id].loss_weights) or any(name in under_loss for name in tops)
            if w.layer_need_backward[layer_id] and all(name in skipped for name in tops):
                w.layer_need_backward[layer_id] = False
                w.bottom_need_backward[layer_id] = [False] * len(w.bottom_ids[layer_id])
            if not contributes:
                w.layer_need_backward[layer_id] = False
                w.bottom_need_backward[layer_id] = [False] * len(w.bottom_ids[layer_id])
            for blob_id, needed in zip(w.bottom_ids[layer_id], w.bottom_need_backward[layer_id], strict=True):
                if contributes:
                    under_loss.add(w.blob_names[blob_id])
                if not needed:
                    skipped.add(w.blob_names[blob_id])
            word = "needs" if w.layer_need_backward[layer_id] else "does not need"
            log.info(f"{w.layer_names[layer_id]} {word} backward computation.", "net.cpp:198")

    def _force_backward(self) -> None:
        w = self.wiring
        for layer_id, layer in enumerate(w.layers):
            w.layer_need_backward[layer_id] = True
            needs = w.bottom_need_backward[layer_id]
            for bottom_id, blob_id in enumerate(w.bottom_ids[layer_id]):
                needs[bottom_id] = needs[bottom_id] or layer.allow_force_backward(bottom_id)
                w.blob_need_backward[blob_id] = w.blob_need_backward[blob_id] or needs[bottom_id]
            layer.param_propagate_down = [True] * len(layer.blobs)


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

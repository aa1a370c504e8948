"""Users' own layers written with torch operations; autograd finds their gradients.

In:   a torch.nn.Module class, or a function of tensors, under `@caffe.register_torch_layer("Type")`.
Out:  a layer type like any other: `type: "Type"` in prototxts, `caffe.layers.Type` in NetSpec.
Not here: prototxt fields (own_fields), layers in NumPy (`type: "Python"`). docs/own-layers.md shows an example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch.func import functional_call

from ... import common
from ...blob import Blob
from ...errors import LayerError
from ...files.own_fields import field_values, register_fields
from ...layer import Layer, LossLayer
from ...layer_factory import layer_type_list, register_layer

_Made = TypeVar("_Made", bound=Callable[..., Any])
_Shapes = Sequence[tuple[int, ...]]


def register_torch_layer(type_name: str, *, fields: Mapping[str, Any] | None = None, loss: bool = False,
                         top_shapes: Callable[..., Any] | None = None) -> Callable[[_Made], _Made]:
    """Make a torch module class or function serve a layer type.

    A class is built once per layer, as `cls(bottom_shapes, **fields)`, and called with the bottoms' tensors; its
    parameters become the layer's parameter blobs in their order, followed by its floating-point buffers, which
    never learn. A function is called as `function(*bottoms, **fields)`. Either returns one tensor, or one per top.
    Gradients: bottoms' diffs are overwritten, parameters' diffs accumulate, as with every layer.

    Args:
        type_name: the layer type; types taken by others are refused.
        fields: prototxt fields of `<type>_param`, by name: a default (bool, int, float, str), a type without
            one, or [type] for a repeated field.
        loss: it is a loss: its first top's loss_weight is 1 by default, and its second bottom takes no gradient
            by force_backward.
        top_shapes: `top_shapes(bottom_shapes, **fields)` returns the tops' shapes; needed only where they
            cannot be found without values.

    Raises:
        LayerError: the type or a field is taken or has an invalid name; a class that is not a module.
    """

    def register(made: _Made) -> _Made:
        if isinstance(made, type) and not issubclass(made, torch.nn.Module):
            raise LayerError(f"layer type {type_name}: {made.__qualname__} is not a torch.nn.Module; want one, "
                             "or a function of tensors")
        layer_type_list()  # the built-in types are taken
        base: type[Layer] = TorchLossLayer if loss else TorchLayer
        rule = None if top_shapes is None else staticmethod(top_shapes)
        kind = type(made.__name__, (base,), {"made": staticmethod(made), "fields": dict(fields or {}),
                                             "top_shapes": rule, "__doc__": made.__doc__})
        kind.__qualname__ = f"{made.__module__}.{made.__qualname__}"
        register_layer(type_name)(kind)
        if fields:
            register_fields(type_name, fields)
        return made

    return register


class _Function(torch.nn.Module):
    """A function with its fields, as a module without parameters."""

    def __init__(self, function: Callable[..., Any], fields: dict[str, Any]) -> None:
        super().__init__()
        self.function, self.fields = function, fields

    def forward(self, *bottoms: torch.Tensor) -> Any:
        return self.function(*bottoms, **self.fields)


class TorchLayer(Layer):
    """Base of the layers that register_torch_layer makes."""

    may_run_in_place = False
    min_num_top: int | None = 1
    made: Callable[..., Any]
    fields: dict[str, Any] = {}  # noqa: RUF012 - replaced by every registered layer
    top_shapes: Callable[..., Any] | None = None

    def setup(self, bottom, top):
        """Build the module and move its parameters and buffers into blobs."""
        self.values = field_values(self.layer_param, self.fields)
        self.module = self._build([blob.shape for blob in bottom])
        self.module.train(self.phase == common.TRAIN)
        learned = dict(self.module.named_parameters())
        saved = self.module.state_dict()
        kept = {name: b for name, b in self.module.named_buffers() if name in saved and b.is_floating_point()}
        self.others = {name: b for name, b in self.module.named_buffers() if name not in kept}
        self.names, self.learned = [*learned, *kept], len(learned)
        self._make_blobs([*learned.values(), *kept.values()])
        self._freeze_buffers()
        self._in_shapes: list[tuple[int, ...]] | None = None
        self._forget()

    def _build(self, shapes: _Shapes) -> torch.nn.Module:
        if not isinstance(self.made, type):
            return _Function(self.made, self.values)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(common.rng().draw())  # initial values follow from set_random_seed
            return self.made(shapes, **self.values)

    def _make_blobs(self, tensors: list[torch.Tensor]) -> None:
        shapes = self.param_shapes = [tuple(tensor.shape) for tensor in tensors]
        if not self.blobs:
            for tensor in tensors:
                self.blobs.append(Blob(*tensor.shape))
                self.blobs[-1].data[...] = tensor.detach().cpu().numpy()
        elif [blob.shape for blob in self.blobs] != shapes:
            self.fail(f"blobs of shapes {[blob.shape for blob in self.blobs]} given; its module has {shapes}")

    def _freeze_buffers(self) -> None:
        specs = self.layer_param.param
        for i in range(len(self.blobs) if self.learned < len(self.blobs) else 0):
            if i == len(specs):
                specs.add(**({"lr_mult": 0, "decay_mult": 0} if i >= self.learned else {}))
            elif i >= self.learned and specs[i].lr_mult != 0:
                self.fail(f"param {i} is the buffer '{self.names[i]}', which does not learn; want lr_mult 0, got "
                          f"{specs[i].lr_mult:g}")

    def _forget(self) -> None:
        self._outs: list[torch.Tensor] | None = None
        self._inputs: list[torch.Tensor] = []
        self._params: list[torch.Tensor] = []

    def reshape(self, bottom, top):
        """Shape the tops, as top_shapes says or as the module does without values."""
        shapes = [blob.shape for blob in bottom]
        if shapes != self._in_shapes:
            self._out_shapes = ([tuple(s) for s in self.top_shapes(shapes, **self.values)] if self.top_shapes
                                else self._shapes_without_values(shapes))
            self._in_shapes = shapes
        self._check_count(len(self._out_shapes), top)
        for blob, shape in zip(top, self._out_shapes, strict=True):
            blob.reshape(*shape)

    def _shapes_without_values(self, shapes: _Shapes) -> list[tuple[int, ...]]:
        state = {name: torch.empty(shape, device="meta")
                 for name, shape in zip(self.names, self.param_shapes, strict=True)}
        state.update({name: tensor.to("meta") for name, tensor in self.others.items()})
        try:
            outs = self._call(state, [torch.empty(shape, device="meta") for shape in shapes])
        except RuntimeError as error:
            if "meta" not in str(error).lower():
                raise
            self.fail("the shapes of its tops cannot be found without values; give register_torch_layer a top_shapes "
                      f"({error})")
        return [tuple(out.shape) for out in outs]

    def _call(self, state: dict[str, torch.Tensor], bottoms: list[torch.Tensor]) -> list[torch.Tensor]:
        outs = functional_call(self.module, state, tuple(bottoms))
        outs = list(outs) if isinstance(outs, (list, tuple)) else [outs]
        for out in outs:
            if not isinstance(out, torch.Tensor):
                self.fail(f"returned {type(out).__name__}, want a tensor for every top")
        return outs

    def _check_count(self, given: int, top: Sequence[Blob]) -> None:
        if given != len(top):
            self.fail(f"returns {given} tensor(s), but has {len(top)} top(s)")

    def forward(self, bottom, top):
        """Run the module on the bottoms' values; keep what backward needs, if it is needed."""
        self._forget()
        device, state = common.device(), {}
        # .data: no version counters, so that edits of blobs between forward and backward count, as in all layers
        for i, name in enumerate(self.names):
            state[name] = (self.read_param(i) if i < self.learned else self.edit_param(i)).data
        self._params = [state[name] for name in self.names[:self.learned]]
        state.update({name: tensor.to(device) for name, tensor in self.others.items()})
        self._inputs = [blob.read_data().data for blob in bottom]
        if self.need_backward:
            for tensor in [*self._params, *self._inputs]:
                tensor.requires_grad_()
        with torch.set_grad_enabled(self.need_backward):
            outs = self._call(state, self._inputs)
        self._check_count(len(outs), top)
        for blob, out in zip(top, outs, strict=True):
            blob.reshape(*out.shape)
            blob.write_data().copy_(out.detach())
        self._outs = outs

    def backward(self, top, propagate_down, bottom):
        """Let autograd find what the tops' diffs mean for the bottoms (overwritten) and parameters (added to)."""
        if self._outs is None:
            self.fail("backward before any forward")
        bottoms = [i for i, down in enumerate(propagate_down) if down]
        params = [i for i in range(self.learned) if self.param_propagate_down[i]]
        wanted = [*(self._inputs[i] for i in bottoms), *(self._params[i] for i in params)]
        roots = [(out, blob.read_diff().to(out.dtype)) for out, blob in zip(self._outs, top, strict=True)
                 if out.requires_grad]
        grads: Sequence[torch.Tensor | None] = [None] * len(wanted)
        if wanted and roots:
            grads = torch.autograd.grad([out for out, _ in roots], wanted, [diff for _, diff in roots],
                                        retain_graph=True, allow_unused=True)  # Caffe: backward may come again
        for i, grad in zip(bottoms, grads, strict=False):
            diff = bottom[i].write_diff()
            diff.zero_() if grad is None else diff.copy_(grad)
        for i, grad in zip(params, grads[len(bottoms):], strict=True):
            if grad is not None:
                self.edit_param_diff(i).add_(grad)


class TorchLossLayer(TorchLayer, LossLayer):
    """A TorchLayer that is a loss."""

    exact_num_bottom: int | None = None
    exact_num_top: int | None = None

"""Nets written as Python: `layers.X(...)` makes Tops, NetSpec names them, to_proto returns the message.

In:   layer types as attribute names, Tops as bottoms, settings as keywords.
Out:  a NetParameter with layers in the order that their Tops need.
Not here: running nets; checks of settings against each other (a Net makes them).
Source: BVLC Caffe's python/caffe/net_spec.py, for behaviour.

    n = NetSpec()
    n.data = layers.Input(input_param=dict(shape=dict(dim=[1, 3, 8, 8])))
    n.conv = layers.Convolution(n.data, num_output=4, kernel_size=3)
    n.relu = layers.ReLU(n.conv, in_place=True)
    print(n.to_proto())

A keyword that ends in "param" is a field of LayerParameter; any other is one of the layer's own
parameter message, or, if that has no such field, of LayerParameter (name, include, loss_weight).
`ntop` says how many tops a layer has (0 returns the Function itself), `in_place` that they are its bottoms.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from caffe.proto import caffe_pb2

_Layers = dict["Function", Any]  # each function once, with its LayerParameter, in order


def param_name_dict() -> dict[str, str]:
    """Map a layer type to the stem of its parameter field, as in {"InnerProduct": "inner_product"}."""
    return dict(_stems(caffe_pb2.LayerParameter))


@functools.cache
def _stems(layer_parameter: Any) -> dict[str, str]:
    return {field.message_type.name.removesuffix("Parameter"): field.name.removesuffix("_param")
            for field in layer_parameter.DESCRIPTOR.fields
            if field.name.endswith("_param") and field.message_type is not None}


def to_proto(*tops: Top) -> Any:
    """Return the NetParameter of all layers these Tops need; every name is generated from its type."""
    names: dict[Any, str] = {}
    return _net(tops, names)


def assign_proto(proto: Any, name: str, value: Any) -> None:
    """Set a field of a message from Python values.

    Dicts go into messages, lists (or tuples) into repeated fields, a single value for a repeated field
    is one element; anything else is assigned.

    Raises:
        AttributeError: the message has no such field.
        TypeError, ValueError: the field does not take the value.
    """
    if hasattr(getattr(proto, name), "extend"):
        _extend(getattr(proto, name), value)
    elif isinstance(value, dict):
        target = getattr(proto, name)
        target.SetInParent()
        for key, item in value.items():
            assign_proto(target, key, item)
    else:
        setattr(proto, name, value)


def _extend(repeated: Any, value: Any) -> None:
    items = value if isinstance(value, list | tuple) else [value]
    for item in items:
        if isinstance(item, dict):
            element = repeated.add()
            for key, inner in item.items():
                assign_proto(element, key, inner)
        else:
            repeated.append(item)


class Top:
    """One output of a layer: `fn` is the Function that makes it, `n` its index among the tops."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """Return the NetParameter of all layers this Top needs."""
        return to_proto(self)

    def _to_proto(self, layers: _Layers, names: dict[Any, str], autonames: Counter[str]) -> Any:
        return self.fn._to_proto(layers, names, autonames)


class Function:
    """A future layer: its type, its bottoms, its settings, and its Tops."""

    def __init__(self, type_name: str, inputs: tuple[Top, ...], params: dict[str, Any]) -> None:
        for index, bottom in enumerate(inputs):
            if not isinstance(bottom, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(bottom)})")
        self.type_name = type_name
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _get_top_name(self, top: Top, names: dict[Any, str], autonames: Counter[str]) -> str:
        if top not in names:
            names[top] = self._autoname(autonames)
        return names[top]

    def _get_name(self, names: dict[Any, str], autonames: Counter[str]) -> str:
        if self not in names:
            names[self] = (self._get_top_name(self.tops[0], names, autonames) if self.ntop > 0
                           else self._autoname(autonames))
        return names[self]

    def _autoname(self, autonames: Counter[str]) -> str:
        autonames[self.type_name] += 1
        return f"{self.type_name}{autonames[self.type_name]}"

    def _to_proto(self, layers: _Layers, names: dict[Any, str], autonames: Counter[str]) -> None:
        """Append this layer's message to `layers`, after those of its bottoms; once."""
        if self in layers:
            return
        for fn in _unmet(self, layers):  # without recursion: nets have more layers than Python has frames
            fn._append(layers, names, autonames)
        self._append(layers, names, autonames)

    def _append(self, layers: _Layers, names: dict[Any, str], autonames: Counter[str]) -> None:
        layer = caffe_pb2.LayerParameter()
        layer.type = self.type_name
        layer.bottom.extend(layers[bottom.fn].top[bottom.n] for bottom in self.inputs)
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(self._get_top_name(top, names, autonames) for top in self.tops)
        layer.name = self._get_name(names, autonames)
        for key, value in self.params.items():
            self._assign(layer, key, value)
        layers[self] = layer

    def _assign(self, layer: Any, key: str, value: Any) -> None:
        own = _stems(caffe_pb2.LayerParameter).get(self.type_name)
        if not key.endswith("param") and own is not None:
            own_param = getattr(layer, f"{own}_param")
            if key in own_param.DESCRIPTOR.fields_by_name:
                assign_proto(own_param, key, value)
                return
        if key not in layer.DESCRIPTOR.fields_by_name:
            where = f"{own}_param or LayerParameter" if own else "LayerParameter"
            raise AttributeError(f"layer '{layer.name}' ({self.type_name}): no field '{key}' in {where}")
        assign_proto(layer, key, value)


def _unmet(fn: Function, layers: _Layers) -> Iterator[Function]:
    """Yield the functions that `fn` depends on and that are not in `layers`, each after its own inputs."""
    stack = [(fn, iter(fn.inputs))]
    seen = {fn}
    while stack:
        here, bottoms = stack[-1]
        bottom = next(bottoms, None)
        if bottom is None:
            stack.pop()
            if here is not fn:
                yield here
        elif bottom.fn not in seen and bottom.fn not in layers:
            seen.add(bottom.fn)
            stack.append((bottom.fn, iter(bottom.fn.inputs)))


class NetSpec:
    """A set of named Tops; assign by attribute or by item, the order of assignment is kept."""

    tops: dict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", {})

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # copy, pickle and inspect ask for these
        return self.tops[name]

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Any:
        return self.tops[item]

    def to_proto(self) -> Any:
        """Return the NetParameter of all layers the named Tops need, each under its name."""
        return _net(tuple(self.tops.values()), {top: name for name, top in self.tops.items()})


def _net(tops: tuple[Any, ...], names: dict[Any, str]) -> Any:
    layers: _Layers = {}
    autonames: Counter[str] = Counter()
    for top in tops:
        top._to_proto(layers, names, autonames)
    net = caffe_pb2.NetParameter()
    net.layer.extend(layers.values())
    return net


class Layers:
    """`layers.X(*bottoms, **settings)`: a Top, a tuple of Tops, or (ntop=0) the Function."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer_fn(*args: Top, **kwargs: Any) -> Any:
            fn = Function(name, args, kwargs)
            if fn.ntop == 0:
                return fn
            return fn.tops[0] if fn.ntop == 1 else fn.tops

        layer_fn.__name__ = name
        return layer_fn


class Parameters:
    """`params.Pooling.MAX`: enum values of a layer's parameter message."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Values(getattr(caffe_pb2, name + "Parameter"))


class _Values:
    def __init__(self, message: Any) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)


layers: Any = Layers()
params: Any = Parameters()

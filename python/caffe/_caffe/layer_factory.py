"""From a layer type's name to its class.

In:   `@register_layer("ReLU")` above each built-in class, or above a function that builds the layer
      (Python); a LayerParameter to build.
Out:  create_layer, layer_type_list.
Not here: the layers themselves (layers/, one type per file). Source: BVLC layer_factory.hpp.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import LayerError
from .layer import Layer

_Maker = TypeVar("_Maker", bound=Callable[[Any], Layer])
_registry: dict[str, Any] = {}


def register_layer(type_name: str) -> Callable[[_Maker], _Maker]:
    """Make a Layer subclass, or a function of a LayerParameter, serve a layer type.

    Raises:
        LayerError: the type is already registered.
    """

    def register(make: _Maker) -> _Maker:
        if type_name in _registry and _registry[type_name].__qualname__ != make.__qualname__:
            raise LayerError(
                f"Layer type {type_name} already registered by {_registry[type_name].__qualname__}"
            )
        if isinstance(make, type):
            make.type = type_name  # type: ignore[attr-defined]
        _registry[type_name] = make
        return make

    return register


def layer_type_list() -> list[str]:
    """Return the names of all layer types that can be built, sorted."""
    _load_built_in_layers()
    return sorted(_registry)


def create_layer(layer_param: Any) -> Layer:
    """Build the layer that a LayerParameter describes; it is not set up yet.

    Raises:
        LayerError: the type is unknown; the message lists the known ones.
    """
    _load_built_in_layers()
    make = _registry.get(layer_param.type)
    if make is None:
        names = {name.lower(): name for name in _registry}
        near = difflib.get_close_matches(layer_param.type.lower(), names, n=1)
        hint = f"; did you mean {names[near[0]]}?" if near else ""
        raise LayerError(
            f"Unknown layer type: {layer_param.type} (layer '{layer_param.name}'{hint}) "
            f"(known types: {', '.join(sorted(_registry))})"
        )
    return make(layer_param)


@functools.cache
def _load_built_in_layers() -> None:
    from . import layers  # noqa: F401  (its import registers every file of the folder)

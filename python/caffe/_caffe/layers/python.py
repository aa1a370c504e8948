"""Python: a layer that the user wrote as a subclass of caffe.Layer. Source: BVLC python_layer.hpp.

In:   python_param: module (found as `import` finds it), layer (the class's name), param_str.
Out:  the user's own instance, with param_str and phase set; its exceptions pass through unchanged.
`share_in_parallel` changes nothing here: solvers that train together are processes.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from ..errors import LayerError
from ..layer import Layer
from ..layer_factory import register_layer


@register_layer("Python")
def create_python_layer(layer_param: Any) -> Layer:
    """Build the instance that a Python layer's parameter names.

    Raises:
        LayerError: no such module or class, or the class is not a caffe.Layer.
        Others: whatever the module or the class's __init__ raises.
    """
    param = layer_param.python_param
    who = f"layer '{layer_param.name}' (Python)"
    if not param.module or not param.layer:
        raise LayerError(
            f"{who}: python_param needs module and layer; got module '{param.module}', "
            f"layer '{param.layer}'"
        )
    cls = _find_class(_import(param.module, who), param.layer, who)
    layer = cls(layer_param)
    if not isinstance(getattr(layer, "blobs", None), list):
        raise LayerError(
            f"{who}: __init__ of {param.layer} must call super().__init__ with its argument; "
            "better, drop it and prepare in setup"
        )
    layer.type = "Python"
    layer.param_str = layer.param_str_ = param.param_str  # Caffe: spelt param_str_ until mid-2015
    layer.phase = int(layer_param.phase)
    return layer


def _import(name: str, who: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists; one that it imports does not
        raise LayerError(
            f"{who}: No module named '{error.name}' (python_param.module: '{name}'); "
            "put the folder that holds it on PYTHONPATH"
        ) from None


def _find_class(module: ModuleType, name: str, who: str) -> type[Layer]:
    where = f"module '{module.__name__}' ({getattr(module, '__file__', None) or 'built in'})"
    found = getattr(module, name, None)
    if found is None:
        known = sorted(key for key, value in vars(module).items() if _is_user_layer(value))
        raise LayerError(
            f"{who}: {where} has no class '{name}'; its layers: {', '.join(known) or 'none'}. "
            "If this is the wrong file, put the right folder first on PYTHONPATH"
        )
    if not (isinstance(found, type) and issubclass(found, Layer)):
        raise LayerError(
            f"{who}: '{name}' of {where} is not a subclass of caffe.Layer; "
            f"write `class {name}(caffe.Layer):`"
        )
    return found


def _is_user_layer(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Layer) and value is not Layer

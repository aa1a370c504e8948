"""Message classes, enums and enum values of Caffe's schema, under the names of generated code.

In:   the classes that caffe._caffe.files.proto_pool builds.
Out:  NetParameter, LayerParameter, ... ; Phase, TRAIN, TEST; DESCRIPTOR, _NETPARAMETER, ...
Not here: the schema (caffe/_caffe/files/schema.py); there is no generated code and no protoc.
"""

from typing import Any

from .._caffe.files import proto_pool
from .._caffe.files.proto_pool import ENUMS, MESSAGES

DESCRIPTOR: Any = None


def publish() -> None:
    """Take over the classes as they are now; users' own layers add some."""
    globals().update(DESCRIPTOR=proto_pool.FILE, **MESSAGES)
    for name, enum in ENUMS.items():
        globals()[name] = enum
        globals().update(enum.items())
    globals().update(_descriptors())


def _descriptors() -> dict[str, Any]:
    """Return the descriptors by the names that protoc gave them until 2022: _LAYERPARAMETER, _LAYERPARAMETER_ENGINE."""
    found = {f"_{name.upper()}": enum.DESCRIPTOR for name, enum in ENUMS.items()}
    for name, message in MESSAGES.items():
        found[f"_{name.upper()}"] = message.DESCRIPTOR
        for enum in message.DESCRIPTOR.enum_types:
            found[f"_{name.upper()}_{enum.name.upper()}"] = enum
    return found


publish()

__all__ = ["DESCRIPTOR", *MESSAGES, *ENUMS, *(value for e in ENUMS.values() for value in e.keys())]


def __getattr__(name: str) -> Any:
    """Name what is missing; this also tells type checkers that names are found at run time."""
    raise AttributeError(f"Caffe's schema has no message or enum value '{name}' (caffe_pb2)")

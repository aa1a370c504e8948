"""A net's blobs, parameters and layers by name and by number, and what a script may put there.

In:   the net's blobs, parameters and layers.
Out:  NameDict, which the net itself never reads; LayerVec, in which a layer may be replaced.
Not here: parameter blobs, BlobVec (blob). Source: BVLC pycaffe.py; _caffe.cpp, Boost's vectors.
"""

from __future__ import annotations

import difflib
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ..blob import Blob
from ..layer import Layer

if TYPE_CHECKING:
    from .net import Net
    from .wiring import Wiring

Value = TypeVar("Value")
_FIXED = ("net.layers: a built net has exactly the layers of its prototxt; for others write another "
          "prototxt and build a net from it")


class NameDict(OrderedDict[str, Value]):
    """Objects of a net by name, in its order. Caffe: what a script puts in changes the dictionary, not the net."""

    who = ""  # how a script reaches it; "" while it is being filled

    @classmethod
    def of(cls, who: str, items: Iterable[tuple[str, Value]]) -> NameDict[Value]:
        """Return the dictionary of a net, which scripts reach as `who`."""
        made = cls(items)
        made.who = who
        return made

    def __missing__(self, name: object) -> NoReturn:
        raise KeyError(f"{name!r} is not in {self.who or 'these'}; {near(name, list(self))}")

    def __setitem__(self, name: str, value: Value) -> None:
        if self.who:
            values = {"net.blobs": f"{self.who}[{name!r}].data[...] = array",
                      "net.params": f"{self.who}[{name!r}][0].data[...] = array"}.get(self.who)
            warnings.warn(f"{self.who}[{name!r}] = ... changes this dictionary, not the net"
                          + (f"; to write values: {values}" if values else ""), stacklevel=2)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        if self.who:
            warnings.warn(f"del {self.who}[{name!r}] changes this dictionary, not the net", stacklevel=2)
        super().__delitem__(name)

    def copy(self) -> Any:
        """Return a plain OrderedDict of the same objects."""
        return OrderedDict(self)

    __copy__ = copy


def blobs_of(wiring: Wiring) -> NameDict[Blob]:
    """Return a net's blobs by name."""
    return NameDict.of("net.blobs", ((named.name, named.blob) for named in wiring.named_blobs))


class LayerVec(list[Layer]):
    """The layers of a net, in which one may be replaced by another; their number is fixed."""

    def __init__(self, layers: Iterable[Layer], replaced: Callable[[int, Layer], None]) -> None:
        super().__init__(layers)
        self._replaced = replaced  # called with the index and the new layer

    def __setitem__(self, i: Any, layer: Any) -> None:
        if isinstance(i, slice) or not isinstance(layer, Layer):
            raise TypeError(f"net.layers[{_text(i)}]: got {type(layer).__name__}, want one Layer in place of another; "
                            "to change values: net.layers[i].blobs[0].data[...] = array")
        super().__setitem__(i, layer)
        self._replaced(range(len(self))[i], layer)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(_FIXED)

    def _lack(self, *args: Any, **kwargs: Any) -> Any:
        raise AttributeError(_FIXED)  # Caffe: a LayerVec has no such method

    __delitem__ = __iadd__ = __imul__ = append = extend = _refuse
    insert = pop = remove = clear = sort = reverse = _lack


def layer_vec(net: Net, wiring: Wiring) -> LayerVec:
    """Return a net's layers; the net is told when a script replaces one of them or one of their blobs."""
    of_net = weakref.ref(net)

    def changed() -> None:
        if (net := of_net()) is not None:
            net.leave_plan()  # it has derived something from the old one

    def replaced(i: int, layer: Layer) -> None:
        wiring.nodes[i].layer = layer
        changed()

    for node in wiring.nodes:
        node.layer.blobs.belong_to(f"net.params[{node.name!r}]", changed)
    return LayerVec(wiring.layers, replaced)


def near(name: object, names: list[str]) -> str:
    """Return the names most like this one, for messages."""
    found = difflib.get_close_matches(str(name), names, n=3)
    return f"did you mean {' or '.join(found)}?" if found else f"there are {', '.join(names[:20]) or 'none'}" + (
        " ..." if len(names) > 20 else "")


def _text(i: Any) -> str:
    return f"{i.start or ''}:{i.stop or ''}" if isinstance(i, slice) else str(i)

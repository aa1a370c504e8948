"""How a built net hangs together: a node for each layer, a named blob for each top, parameters with their owners.

In:   what the builder finds out (build).
Out:  Wiring, which Net, plans and solvers read.
Not here: building (build), running (net).
Source: BVLC net.hpp; where Caffe keeps parallel lists, there is one object for each layer, blob or parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..blob import Blob
from ..layer import Layer


@dataclass(eq=False)
class Node:
    """A layer with its bottoms and tops."""

    layer: Layer
    name: str
    bottoms: list[Blob] = field(default_factory=list)
    bottom_ids: list[int] = field(default_factory=list)
    bottom_need_backward: list[bool] = field(default_factory=list)
    tops: list[Blob] = field(default_factory=list)
    top_ids: list[int] = field(default_factory=list)
    need_backward: bool = False

    @property
    def is_source(self) -> bool:
        """Whether the layer has no bottom: it brings data into the net."""
        return not self.bottoms


@dataclass(eq=False)
class NamedBlob:
    """A blob of the net, as its first layer made it."""

    blob: Blob
    name: str
    need_backward: bool = False
    loss_weight: float = 0.0


@dataclass(eq=False)
class Learnable:
    """What a solver updates: a parameter with its multipliers, or that of the layer which owns a shared one."""

    blob: Blob
    lr_mult: float
    decay_mult: float


@dataclass(eq=False)
class Parameter:
    """A parameter of a layer."""

    blob: Blob
    display_name: str
    layer_id: int
    param_id: int  # among the layer's parameters
    owner: Parameter | None  # whose memory it shares
    learnable: Learnable


@dataclass
class Wiring:
    """A built net; Caffe's lists of ids and names are derived from it."""

    nodes: list[Node] = field(default_factory=list)
    named_blobs: list[NamedBlob] = field(default_factory=list)
    params: list[Parameter] = field(default_factory=list)
    learnables: list[Learnable] = field(default_factory=list)
    input_ids: list[int] = field(default_factory=list)
    output_ids: list[int] = field(default_factory=list)

    @property
    def layers(self) -> list[Layer]:
        """All layers."""
        return [node.layer for node in self.nodes]

    @property
    def layer_names(self) -> list[str]:
        """The names of all layers; two may have the same."""
        return [node.name for node in self.nodes]

    @property
    def blobs(self) -> list[Blob]:
        """All blobs, by id."""
        return [named.blob for named in self.named_blobs]

    @property
    def blob_names(self) -> list[str]:
        """The names of all blobs, by id."""
        return [named.name for named in self.named_blobs]

    def names_of(self, blob_ids: list[int]) -> list[str]:
        """Return the names of some blobs."""
        return [self.named_blobs[i].name for i in blob_ids]

    def parameter(self, layer_id: int, param_id: int) -> Parameter:
        """Return a layer's parameter by its number."""
        return next(p for p in self.params if (p.layer_id, p.param_id) == (layer_id, param_id))

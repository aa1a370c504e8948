"""A net as data that can be changed and written out as a prototxt.

In:   layers: type, bottoms, tops, parameters as nested dicts.
Out:  Layer, Net, Case; their prototxt text; the names that Caffe gives to the Splits it inserts.
Not here: shapes (shapes), which nets (generate), what is done with one (scenario).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

Shape = tuple[int, ...]
BILINEAR = {"type": '"bilinear"'}
EMPTY = 0.4  # the eps of a BatchNorm without statistics, factor 0; Caffe's own would multiply values by 316


@dataclass(frozen=True)
class Layer:
    """One layer. `label` is set for an Input layer of whole numbers: (how many classes, the blob of scores
    whose shape they follow or "", whether there is one for each score and not for each place)."""

    name: str
    type: str
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    label: tuple[int, str, bool] | None = None

    @property
    def own(self) -> dict[str, Any]:
        """The layer type's own parameters, as convolution_param of a Convolution."""
        return self.params.get(param_name(self.type), {})

    def with_own(self, **changes: Any) -> Layer:
        """Return the layer with some of its own parameters replaced; None removes one."""
        own = {key: value for key, value in {**self.own, **changes}.items() if value is not None}
        params = {**self.params, param_name(self.type): own}
        return replace(self, params={key: value for key, value in params.items() if value != {}})

    @property
    def in_place(self) -> bool:
        """Whether the top is the bottom."""
        return bool(self.bottoms) and self.tops[:1] == self.bottoms[:1]

    def text(self) -> str:
        """Return the layer as prototxt, on one line."""
        ends = [("bottom", f'"{name}"') for name in self.bottoms] + [("top", f'"{name}"') for name in self.tops]
        inner = " ".join([f'name: "{self.name}" type: "{self.type}"', *(f"{key}: {name}" for key, name in ends),
                          *_fields(self.params)])
        return f"layer {{ {inner} }}"


@dataclass(frozen=True)
class Case:
    """A net, what its inputs hold, and what is done with it."""

    seed: int
    phase: int
    layers: tuple[Layer, ...]
    steps: tuple[tuple, ...] = ()
    force_backward: bool = False
    fillers: bool = False  # whether weights are what fillers draw

    def text(self) -> str:
        """Return the net's prototxt."""
        head = ["force_backward: true"] if self.force_backward else []
        return "\n".join([*head, *(layer.text() for layer in self.layers)]) + "\n"

    def message(self) -> dict[str, Any]:
        """Return what scenario.run takes, as JSON takes it."""
        return {"seed": self.seed, "phase": self.phase, "text": self.text(), "steps": self.steps,
                "fillers": self.fillers,
                "labels": {layer.tops[0]: layer.label[0] for layer in self.layers if layer.label},
                "types": {layer.name: layer.type for layer in self.layers},
                "bilinear": [layer.name for layer in self.layers if layer.own.get("weight_filler") == BILINEAR],
                "empty": [layer.name for layer in self.layers if layer.own.get("eps") == EMPTY]}


def param_name(kind: str) -> str:
    """Return the name of a layer type's own parameter message."""
    special = {"Deconvolution": "convolution_param", "InnerProduct": "inner_product_param",
               "BatchNorm": "batch_norm_param", "SoftmaxWithLoss": "softmax_param", "HingeLoss": "hinge_loss_param",
               "DummyData": "dummy_data_param"}
    return special.get(kind, kind.lower() + "_param")


def _fields(params: dict[str, Any]) -> Iterator[str]:
    for key, value in params.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, dict):
                yield f"{key} {{ {' '.join(_fields(one))} }}"
            else:
                yield f"{key}: {str(one).lower() if isinstance(one, bool) else one}"


def consumers(layers: tuple[Layer, ...]) -> Iterator[tuple[str, str, int, int]]:
    """Yield each blob that is made: its name, the layer that wrote it last, which of its tops, and how many use it."""
    made: dict[str, tuple[str, int]] = {}
    uses: dict[tuple[str, str, int], int] = {}
    for layer in layers:
        for name in layer.bottoms:
            uses[(name, *made[name])] += 1
        for i, name in enumerate(layer.tops):
            made[name] = layer.name, i
            uses[(name, layer.name, i)] = 1 if layer.params.get("loss_weight") else 0
    for key, count in uses.items():
        yield (*key, count)


def split_names(layers: tuple[Layer, ...]) -> list[str]:
    """Return the names of the blobs that Caffe inserts where a blob is used more than once."""
    return [f"{name}_{layer}_{i}_split_{k}" for name, layer, i, count in consumers(layers) if count > 1
            for k in range(count)]

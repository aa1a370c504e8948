"""The Python layers that feed the nets, with their param_str as the release wrote it.

In:   which layer, the folders it reads (by param_str key), a split.
Out:  Tops of a Python layer whose module lies on the path (layers/).
Not here: reading images and labels (layers/), where data sets come from (data/), what deploy nets take.
Source: the released train, val and test nets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from caffe import layers as L
from nets import NetError

SEED = 1337  # the released nets' order of images starts here


class PythonLayer(NamedTuple):
    """Where a data layer's class is, and the keys of its param_str in the order of the released files."""

    module: str
    layer: str
    keys: tuple[str, ...]  # options follow them


LAYERS = {
    "voc": PythonLayer("voc_layers", "VOCSegDataLayer", ("voc_dir", "seed", "split", "mean")),
    "sbdd": PythonLayer("voc_layers", "SBDDSegDataLayer", ("sbdd_dir", "seed", "split", "mean")),
    "pascalcontext": PythonLayer("pascalcontext_layers", "PASCALContextSegDataLayer",
                                 ("context_dir", "seed", "split", "voc_dir")),
    "nyud": PythonLayer("nyud_layers", "NYUDSegDataLayer", ("tops", "seed", "nyud_dir", "split")),
    "siftflow": PythonLayer("siftflow_layers", "SIFTFlowSegDataLayer", ("siftflow_dir", "seed", "split")),
    "classification": PythonLayer("classification_layers", "ClassificationDataLayer",
                                  ("root", "list", "batch", "seed", "mean")),
}


@dataclass(frozen=True)
class Feed:
    """The data layer of one phase: data first, labels last."""

    layer: str  # in LAYERS
    split: str
    dirs: dict[str, str]  # from the project's root, by param_str key; `emit` puts others in their place
    options: dict[str, Any] = field(default_factory=dict)  # further keys of param_str

    def tops(self, count: int, dirs: dict[str, str]) -> list[L]:
        """Give the layer's Tops.

        Args:
            count: how many.
            dirs: folders in place of its own, by key; keys that it does not have are passed over.
        """
        module, layer, keys = LAYERS[self.layer]
        given = {**dict(seed=SEED, split=self.split), **self.options}
        given.update({key: dirs.get(key, folder) for key, folder in self.dirs.items()})
        if self.layer == "classification":
            given.update(_image_list(given.pop("classifier_dir"), given.pop("split")))
        missing = [key for key in keys if key not in given]
        if missing:
            raise NetError(f"data layer '{layer}': nothing given for {', '.join(missing)}; "
                           f"put it into the Feed's dirs or options")
        ordered = {key: given.pop(key) for key in keys}
        return list(L.Python(module=module, layer=layer, ntop=count, param_str=repr({**ordered, **given})))


def _image_list(folder: str, split: str) -> dict[str, str]:
    """Give the keys of a classifier's list; names in it are relative to `root`."""
    return dict(root=f"{folder}/images", list=f"{folder}/{split}.txt")

"""The Python layers that feed the nets, with their param_str as the release wrote it.

In:   folders and splits.
Out:  (data, label) Tops of a Python layer whose module lies on the path (layers/).
Not here: reading images and labels (layers/), where data sets come from (data/).
Source: the released train and val nets.
"""

from __future__ import annotations

from typing import Any

from caffe import layers as L

SEED = 1337  # the released nets' order of images starts here


def param_str(settings: dict[str, Any]) -> str:
    """Write settings as the text of a dict, in their own order (the released files keep Python 2's)."""
    return repr(dict(settings))


def sbdd_layer(sbdd_dir: str, split: str, mean: tuple[float, ...], **options: Any) -> tuple[L, L]:
    """Feed SBD's images and labels; options are `mirror`, `scale` and `classes`."""
    return _python_layer("voc_layers", "SBDDSegDataLayer", sbdd_dir=sbdd_dir, seed=SEED, split=split,
                         mean=tuple(mean), **options)


def voc_layer(voc_dir: str, split: str, mean: tuple[float, ...], **options: Any) -> tuple[L, L]:
    """Feed images and labels of a folder in VOC devkit layout; options are `mirror`, `scale` and `classes`."""
    return _python_layer("voc_layers", "VOCSegDataLayer", voc_dir=voc_dir, seed=SEED, split=split,
                         mean=tuple(mean), **options)


def classification_layer(root: str, list_file: str, mean: tuple[float, ...], *, batch: int,
                         **options: Any) -> tuple[L, L]:
    """Feed batches of whole images, one class each; names in the list are relative to `root`.

    Options are `mirror`, `scale` and what else ClassificationDataLayer takes.
    """
    return _python_layer("classification_layers", "ClassificationDataLayer", root=root, list=list_file,
                         batch=batch, seed=SEED, mean=tuple(mean), **options)


def _python_layer(module: str, layer: str, **settings: Any) -> tuple[L, L]:
    data, label = L.Python(module=module, layer=layer, ntop=2, param_str=param_str(settings))
    return data, label

"""Which step computes which kind of operation; layers name their kind in `plan_step`.

kind            layers                                      step
convolution     Convolution over planes                     sliding.Convolve
deconvolution   Deconvolution over planes                   steps.Upsample
max_pooling     Pooling MAX, windows that overlap or touch  sliding.MaxPool
global_pooling  Pooling MAX or AVE of whole planes          steps.PoolPlane
relu            ReLU                                        pointwise.Rectify
sum             Eltwise SUM                                 pointwise.Sum
concat, slice   Concat, Slice of channels                   pointwise.Join, Cut
affine          BatchNorm, Scale, Bias of channels          pointwise.Affine
weighed         Scale of channels by a second bottom        pointwise.Weigh
crop            Crop of rows and columns                    steps.Crop
view            a blob that shares memory in another shape  by_layer.View
layer           all others                                  by_layer.ElementByElement, ByLayer

Not here: the kinds `same` and `none`, which compute nothing (trace); operations that run together (fuse).
"""

from __future__ import annotations

from ..blob import Blob
from .by_layer import ByLayer, ElementByElement, View
from .pointwise import Affine, Cut, Join, Rectify, Sum, Weigh
from .sliding import Convolve, MaxPool
from .step import Step
from .steps import Crop, PoolPlane, Upsample
from .trace import VIEW, Operation

FOLLOWERS = ("affine",)  # kinds that a convolution absorbs
_OF_ONE_LAYER = {"deconvolution": Upsample, "max_pooling": MaxPool, "global_pooling": PoolPlane, "relu": Rectify,
                 "sum": Sum, "weighed": Weigh, "concat": Join, "slice": Cut}


def step_of(operations: list[Operation], sources: dict[int, Blob]) -> Step:
    """Return the step that computes an operation, or an affine chain after a first one, from its bottoms to its tops.

    Args:
        operations: one; or a convolution or affine one, with affine ones after it.
        sources: the blobs of the values that lie in the net's own memory.
    """
    first, bottoms, tops = operations[0], operations[0].bottoms, operations[-1].tops
    if first.kind == VIEW:
        assert first.shape_of is not None
        return View(first.shape_of, bottoms, tops)
    assert first.node is not None
    layer = first.node.layer
    if first.kind in ("convolution", "affine"):
        layers = [operation.node.layer for operation in operations if operation.node is not None]
        return Convolve(layers, bottoms, tops) if first.kind == "convolution" else Affine(layers, bottoms, tops)
    if first.kind == "crop":
        like = first.node.bottoms[1]
        return Crop(layer, bottoms, tops, lambda: like.shape[2:])
    if first.kind in _OF_ONE_LAYER:
        return _OF_ONE_LAYER[first.kind](layer, bottoms, tops)
    if layer.pointwise and len(tops) == 1:
        return ElementByElement(first.node, bottoms, tops)
    from_source = [value in sources and blob.shares_data_with(sources[value])
                   for value, blob in zip(bottoms, first.node.bottoms, strict=True)]
    return ByLayer(first.node, bottoms, tops, from_source)

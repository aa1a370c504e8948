"""Random parameters of one layer.

In:   a generator of random numbers, a layer's type, its bottom's shape.
Out:  the layer's own parameters; KINDS, how often each type is drawn.
Not here: how layers are joined (generate).
"""

from __future__ import annotations

import random
from math import prod

from .spec import BILINEAR, EMPTY, Shape

IN_PLACE = frozenset("ReLU ELU PReLU TanH Sigmoid Power Exp Log BNLL Threshold Clip Swish Dropout BatchNorm Scale Bias "
                     "Softmax".split())
LACKING = frozenset({"Clip"})  # genuine Caffe here has no such layer
WITHOUT_GRADIENT = frozenset({"ArgMax", "Threshold", "Accuracy"})
POINTWISE = ("ReLU", "ReLU", "ReLU", "ELU", "PReLU", "TanH", "Sigmoid", "Power", "AbsVal", "Exp", "Log", "BNLL",
             "Threshold", "Clip", "Swish", "Dropout", "BatchNorm", "Scale", "Bias")
LOSSES = ("SoftmaxWithLoss", "SoftmaxWithLoss", "EuclideanLoss", "SigmoidCrossEntropyLoss", "HingeLoss",
          "MultinomialLogisticLoss", "Accuracy")
KINDS = (*["Convolution"] * 5, *["Pooling"] * 4, *["ReLU", "Eltwise", "Concat"] * 3, *["Crop", "Slice", "Reshape"] * 2,
         *["LRN", "ScaleBy"] * 2, "DummyData", *(
             "Split Dropout BatchNorm Scale Bias InnerProduct Softmax ELU PReLU TanH Sigmoid Power AbsVal Exp Log BNLL "
             "Threshold Clip Swish Flatten Tile MVN ArgMax Reduction SPP Silence").split())


def loss_params(rng: random.Random, kind: str) -> dict:
    """Return a loss layer's parameters besides its own."""
    found = _some(rng, 0.3, loss_weight=rng.choice([0.5, -1]))
    if kind in ("SoftmaxWithLoss", "SigmoidCrossEntropyLoss"):
        found |= _some(rng, 0.5, loss_param=rng.choice([
            {"normalize": False}, {"ignore_label": 0}, {"normalize": False, "ignore_label": 1},
            {"normalization": "FULL"}, {"normalization": "VALID", "ignore_label": 0}, {"normalization": "NONE"}]))
    return {} if kind == "Accuracy" else found


def image(rng: random.Random, wide: bool) -> Shape:
    """Return the shape of a net's input; wide: enough channels and places for the kernels of large nets."""
    if wide:
        return 1, rng.choice([64, 65, 70]), rng.randint(12, 24), rng.randint(12, 24)
    if rng.random() < 0.1:
        sides = rng.choice([(), (), (rng.randint(1, 12),), tuple(rng.randint(1, 6) for _ in "dhw")])
        return rng.randint(1, 3), rng.randint(1, 9), *sides
    return rng.choice([1, 1, 2, 3]), rng.choice([1, 2, 3, 3, 4, 8]), rng.randint(1, 14), rng.randint(1, 14)


def own(rng: random.Random, kind: str, shape: Shape) -> dict:
    """Return a layer's own parameters; those that are not drawn stay Caffe's defaults."""
    maker = _MAKERS.get(kind)
    return maker(rng, shape) if maker else {}


def _some(rng: random.Random, share: float, **params) -> dict:
    return params if rng.random() < share else {}


# -- windows -----------------------------------------------------------------------------------


def convolution(rng: random.Random, shape: Shape, out: int | None = None) -> dict:
    """Return a Convolution's parameters."""
    channels = shape[1] if len(shape) > 1 else 1
    group, outs = 1, out or rng.choice([1, 2, 3, 4, 5, 8, channels, *([64] if channels >= 64 else [])])
    if rng.random() < 0.25:
        group = rng.choice([d for d in range(1, channels + 1) if channels % d == 0])
        outs = out if out and out % group == 0 else group * rng.randint(1, 2)
    return {"num_output": outs, **_window(rng, shape), **({"group": group} if group > 1 else {}),
            **_some(rng, 0.2, dilation=rng.choice([2, 2, 3])), **_some(rng, 0.25, bias_term=False)}


def _window(rng: random.Random, shape: Shape) -> dict:
    if rng.random() < 0.2 and len(shape) == 4:
        found = {f"kernel_{side}": rng.randint(1, 4) for side in "hw"}
        found |= _some(rng, 0.6, **{f"pad_{side}": rng.randint(0, 3) for side in "hw"})
        return found | _some(rng, 0.4, **{f"stride_{side}": rng.randint(1, 3) for side in "hw"})
    kernel = rng.choice([1, 1, 2, 3, 3, 3, 4, 5, 7])
    return {"kernel_size": kernel, **_some(rng, 0.6, pad=rng.choice([kernel // 2, kernel // 2, 1, kernel, kernel + 4])),
            **_some(rng, 0.25, stride=rng.choice([2, 2, 3, kernel]))}


def same_size_convolution(rng: random.Random, shape: Shape, out: int | None = None) -> dict:
    """Return the parameters of a Convolution whose top has the bottom's height and width."""
    dilation = rng.choice([1, 1, 1, 2])
    kernel = rng.choice([1, 3, 3, 3, 5])
    group = out if out and out == shape[1] and rng.random() < 0.3 else 1
    found = {"num_output": out or rng.choice([1, 2, 4, shape[1]]), "kernel_size": kernel,
             "pad": dilation * (kernel // 2), **_some(rng, 0.4, bias_term=False)}
    return found | ({"dilation": dilation} if dilation > 1 else {}) | ({"group": group} if group > 1 else {})


def upsampling(rng: random.Random, shape: Shape) -> dict:
    """Return the parameters of a Deconvolution as FCNs have them."""
    stride, channels = rng.choice([2, 2, 3, 4]), shape[1]
    kernel = rng.choice([2 * stride, 2 * stride, 2 * stride - stride % 2, stride])
    found = {"num_output": channels, "kernel_size": kernel, "stride": stride, **_some(rng, 0.7, bias_term=False)}
    if rng.random() < 0.7:
        found |= {"group": channels} if channels > 1 else {}
    if rng.random() < 0.7:
        found |= {"weight_filler": BILINEAR}
    return found


def _deconvolution(rng: random.Random, shape: Shape) -> dict:
    if len(shape) == 4 and rng.random() < 0.6:
        return upsampling(rng, shape)
    return convolution(rng, shape)


def _pooling(rng: random.Random, shape: Shape) -> dict:
    pool = rng.choice(["MAX", "MAX", "AVE"])
    if rng.random() < 0.2:
        return {"pool": pool, "global_pooling": True}
    found: dict = {"pool": pool}
    if rng.random() < 0.2:
        kernels = [rng.randint(1, 4) for _ in "hw"]
        found |= {f"kernel_{side}": kernel for side, kernel in zip("hw", kernels)}
        found |= _some(rng, 0.5, **{f"pad_{side}": rng.randrange(kernel) for side, kernel in zip("hw", kernels)})
        found |= _some(rng, 0.7, **{f"stride_{side}": rng.randint(1, kernel) for side, kernel in zip("hw", kernels)})
    else:
        kernel = rng.choice([2, 2, 2, 3, 3, 4])
        found |= {"kernel_size": kernel, **_some(rng, 0.35, pad=rng.randrange(kernel)),
                  **_some(rng, 0.8, stride=rng.randint(1, kernel))}
    return found | _some(rng, 0.2, round_mode=rng.choice(["FLOOR", "CEIL"]))


# -- the rest ----------------------------------------------------------------------------------


def _eltwise(rng: random.Random, shape: Shape) -> dict:
    operation = rng.choice(["SUM", "SUM", "SUM", "PROD", "MAX"])
    if operation == "SUM":
        return _some(rng, 0.4, coeff=[1, 1]) | _some(
            rng, 0.3, operation="SUM")
    return {"operation": operation}


def _axis(rng: random.Random, shape: Shape, default: int = 1, share: float = 0.35) -> dict:
    return _some(rng, share, axis=rng.choice([*range(len(shape)), -1])) if shape else {}


def _affine(rng: random.Random, shape: Shape) -> dict:
    found = _axis(rng, shape)
    axis = found.get("axis", 1) % max(1, len(shape))
    return found | _some(rng, 0.3, num_axes=rng.choice([-1, *range(1, len(shape) - axis + 1)]))


def _inner_product(rng: random.Random, shape: Shape) -> dict:
    return {"num_output": rng.randint(1, 6), **_axis(rng, shape, share=0.25), **_some(rng, 0.3, transpose=True),
            **_some(rng, 0.3, bias_term=False)}


def _power(rng: random.Random, shape: Shape) -> dict:
    return rng.choice([{"scale": 0.5, "shift": 0.3}, {"power": 2, "scale": 0.5}, {"scale": 0, "shift": 2}, {},
                       {"scale": -1}, {"power": 0.5, "shift": 9}, {"power": -1, "shift": 12}])


def _slice(rng: random.Random, shape: Shape) -> dict:
    return _axis(rng, shape)


def _reshape(rng: random.Random, shape: Shape) -> dict:
    dims = rng.choice([[0, -1], [0, 1, -1, 1], [0, 0, -1, 1], [-1, *shape[1:]], [0, -1, 1], [0, 0, 0, -1]])
    return rng.choice([{"shape": {"dim": dims}}, {"shape": {"dim": dims}},
                       {"shape": {"dim": [-1]}, "axis": 1, "num_axes": max(0, len(shape) - 2)},
                       {"shape": {"dim": [1]}, "axis": rng.randint(0, len(shape)), "num_axes": 0}])


def _flatten(rng: random.Random, shape: Shape) -> dict:
    return rng.choice([{}, {}, {"axis": 2}, {"end_axis": 2}, {"axis": 0}, {"axis": 0, "end_axis": 1}])


def _argmax(rng: random.Random, shape: Shape) -> dict:
    axis = _some(rng, 0.6, axis=rng.choice([1, 1, -1, 0]))
    length = shape[axis["axis"]] if axis and len(shape) > 1 else max(1, prod(shape[1:]))
    return axis | _some(rng, 0.3, out_max_val=True) | _some(rng, 0.3, top_k=rng.randint(1, max(1, min(3, length))))


def _lrn(rng: random.Random, shape: Shape) -> dict:
    return {"local_size": rng.choice([1, 3, 5]), "alpha": rng.choice([1e-4, 0.1, 1]),
            **_some(rng, 0.5, norm_region="WITHIN_CHANNEL"), **_some(rng, 0.3, beta=rng.choice([0.5, 0.9])),
            **_some(rng, 0.2, k=2)}


_MAKERS = {
    "Convolution": convolution, "Deconvolution": _deconvolution, "Pooling": _pooling,
    "Eltwise": _eltwise, "InnerProduct": _inner_product, "Power": _power, "Slice": _slice, "Reshape": _reshape,
    "Flatten": _flatten, "ArgMax": _argmax, "LRN": _lrn, "Concat": lambda rng, shape: _axis(rng, shape),
    "Bias": _affine, "Softmax": lambda rng, shape: _axis(rng, shape, share=0.2),
    "Scale": lambda rng, shape: _affine(rng, shape) | _some(rng, 0.6, bias_term=True),
    "ReLU": lambda rng, shape: _some(rng, 0.3, negative_slope=rng.choice([0.1, 0.5, -0.2])),
    "ELU": lambda rng, shape: _some(rng, 0.5, alpha=0.4),
    "BatchNorm": lambda rng, shape: _some(rng, 0.2, eps=rng.choice([EMPTY, 1e-3])),
    "PReLU": lambda rng, shape: _some(rng, 0.3, channel_shared=True),
    "Exp": lambda rng, shape: rng.choice([{"scale": 0.3}, {"base": 2, "scale": 0.3}, {"scale": 0.2, "shift": 0.1}]),
    "Log": lambda rng, shape: rng.choice([{"shift": 12}, {"base": 2, "shift": 12}, {"scale": 0.05, "shift": 3}]),
    "Threshold": lambda rng, shape: _some(rng, 0.6, threshold=0.25),
    "Clip": lambda rng, shape: {"min": -0.5, "max": rng.choice([0.5, 1])},
    "Swish": lambda rng, shape: _some(rng, 0.4, beta=0.5),
    "Dropout": lambda rng, shape: _some(rng, 0.4, dropout_ratio=0.3),
    "Tile": lambda rng, shape: {"tiles": rng.randint(1, 3), **_axis(rng, shape)},
    "MVN": lambda rng, shape: _some(rng, 0.3, normalize_variance=False) | _some(rng, 0.3, across_channels=True),
    "Reduction": lambda rng, shape: {"operation": rng.choice(["SUM", "ASUM", "SUMSQ", "MEAN"]), **_axis(
        rng, shape, share=0.8), **_some(rng, 0.3, coeff=0.5)},
    "SPP": lambda rng, shape: {"pyramid_height": rng.randint(1, 3), **_some(rng, 0.5, pool="AVE")},
    "Accuracy": lambda rng, shape: _some(rng, 0.3, top_k=min(2, shape[1])) | _some(rng, 0.3, ignore_label=0),
    "HingeLoss": lambda rng, shape: _some(rng, 0.5, norm="L2"),
}

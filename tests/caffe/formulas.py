"""What each layer computes, said once more in plain torch operations, for autograd to differentiate.

In:   p: the LayerParameter; tops: what our layer gave (for shapes and random picks); x: bottoms; w: parameters,
      float64 leaves.
Out:  FORMULAS: type -> function(p, tops, x, w) -> tops, one for each differentiable layer type.
Not here: windows (formulas_windows.py), sequences (formulas_recurrent.py), the comparison (test_autograd.py).
Source: the formulas in the papers and in Caffe's documentation. `# Caffe:` where its gradient is not the derivative.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from tests.caffe import formulas_recurrent, formulas_windows

# -- one value at a time -----------------------------------------------------------------------


def _base(base):
    return 1.0 if base == -1 else math.log(base)


def _relu(p, tops, x, w):
    return [x[0].clamp_min(0) + p.relu_param.negative_slope * x[0].clamp_max(0)]


def _power(p, tops, x, w):
    return [(p.power_param.shift + p.power_param.scale * x[0]) ** p.power_param.power]


def _exp(p, tops, x, w):
    return [torch.exp(_base(p.exp_param.base) * (p.exp_param.shift + p.exp_param.scale * x[0]))]


def _log(p, tops, x, w):
    return [torch.log(p.log_param.shift + p.log_param.scale * x[0]) / _base(p.log_param.base)]


def _elu(p, tops, x, w):
    return [torch.where(x[0] > 0, x[0], p.elu_param.alpha * torch.expm1(x[0]))]


def _prelu(p, tops, x, w):
    slope = w[0] if p.prelu_param.channel_shared else _beside(w[0], x[0], 1)
    return [x[0].clamp_min(0) + slope * x[0].clamp_max(0)]


def _dropout(p, tops, x, w):
    return [x[0] * (tops[0] != 0) / (1 - p.dropout_param.dropout_ratio)]  # the mask is judged by genuine Caffe


# -- shapes ------------------------------------------------------------------------------------


def _concat(p, tops, x, w):
    param = p.concat_param
    return [torch.cat(x, param.concat_dim if param.HasField("concat_dim") else param.axis)]


def _slice(p, tops, x, w):
    param = p.slice_param
    axis = param.slice_dim if param.HasField("slice_dim") else param.axis
    return list(torch.split(x[0], [top.shape[axis] for top in tops], axis))


def _crop(p, tops, x, w):
    param, window = p.crop_param, [slice(None)] * x[0].ndim
    first = param.axis % x[0].ndim
    for axis in range(first, x[0].ndim):
        offsets = list(param.offset) or [0]
        start = offsets[0] if len(offsets) == 1 else offsets[axis - first]
        window[axis] = slice(start, start + x[1].shape[axis])
    return [x[0][tuple(window)]]


def _reduction(p, tops, x, w):
    param = p.reduction_param
    tail = x[0].flatten(param.axis % x[0].ndim)
    value = {param.SUM: tail, param.ASUM: tail.abs(), param.SUMSQ: tail.square(),
             param.MEAN: tail / tail.shape[-1]}[param.operation]
    return [value.sum(-1) * param.coeff]


# -- several bottoms, parameters ---------------------------------------------------------------


def _beside(values, x, axis):
    """View `values` so that its first axis lies on `axis` of x."""
    return values.reshape(values.shape + (1,) * (x.ndim - axis % max(x.ndim, 1) - values.ndim))


def _eltwise(p, tops, x, w):
    param = p.eltwise_param
    if param.operation == param.PROD:
        return [math.prod(x[1:], start=x[0])]
    if param.operation == param.MAX:
        return [torch.stack(x).amax(0)]
    factors = list(param.coeff) or [1] * len(x)
    return [sum(factor * one for factor, one in zip(factors, x, strict=True))]


def _scale(p, tops, x, w):
    factor, axis = (x[1] if len(x) > 1 else w[0]), p.scale_param.axis
    y = x[0] * (_beside(factor, x[0], axis) if factor.ndim else factor)
    if p.scale_param.bias_term:
        y = y + (_beside(w[-1], x[0], axis) if w[-1].ndim else w[-1])
    return [y]


def _bias(p, tops, x, w):
    added = x[1] if len(x) > 1 else w[0]
    return [x[0] + (_beside(added, x[0], p.bias_param.axis) if added.ndim else added)]


def _inner_product(p, tops, x, w):
    param = p.inner_product_param
    y = x[0].flatten(param.axis % x[0].ndim) @ (w[0] if param.transpose else w[0].T)
    return [y + w[1] if param.bias_term else y]


def _embed(p, tops, x, w):
    y = w[0][x[0].long()]
    return [y + w[1] if p.embed_param.bias_term else y]


def _filter(p, tops, x, w):
    kept = x[-1].reshape(-1) != 0
    return [one[kept] for one in x[:-1]]


def _batch_norm(p, tops, x, w):
    param = p.batch_norm_param
    axes = [0, *range(2, x[0].ndim)]
    if param.use_global_stats if param.HasField("use_global_stats") else p.phase == 1:
        mean, variance = (_beside((v / w[2]).detach(), x[0], 1) for v in w[:2])
    else:
        mean, variance = x[0].mean(axes, keepdim=True), x[0].var(axes, correction=0, keepdim=True)
    return [(x[0] - mean) / (variance + param.eps).sqrt()]


def _mvn(p, tops, x, w):
    param = p.mvn_param
    rows = x[0].reshape(x[0].shape[0], -1) if param.across_channels else x[0].flatten(0, 1).flatten(1)
    centred = rows - rows.mean(1, keepdim=True)
    if param.normalize_variance:
        variance = centred.square().mean(1, keepdim=True)
        deviation = (variance.sqrt() + param.eps).detach()
        # Caffe: deviation + eps counts as the deviation itself in the gradient
        centred = centred / (deviation + (variance - variance.detach()) / (2 * deviation))
    return [centred.reshape(tops[0].shape)]


def _softmax(p, tops, x, w):
    return [torch.softmax(x[0], p.softmax_param.axis)]


# -- losses ------------------------------------------------------------------------------------


def _normalizer(param, mode, outer, inner, valid):
    return max(1, {param.FULL: outer * inner, param.VALID: valid, param.BATCH_SIZE: outer, param.NONE: 1}[mode])


def _mode(param, unset, told):
    """Return normalization, or what the legacy `normalize` says: (not given, {its value: mode})."""
    if param.HasField("normalization"):
        return param.normalization
    return told[param.normalize] if param.HasField("normalize") else unset


def _pixels(p, axis, x):
    """Return scores (pixels, classes), their labels, which of them count, and what the loss is divided by."""
    param = p.loss_param
    axis %= x[0].ndim
    scores = x[0].movedim(axis, -1)
    labels = x[1].long().reshape(-1)
    valid = labels != param.ignore_label if param.HasField("ignore_label") else labels == labels
    mode = _mode(param, param.VALID, {True: param.VALID, False: param.BATCH_SIZE})
    outer = math.prod(x[0].shape[:axis])
    divisor = _normalizer(param, mode, outer, labels.numel() // outer, int(valid.sum()))
    return scores.reshape(-1, scores.shape[-1]), labels.where(valid, 0), valid, divisor


def _softmax_with_loss(p, tops, x, w):
    scores, labels, valid, divisor = _pixels(p, p.softmax_param.axis, x)
    return [functional.cross_entropy(scores[valid], labels[valid], reduction="sum") / divisor]


def _infogain(p, tops, x, w):
    scores, labels, valid, divisor = _pixels(p, p.infogain_loss_param.axis, x)
    gains = x[2].reshape(scores.shape[1], -1)[labels]
    return [-((gains * torch.log_softmax(scores, 1)).sum(1) * valid).sum() / divisor]


def _sigmoid_cross_entropy(p, tops, x, w):
    param, target = p.loss_param, x[1].reshape(x[0].shape)
    losses = functional.binary_cross_entropy_with_logits(x[0], target, reduction="none")
    valid = target.long() != param.ignore_label if param.HasField("ignore_label") else torch.ones_like(target)
    mode = _mode(param, param.BATCH_SIZE, {True: param.VALID, False: param.BATCH_SIZE})
    outer = x[0].shape[0]
    return [(losses * valid).sum() / _normalizer(param, mode, outer, x[0].numel() // outer, int(valid.sum()))]


def _euclidean(p, tops, x, w):
    return [(x[0] - x[1].reshape(x[0].shape)).square().sum() / (2 * x[0].shape[0])]


def _hinge(p, tops, x, w):
    rows = x[0].flatten(1)
    sign = 1 - 2 * functional.one_hot(x[1].long().reshape(-1), rows.shape[1])
    margins = (1 + sign * rows).clamp_min(0)
    squared = p.hinge_loss_param.norm == p.hinge_loss_param.L2
    return [(margins.square() if squared else margins).sum() / len(rows)]


def _multinomial(p, tops, x, w):
    rows = x[0].flatten(1)
    picked = rows.gather(1, x[1].long().reshape(-1, 1)).clamp_min(1e-20)
    return [-picked.log().sum() / len(rows)]


def _contrastive(p, tops, x, w):
    param, alike = p.contrastive_loss_param, x[2].reshape(-1) != 0
    apart = (x[0] - x[1]).flatten(1)
    squared = apart.square().sum(1)
    if param.legacy_version:
        pushed = (param.margin - squared).clamp_min(0)
    else:
        distance = squared.sqrt().detach()
        # Caffe: adds 1e-4 to the distance that the gradient is divided by
        moved = (squared - squared.detach()) / (2 * (distance + 1e-4))
        pushed = (param.margin - distance - moved).clamp_min(0).square()
    return [torch.where(alike, squared, pushed).sum() / (2 * len(apart))]


FORMULAS = {
    "AbsVal": lambda p, tops, x, w: [x[0].abs()],
    "BNLL": lambda p, tops, x, w: [torch.log1p(torch.exp(x[0]))],
    "BatchNorm": _batch_norm,
    "BatchReindex": lambda p, tops, x, w: [x[0][x[1].long()]],
    "Bias": _bias,
    "Clip": lambda p, tops, x, w: [x[0].clamp(p.clip_param.min, p.clip_param.max)],
    "Concat": _concat,
    "ContrastiveLoss": _contrastive,
    "Crop": _crop,
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Embed": _embed,
    "EuclideanLoss": _euclidean,
    "Exp": _exp,
    "Filter": _filter,
    "Flatten": lambda p, tops, x, w: [x[0].reshape(tops[0].shape)],
    "HingeLoss": _hinge,
    "InfogainLoss": _infogain,
    "InnerProduct": _inner_product,
    "Log": _log,
    "MVN": _mvn,
    "MultinomialLogisticLoss": _multinomial,
    "PReLU": _prelu,
    "Parameter": lambda p, tops, x, w: [w[0]],
    "Power": _power,
    "ReLU": _relu,
    "Reduction": _reduction,
    "Reshape": lambda p, tops, x, w: [x[0].reshape(tops[0].shape)],
    "Scale": _scale,
    "Sigmoid": lambda p, tops, x, w: [torch.sigmoid(x[0])],
    "SigmoidCrossEntropyLoss": _sigmoid_cross_entropy,
    "Silence": lambda p, tops, x, w: [],
    "Slice": _slice,
    "Softmax": _softmax,
    "SoftmaxWithLoss": _softmax_with_loss,
    "Split": lambda p, tops, x, w: [x[0]] * len(tops),
    "Swish": lambda p, tops, x, w: [x[0] * torch.sigmoid(p.swish_param.beta * x[0])],
    "TanH": lambda p, tops, x, w: [torch.tanh(x[0])],
    "Tile": lambda p, tops, x, w: [torch.cat([x[0]] * p.tile_param.tiles, p.tile_param.axis)],
    **formulas_windows.FORMULAS,
    **formulas_recurrent.FORMULAS,
}

"""Layers that go over windows, said once more in plain torch operations, place by place (see formulas.py).

Out:  FORMULAS: Convolution, Deconvolution, Im2col, LRN, Pooling, SPP.
Source: their definitions; Krizhevsky et al. 2012 (LRN), Zeiler and Fergus 2013 (STOCHASTIC), He et al. 2014 (SPP).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch.nn import functional


def _sides(param, field, default, count):
    """Return a setting for each of `count` spatial axes."""
    short = field.removesuffix("_size")
    if param.HasField(f"{short}_h"):
        return [getattr(param, f"{short}_h"), getattr(param, f"{short}_w")]
    given = list(getattr(param, field)) or [default]
    return given * count if len(given) == 1 else given


def _geometry(p, x):
    """Return the channel axis, the number of spatial axes, and kernel, stride, pad, dilation."""
    param, axis = p.convolution_param, p.convolution_param.axis % x.ndim
    count = x.ndim - axis - 1
    dilation = list(param.dilation) or [1]
    return axis, (_sides(param, "kernel_size", 0, count), _sides(param, "stride", 1, count),
                  _sides(param, "pad", 0, count), dilation * count if len(dilation) == 1 else dilation)


def _strip(start, stride, length):
    return slice(start, start + (length - 1) * stride + 1, stride)


def _folded(x, axis):
    """Return x (N, C, ...) with all axes before the channels in N."""
    return x.flatten(0, axis - 1) if axis > 1 else x


def _patches(x, kernel, stride, pad, dilation):
    """Yield (place in the kernel, what lies under it for every output), x being (N, C, ...)."""
    padded = functional.pad(x, [amount for one in reversed(pad) for amount in (one, one)])
    outputs = [(n - d * (k - 1) - 1) // s + 1
               for n, k, s, d in zip(padded.shape[2:], kernel, stride, dilation, strict=True)]
    for place in itertools.product(*map(range, kernel)):
        yield place, padded[(..., *(_strip(i * d, s, o)
                                    for i, d, s, o in zip(place, dilation, stride, outputs, strict=True)))]


def _convolution(p, tops, x, w):
    tops_, group = [], p.convolution_param.group
    for one in x:
        axis, geometry = _geometry(p, one)
        total = 0
        for place, patch in _patches(_folded(one, axis), *geometry):
            weight = w[0][(..., *place)]
            total = total + torch.cat([torch.einsum("nc...,oc->no...", a, b) for a, b in
                                       zip(patch.chunk(group, 1), weight.chunk(group), strict=True)], 1)
        if len(w) > 1:
            total = total + w[1].reshape(-1, *[1] * (total.ndim - 2))
        tops_.append(total.reshape(*one.shape[:axis], *total.shape[1:]))
    return tops_


def _deconvolution(p, tops, x, w):
    _, (kernel, stride, pad, dilation) = _geometry(p, x[0])
    group, sizes = p.convolution_param.group, x[0].shape[2:]
    whole = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    canvas = x[0].new_zeros(x[0].shape[0], w[0].shape[1] * group, *whole)
    for place in itertools.product(*map(range, kernel)):
        weight = w[0][(..., *place)]
        part = torch.cat([torch.einsum("nc...,co->no...", a, b) for a, b in
                          zip(x[0].chunk(group, 1), weight.chunk(group), strict=True)], 1)
        canvas[(..., *(_strip(i * d, s, n) for i, d, s, n in zip(place, dilation, stride, sizes, strict=True)))] += part
    inner = canvas[(..., *(slice(q, n - q) for q, n in zip(pad, whole, strict=True)))]
    return [inner + w[1].reshape(-1, *[1] * len(sizes)) if len(w) > 1 else inner]


def _im2col(p, tops, x, w):
    tops_ = []
    for one in x:
        axis, geometry = _geometry(p, one)
        rows = torch.stack([patch for _, patch in _patches(_folded(one, axis), *geometry)], 2)
        tops_.append(rows.flatten(1, 2).reshape(*one.shape[:axis], -1, *rows.shape[3:]))
    return tops_


def _pool(x, kernel, stride, pad, shape, mean):
    """Pool every window of (N, C, H, W); a window is cut at the padded edge, and a mean counts the padding."""
    rows = []
    for cell in itertools.product(*map(range, shape)):
        start = [i * s - q for i, s, q in zip(cell, stride, pad, strict=True)]
        end = [min(b + k, n + q) for b, k, n, q in zip(start, kernel, x.shape[2:], pad, strict=True)]
        window = x[(..., *(slice(max(b, 0), max(e, 0)) for b, e in zip(start, end, strict=True)))].flatten(2)
        rows.append(window.sum(2) / math.prod(e - b for b, e in zip(start, end, strict=True)) if mean
                    else window.amax(2))
    return torch.stack(rows, 2).reshape(*x.shape[:2], *shape)


def _pooling(p, tops, x, w):
    param, sizes = p.pooling_param, list(x[0].shape[2:])
    if param.pool == param.STOCHASTIC:  # which value was picked, the layer alone knows; every value is there once
        flat = x[0].flatten(2)
        picks = (flat.unsqueeze(2) == tops[0].flatten(2).unsqueeze(3)).to(torch.uint8).argmax(3)
        return [flat.gather(2, picks).reshape(tops[0].shape)]
    kernel = sizes if param.global_pooling else _pair(param, "kernel_size", 0)
    y = _pool(x[0], kernel, _pair(param, "stride", 1), _pair(param, "pad", 0), tops[0].shape[2:],
              param.pool == param.AVE)
    return [y]  # places of maxima, a second top, take no gradient


def _pair(param, field, default):
    short = field.removesuffix("_size")
    if param.HasField(f"{short}_h"):
        return [getattr(param, f"{short}_h"), getattr(param, f"{short}_w")]
    return [getattr(param, field) if param.HasField(field) else default] * 2


def _spp(p, tops, x, w):
    levels = []
    for level in range(p.spp_param.pyramid_height):
        bins = 2 ** level
        kernel = [-(-n // bins) for n in x[0].shape[2:]]
        pad = [(k * bins - n + 1) // 2 for k, n in zip(kernel, x[0].shape[2:], strict=True)]
        levels.append(_pool(x[0], kernel, kernel, pad, [bins, bins], p.spp_param.pool == p.spp_param.AVE).flatten(1))
    return [torch.cat(levels, 1).reshape(tops[0].shape)]


def _lrn(p, tops, x, w):
    param, size = p.lrn_param, p.lrn_param.local_size
    squares, reach = x[0].square(), size // 2
    if param.norm_region == param.WITHIN_CHANNEL:
        mean = functional.avg_pool2d(functional.pad(squares, [reach] * 4), size, 1)
        return [x[0] * (1 + param.alpha * mean) ** -param.beta]
    padded = functional.pad(squares, [0, 0, 0, 0, reach, reach])
    total = sum(padded[:, i:i + x[0].shape[1]] for i in range(size))
    return [x[0] * (param.k + param.alpha / size * total) ** -param.beta]


FORMULAS = {"Convolution": _convolution, "Deconvolution": _deconvolution, "Im2col": _im2col, "LRN": _lrn,
            "Pooling": _pooling, "SPP": _spp}

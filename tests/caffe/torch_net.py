"""A net by torch autograd, in float64: an oracle that is exact where Caffe's float32 rounds.

In:   a prototxt, weights, inputs; `decided`, the blobs of a float32 pass whose decisions are to be followed.
Out:  Run: values of all blobs, their gradients and those of the weights.
Not here: which nets, bounds (architectures). Layers as far as those nets have them; others end with an AttributeError.

A ReLU and a MAX pooling decide by comparing, and where two values are closer than float32 rounds, a right engine may
decide either way; each such place moves gradients far more than rounding does. With `decided`, both follow what the
float32 pass decided: a ReLU passes where that pass's top is positive, a pooling takes the place of the maximum of that
pass's bottom. What is left are sums and products, in which engines differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from google.protobuf import text_format

from caffe.proto import caffe_pb2


@dataclass(frozen=True)
class Run:
    """What came of a pass."""

    data: dict[str, np.ndarray]  # each blob's last value
    diff: dict[str, np.ndarray]  # each blob's gradient as its first layer's top, as Caffe leaves it
    param_diff: dict[str, np.ndarray]  # "layer/number", of those who own the weights
    statistics: dict[str, np.ndarray]  # "layer/number", what BatchNorm has learned
    summands: dict[str, float]  # of a Scale's param_diff: the root of the sum of squares of what it sums, the largest
    places: dict[str, tuple[str, int, int]]  # blobs of where maxima were: the pooling's bottom, kernel, stride


class TorchNet:
    """One pass of a net."""

    def __init__(self, text: str, train: bool, weights: Mapping[str, list[torch.Tensor]], seed: int = 0,
                 decided: Mapping[str, np.ndarray] | None = None, dtype: torch.dtype = torch.float64) -> None:
        self.message = text_format.Parse(text, caffe_pb2.NetParameter())
        self.train, self.decided, self.dtype = train, decided or {}, dtype
        self.random = np.random.MT19937()
        self.random._legacy_seeding(seed)
        self.params = {name: [values.to(dtype).detach() for values in blobs]
                       for name, blobs in weights.items()}
        self.blobs: dict[str, torch.Tensor] = {}
        self.first: dict[str, torch.Tensor] = {}
        self.owners: dict[str, str] = {}
        self.scaled: dict[str, tuple[torch.Tensor, torch.Tensor, list[int]]] = {}
        self.losses: list[torch.Tensor] = []
        self.places: dict[str, tuple[str, int, int]] = {}
        self.learned: dict[str, np.ndarray] = {}

    def run(self, inputs: Mapping[str, np.ndarray], backward: bool = False) -> Run:
        """Do a forward pass and, where asked, a backward one."""
        owned = {}
        with torch.set_grad_enabled(backward):
            for layer in self.message.layer:
                weights = self.weights_of(layer)
                for number, values in enumerate(weights):
                    if layer.type != "BatchNorm" and self.owners.get(layer.name, layer.name) == layer.name:
                        owned[f"{layer.name}/{number}"] = values.requires_grad_(backward)
                if layer.type == "Input":
                    tops = [torch.tensor(inputs[layer.top[0]], dtype=self.dtype)]
                else:
                    tops = getattr(self, layer.type.lower())(layer, weights, *(self.blobs[b] for b in layer.bottom))
                    tops = list(tops) if isinstance(tops, tuple) else [tops]
                self.keep(layer, tops)
        if backward:
            sum(self.losses).backward()
        return Run({name: blob.detach().numpy() for name, blob in self.blobs.items()}, self.gradients(),
                   {name: values.grad.numpy() for name, values in owned.items() if values.grad is not None},
                   self.learned, self.summands(), self.places)

    def weights_of(self, layer) -> list[torch.Tensor]:
        """Return a layer's weights; those of another layer where they are shared by name."""
        own = self.params.get(layer.name, [])
        names = [param.name for param in layer.param if param.name]
        if names:
            owner = self.owners.setdefault(names[0], layer.name)
            self.owners[layer.name] = owner
            return self.params[owner]
        return own

    def keep(self, layer, tops: list[torch.Tensor]) -> None:
        """Store a layer's tops, and the loss."""
        for number, (name, top) in enumerate(zip(layer.top, tops)):
            if layer.type == "Flatten":  # its gradient is its bottom's memory, which layers below write, too
                self.first[name] = self.first[layer.bottom[0]]
            elif name not in layer.bottom:
                self.first[name] = top
                if top.requires_grad:
                    top.retain_grad()
            self.blobs[name] = top
            default = 1.0 if layer.type.endswith("Loss") and number == 0 else 0.0
            weight = layer.loss_weight[number] if number < len(layer.loss_weight) else default
            if weight:
                self.losses.append(weight * top.sum())

    def gradients(self) -> dict[str, np.ndarray]:
        """Return each blob's gradient."""
        return {name: top.grad.numpy() for name, top in self.first.items() if top.grad is not None}

    def summands(self) -> dict[str, float]:
        """Return the size that a Scale's gradients would have if what they sum had random signs."""
        found = {}
        for name, (x, top, axes) in self.scaled.items():
            for number, terms in enumerate((top.grad * x, top.grad)):
                found[f"{name}/{number}"] = float((terms ** 2).sum(axes).max().sqrt())
        return found

    # -- layers with weights

    def convolution(self, layer, weights, x):
        p = layer.convolution_param
        stride, pad = (p.stride or [1])[0], (p.pad_h, p.pad_w) if p.HasField("pad_h") else (p.pad or [0])[0]
        return F.conv2d(x, weights[0], *weights[1:], stride=stride, padding=pad, groups=p.group)

    def innerproduct(self, layer, weights, x):
        return F.linear(x.flatten(layer.inner_product_param.axis), *weights)

    def embed(self, layer, weights, x):
        return F.embedding(x.long(), weights[0])

    def batchnorm(self, layer, weights, x):
        p, axes, mean, var = layer.batch_norm_param, (0, *range(2, x.dim())), *weights[:2]
        if p.use_global_stats if p.HasField("use_global_stats") else not self.train:
            mean, var = mean / weights[2], var / weights[2]
        else:
            mean, var, count = x.mean(axes), x.var(axes, unbiased=False), x.numel() / x.shape[1]
            fraction = p.moving_average_fraction
            new = mean, var * (count / (count - 1) if count > 1 else 1), torch.ones(1, dtype=self.dtype)
            self.learned.update((f"{layer.name}/{i}", (fraction * old + one).detach().numpy())
                                for i, (old, one) in enumerate(zip(weights, new)))
        shape = (1, -1, *[1] * (x.dim() - 2))
        return (x - mean.view(shape)) / torch.sqrt(var.view(shape) + p.eps)

    def scale(self, layer, weights, x, by=None):
        axis = layer.scale_param.axis
        factors = [*([] if by is None else [by]), *weights]
        shape = [1] * axis + list(factors[0].shape) + [1] * (x.dim() - axis - factors[0].dim())
        top = x * factors[0].view(shape)
        top = top + factors[1].view(shape) if layer.scale_param.bias_term else top
        if weights and top.requires_grad:
            top.retain_grad()
            self.scaled[layer.name] = x.detach(), top, [i for i, size in enumerate(shape) if size == 1]
        return top

    def prelu(self, layer, weights, x):
        slope = weights[0].view(1, -1, *[1] * (x.dim() - 2))
        return torch.where(self.positive(layer, x), x, slope * x)

    def lstm(self, layer, weights, x, cont, static=None):
        (steps, count), units = x.shape[:2], layer.recurrent_param.num_output
        inputs = F.linear(x, weights[0], weights[1])
        if static is not None:
            inputs = inputs + F.linear(static, weights[2])
        h = c = torch.zeros(count, units, dtype=self.dtype)
        tops = []
        for step in range(steps):
            going_on = cont[step].view(-1, 1)
            i, f, o, g = (inputs[step] + F.linear(going_on * h, weights[-1])).split(units, 1)
            c = going_on * torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            tops.append(h)
        return torch.stack(tops)

    # -- layers that decide

    def positive(self, layer, x):
        """Return where x counts as positive."""
        name = layer.top[0]
        return torch.tensor(self.decided[name] > 0) if name in self.decided else x > 0

    def relu(self, layer, weights, x):
        return torch.where(self.positive(layer, x), x, torch.zeros((), dtype=self.dtype))

    def pooling(self, layer, weights, x):
        p = layer.pooling_param
        kernel = x.shape[2:] if p.global_pooling else p.kernel_size
        how = {"stride": p.stride, "padding": p.pad, "ceil_mode": True}
        if p.pool == p.AVE:
            return F.avg_pool2d(x, kernel, **how)
        name = layer.bottom[0]
        of = torch.tensor(self.decided[name], dtype=self.dtype) if name in self.decided else x.detach()
        places = F.max_pool2d(of, kernel, **how, return_indices=True)[1]
        top = x.flatten(2).gather(2, places.flatten(2)).view(places.shape)
        self.places.update((top, (name, p.kernel_size, p.stride)) for top in layer.top[1:])
        return (top, places.to(self.dtype)) if len(layer.top) > 1 else top

    def dropout(self, layer, weights, x):
        if not self.train:
            return x
        ratio = np.float32(layer.dropout_param.dropout_ratio)
        draws = self.random.random_raw(x.numel()).astype(np.float32)
        kept = draws <= np.float32(1 - ratio) * np.float32(2**32 - 1)
        return x * torch.tensor(kept.reshape(x.shape)) / (1 - float(ratio))

    # -- layers without weights

    def lrn(self, layer, weights, x):
        p = layer.lrn_param
        if p.norm_region == p.ACROSS_CHANNELS:
            return F.local_response_norm(x, p.local_size, p.alpha, p.beta, p.k)
        mean = F.avg_pool2d(x * x, p.local_size, 1, p.local_size // 2)
        return x * (1 + p.alpha * mean) ** -p.beta

    def eltwise(self, layer, weights, *bottoms):
        assert layer.eltwise_param.operation == layer.eltwise_param.SUM and not layer.eltwise_param.coeff
        return sum(bottoms)

    def concat(self, layer, weights, *bottoms):
        return torch.cat(bottoms, 1)

    def slice(self, layer, weights, x):
        return x.chunk(len(layer.top), layer.slice_param.axis)

    def flatten(self, layer, weights, x):
        return x.flatten(1)

    def sigmoid(self, layer, weights, x):
        return torch.sigmoid(x)

    def softmax(self, layer, weights, x):
        return torch.softmax(x, layer.softmax_param.axis)

    # -- losses

    def softmaxwithloss(self, layer, weights, x, label):
        axis = layer.softmax_param.axis
        picked = torch.log_softmax(x, axis).gather(axis, label.long().view(*x.shape[:axis], 1, *x.shape[axis + 1:]))
        return -picked.mean()

    def euclideanloss(self, layer, weights, a, b):
        return ((a - b) ** 2).sum() / (2 * len(a))

    def contrastiveloss(self, layer, weights, a, b, alike):
        difference, margin = a - b, layer.contrastive_loss_param.margin
        squared = (difference ** 2).sum(1)
        short = (margin - squared.sqrt()).clamp(min=0)
        value = alike * squared + (1 - alike) * short ** 2
        # Caffe's gradient divides by the distance + 1e-4
        slope = 2 * difference * (alike - (1 - alike) * short / (squared.sqrt() + 1e-4)).view(-1, 1).detach()
        linear = (slope.detach() * difference).sum()
        return (value.sum().detach() + linear - linear.detach()) / (2 * len(a))

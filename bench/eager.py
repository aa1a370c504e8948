"""FCN-32s, -16s and -8s as one writes them in plain PyTorch, to measure against.

In:   the weights of a net of ours by layer name; they say how wide it is and what its stride is.
Out:  a module whose scores are the same; its SGD as the solver's, bias twice as fast and not decayed.
Not here: anything that would make it faster than what a good user writes.
Source: Long et al. 2015; the prototxts of models/.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DEPTHS = (2, 2, 3, 3, 3)
CROPS = {32: {"upscore": 19}, 16: {"score_pool4": 5, "upscore16": 27},
         8: {"score_pool4": 5, "score_pool3": 9, "upscore8": 31}}
UPSAMPLED = {32: {"upscore": 32}, 16: {"upscore2": 2, "upscore16": 16},
             8: {"upscore2": 2, "upscore_pool4": 2, "upscore8": 8}}


class Fcn(nn.Module):
    """A fully convolutional VGG16 with skips down to stride 32, 16 or 8."""

    def __init__(self, weights: Mapping[str, np.ndarray], dropout: float) -> None:
        super().__init__()
        self.stride = 8 if "upscore8/0" in weights else 16 if "upscore16/0" in weights else 32
        self.drop = nn.Dropout(dropout)
        ups = UPSAMPLED[self.stride]
        for name in dict.fromkeys(key.split("/")[0] for key in weights):
            shape = weights[f"{name}/0"].shape
            if name in ups:
                layer = nn.ConvTranspose2d(shape[0], shape[1], shape[2], ups[name], bias=False)
                layer.weight.requires_grad_(False)
            else:
                pad = 100 if name == "conv1_1" else 1 if name.startswith("conv") else 0
                layer = nn.Conv2d(shape[1], shape[0], shape[2], padding=pad)
                layer.bias.data.copy_(torch.from_numpy(weights[f"{name}/1"]))
            layer.weight.data.copy_(torch.from_numpy(weights[f"{name}/0"]))
            self.add_module(name, layer)

    def trunk(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return pool3, pool4 and the scores at stride 32."""
        pools = []
        for stage, depth in enumerate(DEPTHS, 1):
            for i in range(1, depth + 1):
                x = F.relu(getattr(self, f"conv{stage}_{i}")(x), inplace=True)
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            pools.append(x)
        x = self.drop(F.relu(self.fc6(x), inplace=True))
        x = self.drop(F.relu(self.fc7(x), inplace=True))
        return pools[2], pools[3], self.score_fr(x)

    def forward(self, image: Tensor) -> Tensor:
        """Return scores (N, K, H, W) of an image (N, 3, H, W)."""
        pool3, pool4, score = self.trunk(image)
        if self.stride == 32:
            return self.cropped("upscore", self.upscore(score), image)
        score = self.upscore2(score)
        score = score + self.cropped("score_pool4", self.score_pool4(pool4), score)
        if self.stride == 16:
            return self.cropped("upscore16", self.upscore16(score), image)
        score = self.upscore_pool4(score)
        score = score + self.cropped("score_pool3", self.score_pool3(pool3), score)
        return self.cropped("upscore8", self.upscore8(score), image)

    def cropped(self, name: str, x: Tensor, like: Tensor) -> Tensor:
        """Return the window of `x` that lies over `like`."""
        at, (height, width) = CROPS[self.stride][name], like.shape[2:]
        return x[:, :, at:at + height, at:at + width]


def sgd(net: Fcn, lr: float, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """Return the update rule of the solver: biases learn twice as fast and do not decay."""
    named = [(name, param) for name, param in net.named_parameters() if param.requires_grad]
    return torch.optim.SGD([
        {"params": [param for name, param in named if name.endswith("weight")]},
        {"params": [param for name, param in named if name.endswith("bias")], "lr": 2 * lr, "weight_decay": 0},
    ], lr=lr, momentum=momentum, weight_decay=weight_decay)

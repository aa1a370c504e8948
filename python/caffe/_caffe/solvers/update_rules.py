"""Nesterov, AdaGrad, RMSProp, AdaDelta and Adam: how each turns a gradient into an update, in Caffe's order.

In:   blocks of parameters whose diffs are clipped, averaged and decayed (sgd_solver).
Out:  block.diff holds the update; block.history what the rule remembers.
Not here: the steps before and after a rule (sgd_solver), names (factory).
Source: BVLC solvers/{nesterov,adagrad,rmsprop,adadelta,adam}_solver.cpp.
"""

from __future__ import annotations

import numpy as np
import torch

from ..errors import SolverError
from .sgd_solver import Block, SGDSolver


def _scaled(block: Block, updates: list[torch.Tensor], rate: float) -> None:
    """Set the diffs to `rate` times the updates."""
    if rate:
        torch._foreach_copy_(block.diff, torch._foreach_mul(updates, rate))
    else:  # Caffe: BLAS skips a product with 0, so frozen parameters survive a gradient of inf
        torch._foreach_zero_(block.diff)


def _fade_in_square(history: list[torch.Tensor], values: list[torch.Tensor], kept: float) -> None:
    """History = kept * history + (1 - kept) * values²."""
    torch._foreach_mul_(history, kept)
    torch._foreach_add_(history, torch._foreach_mul(values, values), alpha=float(np.float32(1) - np.float32(kept)))


class NesterovSolver(SGDSolver):
    """Nesterov's accelerated gradient: V' = momentum V + lr g, W -= (1 + momentum) V' - momentum V."""

    type = "Nesterov"
    keeps_moving = True

    def compute_update_value(self, block: Block, local_rate: float) -> None:
        """Step back, then over step."""
        momentum, (history,) = self.param.momentum, block.history
        before = torch._foreach_mul(history, -momentum)
        torch._foreach_mul_(history, momentum)
        if local_rate:  # Caffe: as in SGD
            torch._foreach_add_(history, block.diff, alpha=local_rate)
        torch._foreach_copy_(block.diff, torch._foreach_add(before, history, alpha=1 + momentum))


class AdaGradSolver(SGDSolver):
    """W -= lr g / (sqrt(sum g²) + delta). Source: Duchi et al. 2011."""

    type = "AdaGrad"
    keeps_moving = False

    def _check_ready(self) -> None:
        super()._check_ready()
        _refuse_momentum(self)

    def compute_update_value(self, block: Block, local_rate: float) -> None:
        """Divide by the root of the sum of squares."""
        (history,) = block.history
        torch._foreach_add_(history, torch._foreach_mul(block.diff, block.diff))
        _scaled(block, _divided_by_root(block.diff, history, self.param.delta), local_rate)


class RMSPropSolver(SGDSolver):
    """W -= lr g / (sqrt(E[g²]) + delta), E fading by rms_decay. Source: Tieleman and Hinton 2012."""

    type = "RMSProp"
    keeps_moving = False

    def _check_ready(self) -> None:
        super()._check_ready()
        _refuse_momentum(self)
        if not 0 <= self.param.rms_decay < 1:
            raise SolverError(f"rms_decay should lie between 0 and 1; got {self.param.rms_decay:g}")

    def compute_update_value(self, block: Block, local_rate: float) -> None:
        """Divide by the root of the fading mean of squares."""
        (history,) = block.history
        _fade_in_square(history, block.diff, self.param.rms_decay)
        _scaled(block, _divided_by_root(block.diff, history, self.param.delta), local_rate)


class AdaDeltaSolver(SGDSolver):
    """W -= lr g sqrt((E[u²] + delta) / (E[g²] + delta)), u the update before lr. Source: Zeiler 2012.

    Caffe: momentum is what fades both means.
    """

    type = "AdaDelta"
    keeps_moving = False
    history_sets = 2

    def compute_update_value(self, block: Block, local_rate: float) -> None:
        """Scale by the ratio of the two means' roots."""
        delta, momentum, (gradients, updates) = self.param.delta, self.param.momentum, block.history
        _fade_in_square(gradients, block.diff, momentum)
        ratio = torch._foreach_add(updates, delta)
        torch._foreach_div_(ratio, torch._foreach_add(gradients, delta))
        torch._foreach_sqrt_(ratio)
        torch._foreach_mul_(block.diff, ratio)
        _fade_in_square(updates, block.diff, momentum)
        _scaled(block, block.diff, local_rate)


class AdamSolver(SGDSolver):
    """W -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + delta), t = iter + 1. Source: Kingma and Ba 2015.

    b1 is `momentum`, b2 `momentum2`.
    """

    type = "Adam"
    keeps_moving = False
    history_sets = 2

    def compute_update_value(self, block: Block, local_rate: float) -> None:
        """Divide the fading mean by the root of the fading mean of squares."""
        beta1, beta2, t = np.float32(self.param.momentum), np.float32(self.param.momentum2), self._iter + 1
        one = np.float32(1)
        correction = np.sqrt(one - beta2 ** np.float32(t)) / (one - beta1 ** np.float32(t))
        means, squares = block.history
        torch._foreach_mul_(means, float(beta1))
        torch._foreach_add_(means, block.diff, alpha=float(one - beta1))
        _fade_in_square(squares, block.diff, float(beta2))
        _scaled(block, _divided_by_root(means, squares, self.param.delta), local_rate * float(correction))


def _divided_by_root(values: list[torch.Tensor], squares: list[torch.Tensor], delta: float) -> list[torch.Tensor]:
    """Return values / (sqrt(squares) + delta)."""
    roots = list(torch._foreach_sqrt(squares))
    torch._foreach_add_(roots, delta)
    return list(torch._foreach_div(values, roots))


def _refuse_momentum(solver: SGDSolver) -> None:
    if solver.param.momentum:
        raise SolverError(f"Momentum cannot be used with {solver.type}; got {solver.param.momentum:g}, want 0")

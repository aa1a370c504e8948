"""The learning rate of an iteration, by Caffe's seven policies.

In:   a SolverParameter, the iteration, and the step that multistep has reached.
Out:  the rate, before lr_mult, rounded as Caffe's float; the step reached.
Not here: momentum, decay (sgd_solver).   Source: BVLC solvers/sgd_solver.cpp, GetLearningRate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import SolverError

_F32 = np.float32


def check(param: Any) -> None:
    """Refuse a policy that is unknown or lacks what it needs, before any iteration runs.

    Raises:
        SolverError: naming the policy, the field and what is wanted.
    """
    policy = param.lr_policy
    if policy not in POLICIES:
        got = f"Unknown learning rate policy: {policy}" if policy else "lr_policy is missing"
        raise SolverError(f"{got}; known are {', '.join(POLICIES)}")
    if policy not in ("fixed", "poly") and not param.gamma >= 0:
        raise SolverError(f"lr_policy '{policy}': got gamma {param.gamma:g}, want gamma >= 0")
    if policy in ("step", "sigmoid") and not param.stepsize > 0:
        raise SolverError(f"lr_policy '{policy}': got stepsize {param.stepsize}, want stepsize > 0")
    if policy == "poly" and not param.max_iter > 0:
        raise SolverError(f"lr_policy 'poly': got max_iter {param.max_iter}, want max_iter > 0")


def learning_rate(param: Any, iteration: int, current_step: int) -> tuple[float, int]:
    """Return (rate, current_step) for an iteration, counted from 0.

    Args:
        param: SolverParameter; lr_policy, base_lr, and by policy gamma, power, stepsize, stepvalue,
            max_iter.
        iteration: how often the weights have been updated.
        current_step: how many stepvalues were passed (multistep).

    Raises:
        SolverError: see `check`.
    """
    check(param)
    with np.errstate(all="ignore"):  # poly beyond max_iter is nan, as in Caffe
        factor, current_step = POLICIES[param.lr_policy](param, iteration, current_step)
        return float(_F32(np.float64(param.base_lr) * factor)), current_step


def _fixed(param: Any, iteration: int, step: int) -> tuple[Any, int]:
    return 1.0, step


def _step(param: Any, iteration: int, step: int) -> tuple[Any, int]:
    step = iteration // param.stepsize
    return np.float64(param.gamma) ** step, step


def _exp(param: Any, iteration: int, step: int) -> tuple[Any, int]:
    return np.float64(param.gamma) ** iteration, step


def _inv(param: Any, iteration: int, step: int) -> tuple[Any, int]:
    return (_F32(1) + _F32(param.gamma) * _F32(iteration)) ** _F32(-param.power), step


def _multistep(param: Any, iteration: int, step: int) -> tuple[Any, int]:
    # Caffe: at most one step per iteration, so several equal or passed stepvalues take several iterations.
    if step < len(param.stepvalue) and iteration >= param.stepvalue[step]:
        step += 1
    return np.float64(param.gamma) ** step, step


def _poly(param: Any, iteration: int, step: int) -> tuple[Any, int]:
    done = _F32(iteration) / _F32(param.max_iter)
    return (_F32(1) - done) ** _F32(param.power), step


def _sigmoid(param: Any, iteration: int, step: int) -> tuple[Any, int]:
    distance = _F32(iteration) - _F32(param.stepsize)
    growth = _F32(np.exp(np.float64(-_F32(param.gamma) * distance)))  # as C's expf: rounded once
    return _F32(1) / (_F32(1) + growth), step


POLICIES: dict[str, Callable[[Any, int, int], tuple[Any, int]]] = {
    "fixed": _fixed, "step": _step, "exp": _exp, "inv": _inv, "multistep": _multistep,
    "poly": _poly, "sigmoid": _sigmoid,
}

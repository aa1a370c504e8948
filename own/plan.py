"""How a training on own images goes: its stages, their iterations and learning rates.

In:   initial weights, the net asked for, the number of images, perhaps a budget of minutes and a measured pace.
Out:  stages, each with a recipe as the zoo's nets have.
Not here: nets and weights (nets, weights).
Source: measured on the embedded set and on VOC's photographs (solvers/recipes.py); Long et al., section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from nets.squeezenet import SqueezeNet
from nets.vgg16 import Vgg16
from own import OwnError
from own.weights import Start
from solvers.recipes import Recipe

STRIDES: Dict[str, Tuple[int, ...]] = {"32s": (32,), "16s": (32, 16), "8s": (32, 16, 8), "staged": (32, 16, 8),
                                       "8s-atonce": (8,)}
_SHARES: Dict[int, Tuple[float, ...]] = {1: (1.0,), 2: (0.6, 0.4), 3: (0.3, 0.25, 0.45)}
# Rates for the loss averaged over pixels. The release sums it: 1e-10 there is about 2e-5 here, at momentum .99
# where ours is .9, hence ten times that for the same step.
SLIM_RATES = {32: 0.008, 16: 0.006, 8: 0.004}
SQUEEZENET_RATE, WIDE_RATE = 4e-4, 2e-4
_SCORINGS = 4  # in each stage


@dataclass(frozen=True)
class Stage:
    """One training: a stride and how it learns."""

    name: str  # 32s, 16s, 8s or 8s-atonce
    stride: int
    recipe: Recipe

    @property
    def at_once(self) -> bool:
        """Whether the skips are learned from the start."""
        return self.name.endswith("atonce")


def iterations(start: Start, images: int) -> int:
    """Choose how many iterations all stages have together, by the number of training images."""
    if start.slim:
        return min(40000, max(2000, 40 * images))
    return min(60000, max(2400, 25 * images))


def net_for(start: Start, net: Optional[str]) -> str:
    """Give the net asked for, or the finest that the trunk has.

    Raises:
        OwnError: unknown, or the trunk has none of this stride.
    """
    if net is None:
        return "8s" if isinstance(start.trunk, (Vgg16, SqueezeNet)) else "32s"
    if net not in STRIDES:
        raise OwnError(f"--net '{net}'; want one of {', '.join(STRIDES)}")
    if isinstance(start.trunk, SqueezeNet) and net in ("32s", "16s"):
        raise OwnError(f"--net {net}: SqueezeNet has one head, of stride 8; use --net 8s, or other --init weights")
    if not isinstance(start.trunk, (Vgg16, SqueezeNet)) and net != "32s":
        raise OwnError(f"--net {net}: {type(start.trunk).__name__} has no skips here; use --net 32s, or other --init "
                       "weights")
    return net


def stages_of(start: Start, net: Optional[str], total: int, val_images: int, seed: int) -> List[Stage]:
    """Plan the stages.

    Args:
        start: initial weights. A SqueezeNet has its own head of stride 8, learned at once; an FCN with skips as
            fine as those asked for is not taken back to coarser ones.
        net: a key of STRIDES, or None for the finest that the trunk has.
        total: iterations of all stages together.
        val_images: how many images are scored.
        seed: of the solvers.

    Raises:
        OwnError: the trunk has no such net.
    """
    net = net_for(start, net)
    strides = (8,) if isinstance(start.trunk, SqueezeNet) else STRIDES[net]
    if start.stride is not None and start.stride <= strides[-1]:
        strides = strides[-1:]
    suffix = "-atonce" if net == "8s-atonce" and not isinstance(start.trunk, SqueezeNet) else ""
    return [Stage(f"{stride}s{suffix}", stride, _recipe(start, stride, max(1, round(share * total)), val_images, seed))
            for stride, share in zip(strides, _SHARES[len(strides)])]


def _recipe(start: Start, stride: int, max_iter: int, val_images: int, seed: int) -> Recipe:
    if isinstance(start.trunk, SqueezeNet):
        rate, clip = SQUEEZENET_RATE, 0.5
    elif start.slim:
        rate, clip = SLIM_RATES[stride], 2.0
    else:
        rate, clip = WIDE_RATE, 2.0
    surgery = ("interp",) if start.path is not None or stride < 32 else ("identity_plus", "interp")
    return Recipe("own", None, base_lr=rate, max_iter=max_iter, step=max(1, -(-max_iter // _SCORINGS)),
                  surgery=surgery, momentum=0.9, lr_policy="poly", power=0.9, clip_gradients=clip,
                  snapshot=min(200, max_iter), test_iter=val_images, random_seed=seed)


def within(minutes: float, pace: float, val_images: int, stages: int) -> int:
    """Give the iterations that fit into a budget.

    Args:
        minutes: for all of the training.
        pace: measured seconds of an iteration.
        val_images: scored in each scoring; a pass takes some third of an iteration.
        stages: how many.
    """
    scoring = stages * _SCORINGS * val_images * pace * 0.4
    return max(20 * stages, int((0.9 * 60 * minutes - scoring) / pace))


def expected_minutes(total: int, pace: float, val_images: int, stages: int) -> float:
    """Give the minutes that a training will take at a measured pace."""
    return (total * pace + stages * _SCORINGS * val_images * pace * 0.4) / 60

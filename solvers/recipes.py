"""How every net was, or is, trained: one row a net.

In:   a net's name.
Out:  its Recipe, and the SolverParameter that says the same to Caffe.
Not here: running (solve), files (prototxt emission is in __main__).
Source: the released solver.prototxt and solve.py of each net; our own rows are tuned by measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from caffe.proto import caffe_pb2
from solvers import SolveError

NEVER = 999999999  # the solver tests nothing by itself: the solve loop scores


@dataclass(frozen=True)
class Recipe:
    """One training: where it starts, Caffe's solver values, how often it is scored."""

    dataset: str  # in data.sets
    init: Optional[str]  # caffemodel to start from, from the project's root; None: the net's fillers
    base_lr: float
    max_iter: int
    step: int  # iterations from one scoring to the next
    surgery: Tuple[str, ...] = ("interp",)
    momentum: float = 0.99
    lr_policy: str = "fixed"
    power: Optional[float] = None  # of the policy `poly`
    weight_decay: float = 0.0005
    clip_gradients: Optional[float] = None
    iter_size: int = 1
    snapshot: int = 4000
    test_iter: int = 736
    random_seed: Optional[int] = None
    score: str = "segmentation"  # or classification


def heavy(init: str, base_lr: float, max_iter: int = 100000) -> Recipe:
    """Give a training of the release: one image a step, high momentum, the loss summed over pixels.

    The loss of a 375 x 500 image is a sum of 187,500 terms; hence rates as small as 1e-10, lowered by
    100 with every skip that is added. Source: the released solver.prototxt files.
    """
    return Recipe("voc", init, base_lr, max_iter, step=4000)


def shapes(init: str, base_lr: float, max_iter: int) -> Recipe:
    """Give a training on the embedded set: the loss averaged over pixels, a falling rate, clipped gradients."""
    return Recipe("shapes", init, base_lr, max_iter, step=max_iter // 4, momentum=0.9, lr_policy="poly", power=0.9,
                  clip_gradients=2, snapshot=200, test_iter=200, random_seed=0)


def weights_of(name: str) -> str:
    """Give the place of a net's published weights."""
    return f"models/{name}/{name}.caffemodel"


VGG16_FCN = "models/ilsvrc-nets/vgg16-fcn.caffemodel"

RECIPES: Dict[str, Recipe] = {
    "voc-fcn32s": heavy(VGG16_FCN, 1e-10),
    "voc-fcn16s": heavy(weights_of("voc-fcn32s"), 1e-12),
    "voc-fcn8s": heavy(weights_of("voc-fcn16s"), 1e-14),
    "voc-fcn8s-atonce": heavy(VGG16_FCN, 1e-10, max_iter=300000),
    "voc-fcn-squeezenet": Recipe(
        "voc", "models/ilsvrc-nets/squeezenet_v1.0.caffemodel", base_lr=4e-4, max_iter=2400, step=600,
        momentum=0.9, lr_policy="poly", power=0.9, clip_gradients=0.5, snapshot=200, test_iter=101, random_seed=0),
    "shapes-vgg16": Recipe(
        "shapes", None, base_lr=0.008, max_iter=950, step=190, surgery=("identity_plus",), momentum=0.9,
        lr_policy="poly", power=0.9, clip_gradients=3, snapshot=100, test_iter=25, random_seed=0,
        score="classification"),
    "shapes-fcn32s": shapes("models/shapes-vgg16/shapes-vgg16-fcn.caffemodel", 0.008, 3200),
    "shapes-fcn16s": shapes(weights_of("shapes-fcn32s"), 0.006, 1600),
    "shapes-fcn8s": shapes(weights_of("shapes-fcn16s"), 0.004, 2400),
}


def recipe(name: str) -> Recipe:
    """Give the recipe of a net.

    Raises:
        SolveError: none of this name; lists the known.
    """
    if name not in RECIPES:
        raise SolveError(f"net '{name}': no recipe; known are {', '.join(RECIPES)}")
    return RECIPES[name]


def solver_param(name: str) -> Any:
    """Give the SolverParameter of a net's recipe; its paths are from the project's root."""
    return solver_of(recipe(name), f"models/{name}")


def solver_of(row: Recipe, folder: str) -> Any:
    """Give the SolverParameter of a recipe whose prototxts lie in `folder`."""
    param = caffe_pb2.SolverParameter(
        train_net=f"{folder}/train.prototxt", test_net=[f"{folder}/val.prototxt"], test_iter=[row.test_iter],
        test_interval=NEVER, test_initialization=False, display=20, average_loss=20, lr_policy=row.lr_policy,
        base_lr=row.base_lr, momentum=row.momentum, iter_size=row.iter_size, max_iter=row.max_iter,
        weight_decay=row.weight_decay, snapshot=row.snapshot, snapshot_prefix=f"{folder}/snapshot/train")
    for field in ("power", "clip_gradients", "random_seed"):
        if getattr(row, field) is not None:
            setattr(param, field, getattr(row, field))
    return param

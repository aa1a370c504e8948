"""How every net was, or is, trained: one row a net.

In:   a net's name.
Out:  its Recipe, and the SolverParameter that says the same to Caffe.
Not here: running (solve), files (prototxt emission is in __main__).
Source: the released solver.prototxt and solve.py of each net; our own rows are tuned by measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional, Tuple

from caffe.proto import caffe_pb2
from nets.zoo import scoring_phase, training_phase
from solvers import SolveError

NEVER = 999999999  # the solver tests nothing by itself: the solve loop scores


class Transplant(NamedTuple):
    """Weights that go into a net under other names than they have (surgery.transplant)."""

    net: str  # whose deploy.prototxt the weights belong to
    weights: str  # caffemodel, from the project's root
    suffix: str = ""  # glued to each layer's name
    widened: Tuple[str, ...] = ()  # (layer, new layer): one more channel, the mean of the others


@dataclass(frozen=True)
class Recipe:
    """One training: where it starts, Caffe's solver values, how often it is scored."""

    dataset: str  # in data.sets
    init: Optional[str]  # caffemodel to start from, from the project's root; None: transplants, or the net's fillers
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
    transplants: Tuple[Transplant, ...] = ()  # instead of `init`
    rounds: Optional[int] = None  # of `step` iterations; None: as many as max_iter has

    @property
    def sources(self) -> Tuple[str, ...]:
        """All caffemodels that the training starts from."""
        return (self.init,) if self.init else tuple(graft.weights for graft in self.transplants)

    @property
    def iterations(self) -> int:
        """How many iterations are run. The released loops count rounds and pass over max_iter."""
        return self.step * self.rounds if self.rounds else self.max_iter


def heavy(init: Optional[str], base_lr: float, max_iter: int = 100000, dataset: str = "voc",
          **more: Any) -> Recipe:
    """Give a training of the release: one image a step, high momentum, the loss summed over pixels.

    The loss of a 375 x 500 image is a sum of 187,500 terms; hence rates as small as 1e-10, lowered by
    100 with every skip that is added. Source: the released solver.prototxt and solve.py files.
    """
    return Recipe(dataset, init, base_lr, max_iter, **{**dict(step=4000), **more})


def context(dataset: str, init: str, base_lr: float) -> Recipe:
    """Give a training on PASCAL-Context; 50 rounds of 8000 iterations are more than its max_iter."""
    return heavy(init, base_lr, 300000, dataset, step=8000, rounds=50, test_iter=5105)


def nyud(init: Optional[str], base_lr: float, *transplants: Transplant) -> Recipe:
    """Give a training on NYUDv2."""
    return heavy(init, base_lr, 300000, "nyud", step=2000, rounds=50, snapshot=2000, test_iter=654,
                 transplants=transplants)


def siftflow(init: str, base_lr: float) -> Recipe:
    """Give a training on SIFT Flow."""
    # DEVIATION D29: the release's solvers neither snapshot nor save, so what they train is lost.
    return heavy(init, base_lr, 300000, "siftflow", step=2000, rounds=50, snapshot=2000, test_iter=200)


def batches(init: str, base_lr: float) -> Recipe:
    """Give a training on 20 images a step with the loss averaged over pixels, as the release trains AlexNet."""
    return Recipe("voc", init, base_lr, 100000, step=4000, momentum=0.9, iter_size=20)


def shapes(init: str, base_lr: float, max_iter: int, times_scored: int = 4) -> Recipe:
    """Give a training on the embedded set: the loss averaged over pixels, a falling rate, clipped gradients."""
    return Recipe("shapes", init, base_lr, max_iter, step=max_iter // times_scored, momentum=0.9, lr_policy="poly",
                  power=0.9, clip_gradients=2, snapshot=200, test_iter=200, random_seed=0)


def shapes_classifier(base_lr: float, max_iter: int, surgery: Tuple[str, ...] = (), times_scored: int = 5) -> Recipe:
    """Give a training of a classifier on the embedded set."""
    return Recipe("shapes", None, base_lr, max_iter, step=max_iter // times_scored, surgery=surgery, momentum=0.9,
                  lr_policy="poly", power=0.9, clip_gradients=3, snapshot=100, test_iter=25, random_seed=0,
                  score="classification")


def weights_of(name: str) -> str:
    """Give the place of a net's published weights."""
    return f"models/{name}/{name}.caffemodel"


VGG16_FCN = "models/ilsvrc-nets/vgg16-fcn.caffemodel"
ALEXNET_FCN = "models/ilsvrc-nets/alexnet-fcn.caffemodel"
GOOGLENET_FCN = "models/ilsvrc-nets/googlenet-fcn.caffemodel"

RECIPES: Dict[str, Recipe] = {
    "voc-fcn32s": heavy(VGG16_FCN, 1e-10),
    "voc-fcn16s": heavy(weights_of("voc-fcn32s"), 1e-12),
    "voc-fcn8s": heavy(weights_of("voc-fcn16s"), 1e-14),
    "voc-fcn8s-atonce": heavy(VGG16_FCN, 1e-10, max_iter=300000),
    "voc-fcn-alexnet": batches(ALEXNET_FCN, 1e-4),
    # never released: rates of the papers, or a hundredth for one more skip
    "voc-fcn-googlenet": batches(GOOGLENET_FCN, 5e-5),
    "voc-fcn32s-fixed": heavy(VGG16_FCN, 1e-10),
    "voc-fcn-pool5": heavy(VGG16_FCN, 1e-10),
    "voc-fcn-pool4": heavy(VGG16_FCN, 1e-10),
    "voc-fcn-pool3": heavy(VGG16_FCN, 1e-10),
    "voc-fcn4s": heavy(weights_of("voc-fcn8s"), 1e-16),
    "voc-fcn-squeezenet": Recipe(
        "voc", "models/ilsvrc-nets/squeezenet_v1.0.caffemodel", base_lr=4e-4, max_iter=2400, step=600,
        momentum=0.9, lr_policy="poly", power=0.9, clip_gradients=0.5, snapshot=200, test_iter=101, random_seed=0),
    "pascalcontext-fcn32s": context("pascalcontext", VGG16_FCN, 1e-10),
    "pascalcontext-fcn16s": context("pascalcontext", weights_of("pascalcontext-fcn32s"), 1e-12),
    "pascalcontext-fcn8s": context("pascalcontext", weights_of("pascalcontext-fcn16s"), 1e-14),
    "pascalcontext33-fcn32s": context("pascalcontext33", VGG16_FCN, 1e-10),
    "pascalcontext33-fcn16s": context("pascalcontext33", weights_of("pascalcontext33-fcn32s"), 1e-12),
    "pascalcontext33-fcn8s": context("pascalcontext33", weights_of("pascalcontext33-fcn16s"), 1e-14),
    "nyud-fcn32s-color": nyud(VGG16_FCN, 1e-10),
    "nyud-fcn32s-hha": nyud(VGG16_FCN, 1e-10),
    "nyud-fcn32s-color-d": nyud(None, 1e-10, Transplant("ilsvrc-vgg16-fcn", VGG16_FCN,
                                                        widened=("conv1_1", "conv1_1_bgrd"))),
    "nyud-fcn32s-color-hha": nyud(None, 1e-12, *(
        Transplant(f"nyud-fcn32s-{kind}", weights_of(f"nyud-fcn32s-{kind}"), kind) for kind in ("color", "hha"))),
    "nyud-fcn16s-color-hha": nyud(weights_of("nyud-fcn32s-color-hha"), 1e-14),  # never released
    "siftflow-fcn32s": siftflow(VGG16_FCN, 1e-10),
    "siftflow-fcn16s": siftflow(weights_of("siftflow-fcn32s"), 1e-12),
    "siftflow-fcn8s": siftflow(weights_of("siftflow-fcn16s"), 1e-12),  # not 1e-14, in the release too
    "shapes-vgg16": shapes_classifier(0.008, 950, surgery=("identity_plus",)),
    "shapes-fcn32s": shapes("models/shapes-vgg16/shapes-vgg16-fcn.caffemodel", 0.008, 3200),
    "shapes-fcn16s": shapes(weights_of("shapes-fcn32s"), 0.006, 1600),
    "shapes-fcn8s": shapes(weights_of("shapes-fcn16s"), 0.004, 2400),
    "shapes-alexnet": shapes_classifier(0.008, 900, times_scored=2),
    "shapes-fcn-alexnet": shapes("models/shapes-alexnet/shapes-alexnet-fcn.caffemodel", 0.008, 4600, times_scored=2),
    "shapes-googlenet": shapes_classifier(0.008, 500, times_scored=2),
    "shapes-fcn-googlenet": shapes("models/shapes-googlenet/shapes-googlenet-fcn.caffemodel", 0.012, 2600,
                                   times_scored=2),
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
    return solver_of(recipe(name), f"models/{name}", (training_phase(name), scoring_phase(name)))


def solver_of(row: Recipe, folder: str, phases: Tuple[str, str] = ("train", "val")) -> Any:
    """Give the SolverParameter of a recipe whose prototxts lie in `folder` under the names of their phases."""
    param = caffe_pb2.SolverParameter(
        train_net=f"{folder}/{phases[0]}.prototxt", test_net=[f"{folder}/{phases[1]}.prototxt"],
        test_iter=[row.test_iter], test_interval=NEVER, test_initialization=False, display=20, average_loss=20,
        lr_policy=row.lr_policy,
        base_lr=row.base_lr, momentum=row.momentum, iter_size=row.iter_size, max_iter=row.max_iter,
        weight_decay=row.weight_decay, snapshot=row.snapshot, snapshot_prefix=f"{folder}/snapshot/train")
    for field in ("power", "clip_gradients", "random_seed"):
        if getattr(row, field) is not None:
            setattr(param, field, getattr(row, field))
    return param

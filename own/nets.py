"""The nets of a training on own images: a row of the zoo's kind for every stage, its prototxts and solver.

In:   initial weights, the class table, the data folder, what was chosen (batch, crop, mirror).
Out:  nets.zoo rows; models/NAME/STAGE/{train,val,deploy,solver}.prototxt.
Not here: trunks, heads, layers (nets/), iterations and rates (plan).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Tuple

from data.set_types import Head
from nets.alexnet import AlexNet
from nets.data_layers import Feed
from nets.googlenet import GoogLeNet
from nets.heads import AT_ONCE, Skip
from nets.prototxt import write_prototxt
from nets.rows import Fcn
from nets.vgg16 import Vgg16
from own.weights import Start
from solvers.recipes import Recipe, solver_of

_SCALED: Dict[int, Tuple[Skip, ...]] = {16: AT_ONCE[:1], 8: AT_ONCE}


@dataclass(frozen=True)
class Options:
    """What the user chose about how images are fed."""

    batch: int = 1
    crop: int = 0  # side of random windows; 0: whole images
    jitter: int = 0  # images are moved by up to so many pixels
    mirror: bool = True
    cache: bool = False  # keep decoded images in memory


def row_of(start: Start, stride: int, at_once: bool, classes: Tuple[str, ...], mean_bgr: Tuple[float, ...],
           data: Path, options: Options) -> Fcn:
    """Give the net of a stage.

    Wide trunks have features so large that plain skips would need a hundredth of the rate, as the release lowered
    it: their skips are scaled as in the at-once nets. Slim ones take the paper's plain skips.
    """
    shared: Dict[str, Any] = dict(mean=mean_bgr, scale=start.scale, classes=len(classes), cache=options.cache)
    chosen = dict(batch=(options.batch, 1), jitter=(options.jitter, 0), crop=((options.crop,) * 2, (0, 0)))
    train = dict(shared, mirror=options.mirror, **{key: value for key, (value, off) in chosen.items() if value != off})
    dirs, trunk = dict(voc_dir=str(data)), start.trunk
    skips = _SCALED[stride] if isinstance(trunk, Vgg16) and stride < 32 and (at_once or not start.slim) else None
    return Fcn(heads=(Head(classes),), train=Feed("voc", "train", dirs, train), val=Feed("voc", "val", dirs, shared),
               trunk=trunk, stride=stride, skips=skips, normalize=True,
               kernel=63 if isinstance(trunk, (AlexNet, GoogLeNet)) else None)  # as voc-fcn-alexnet has it


def write_stage(row: Fcn, recipe: Recipe, folder: Path) -> Any:
    """Write the prototxts of a stage into its folder; gives the SolverParameter."""
    for phase in row.phases:
        write_prototxt(row.build(phase, {}).to_proto(), folder / f"{phase}.prototxt")
    solver = solver_of(recipe, str(folder))
    write_prototxt(solver, folder / "solver.prototxt")
    return solver

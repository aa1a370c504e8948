"""Training: `python -m solvers.solve NAME` trains a net by its recipe and publishes the best weights.

In:   a recipe; committed prototxts; initial weights; the data set on disk.
Out:  models/<net>/<net>.caffemodel with its record, the loss curve, pictures; snapshots to go on from.
Not here: recipes, the loop (loop), metrics (score.py), files of a run (run_folder), what must be there (needs).
A killed run goes on from its last snapshot with the next image of its sequence; Ctrl-C and SIGTERM save one first.
"""

from __future__ import annotations

import sys

import startup

if __name__ == "__main__":
    startup.ensure_environment()
    startup.quiet_caffe()  # Caffe's lines would tear the progress bar

import argparse
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional

import caffe
from data import sets
from nets import zoo
from nets.record import Record, heads_of, inputs_of, load_record, record_path, save_record
from ranks import first_speaks, gpu_of, here
from solvers import SolveError, needs, start
from solvers.loop import Loop, Scorer
from solvers.recipes import Recipe, recipe, solver_param
from solvers.run_folder import RunFolder
from solvers.scoring import Classification, Segmentation
from solvers.team import Team


def train(name: str, init: Optional[str] = None, dirs: Optional[Dict[str, str]] = None,
          max_iter: Optional[int] = None, step: Optional[int] = None, models: str = "models",
          team: Optional[Team] = None) -> Path:
    """Train a net by its recipe, from its last snapshot if there is one.

    Args:
        name: a key of RECIPES.
        init: caffemodel to start from in place of the recipe's.
        dirs: folders of data, by param_str key (voc_dir, sbdd_dir), in place of the prototxt's.
        max_iter: iterations in place of the recipe's, from 1 up.
        step: iterations from scoring to scoring in place of the recipe's, from 1 up.
        models: folder under which the net's folder, with what training makes, lies.
        team: of the processes that train together; None: those that torchrun started, or this one alone.

    Returns:
        Path of the published caffemodel; its record lies beside it.

    Raises:
        SolveError: no such recipe, or something is missing; names the file and where it comes from.
        CaffeError, DataLayerError: a net, its weights or its data cannot be used.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the message says at which iteration.
    """
    row, param = recipe(name), solver_param(name)
    _refuse_to_replace(Path(models) / name / f"{name}.caffemodel")
    param.max_iter = _at_least_1("max_iter", max_iter, row.iterations)
    init = init or row.init
    folder = RunFolder(Path(models) / name, param, start.origin(row, init),
                       Path(init) if init and Path(init).is_file() else None, dirs or {})
    needs.require(name, (init,) if init else row.sources, folder.data_places())
    return train_row(name, row, sets.SETS[row.dataset], folder, init, step, team)


def train_row(name: str, row: Recipe, dataset: sets.DataSet, folder: RunFolder, init: Optional[str] = None,
              step: Optional[int] = None, team: Optional[Team] = None) -> Path:
    """Train a net by any recipe on any data set, from its last snapshot if there is one.

    Args:
        name: of the net and its published weights.
        row: how it is trained; its `dataset` and `init` are not looked at.
        dataset: classes, mean and scale for the record.
        folder: of the training, with its solver and nets.
        init: caffemodel to start from; None where the net starts from its fillers.
        step: iterations from scoring to scoring in place of the recipe's, from 1 up.
        team: as `train`.

    Returns:
        Path of the published caffemodel, in the folder's `model`; its record lies beside it.

    Raises:
        SolveError, CaffeError, DataLayerError, KeyboardInterrupt: as `train`.
    """
    with team or Team(folder.model) as team:
        folder.ranks = team.ranks
        with folder:
            solver = _ready_solver(name, row, folder, init, team)
            if row.score == "segmentation":
                scorer: Scorer = Segmentation(str(folder.prototxt("val")), dataset.heads, team.meeting)
            else:
                scorer = Classification(row.test_iter, team.is_first)
            step = min(_at_least_1("step", step, row.step), folder.solver.max_iter)
            Loop(name, solver, folder, scorer, step, dataset.classes, team.ranks).run()
            if not team.is_first:
                return folder.model / f"{name}.caffemodel"
            return _publish(name, folder, scorer.key, row, dataset)


def _refuse_to_replace(weights: Path) -> None:
    """Keep weights that were not trained here: released ones, for instance."""
    if weights.is_file() and record_path(weights).is_file():
        origin = load_record(weights).origin
        if origin:
            raise SolveError(f"'{weights}' was not trained here ({origin}), and training would replace it; move it "
                             "and its record elsewhere first, or use it: `python score.py --net "
                             f"{weights.stem}`, `python infer.py --net {weights.stem} image.jpg`")


def _at_least_1(what: str, given: Optional[int], usual: int) -> int:
    if given is not None and given < 1:
        raise SolveError(f"{what} {given}; want a whole number from 1 up")
    return usual if given is None else given


def _ready_solver(name: str, row: Recipe, folder: RunFolder, init: Optional[str], team: Team) -> Any:
    """Build the solver of this process; where there are others, it starts where the first one's does."""
    if team.is_first:
        solver = _first_solver(name, row, folder, init)
        team.meeting.tell(solver.iter)
    else:
        iteration = team.meeting.tell()
        solver = caffe.SGDSolver(folder.write_prototxts(start=iteration * row.iter_size))
        if iteration:
            solver.restore(folder.state(iteration))
    team.join(solver)
    return solver


def _first_solver(name: str, row: Recipe, folder: RunFolder, init: Optional[str]) -> Any:
    """Build the solver; restore the last snapshot that can be read, or else begin anew."""
    for iteration in reversed(folder.snapshots()):
        solver = caffe.SGDSolver(folder.write_prototxts(start=iteration * row.iter_size))
        try:
            solver.restore(folder.state(iteration))
        except RuntimeError as error:  # genuine Caffe ends the process instead
            print(f"warning: {name}: the snapshot of iteration {iteration} is put aside: {error}", file=sys.stderr)
            folder.drop(iteration)
            continue
        print(f"{name}: going on from iteration {iteration}")
        folder.cut_journal(iteration)
        return solver
    solver = caffe.SGDSolver(folder.write_prototxts(start=0))
    folder.cut_journal(0)
    start.begin(name, solver.net, row, init)
    return solver


def _publish(name: str, folder: RunFolder, key: str, row: Recipe, dataset: sets.DataSet) -> Path:
    """Copy the best weights to their public place, with the record that says how to use them."""
    weights = folder.model / f"{name}.caffemodel"
    best = folder.best_row(key)
    assert best is not None, "the loop ends with a scoring"
    temporary = f"{weights}.part"
    shutil.copyfile(folder.weights(best["iteration"]), temporary)
    scores = {k: v for k, v in best.items() if k != "iteration"}
    segments = row.score == "segmentation"
    classes = dataset.classes if segments else dataset.classes[1:]  # no background
    inputs = inputs_of(zoo.inputs(name), dataset.means) if name in zoo.ZOO else ()
    # The record first: should the run be killed here, the weights are not there, or old, and it is done again.
    deploy = Path(folder.solver.train_net).with_name("deploy.prototxt")
    save_record(Record(net=name, deploy=str(deploy), weights=str(weights), classes=classes,
                       mean_bgr=dataset.mean_bgr, scale=dataset.scale, iteration=best["iteration"], scores=scores,
                       heads=heads_of(dataset) if segments else (), inputs=inputs),
                weights)
    os.replace(temporary, weights)
    print(f"{name}: {key} {best[key]:.4f} at iteration {best['iteration']}; weights in {weights}")
    return weights


def main(argv: Optional[List[str]] = None) -> int:
    """Train the named net; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m solvers.solve", description="Train a net by its recipe.")
    parser.add_argument("name", metavar="NAME", help="a net with a recipe")
    startup.add_device_options(parser)
    parser.add_argument("--init", metavar="FILE", help="caffemodel to start from")
    parser.add_argument("--voc-dir", metavar="DIR", help="folder in VOC devkit layout")
    parser.add_argument("--sbdd-dir", metavar="DIR", help="SBD's dataset folder")
    parser.add_argument("--reduce", choices=("mean", "sum"), default="mean", help="of the gradients of the processes "
                        "that torchrun started (default: mean, as Caffe)")
    parser.add_argument("--exact-normalizer", action="store_true", help="let losses divide by what all processes count")
    parser.add_argument("--max-iter", type=int, metavar="N", help="iterations (default: the recipe's)")
    args = parser.parse_args(argv)
    ranks = here()
    args.gpu = gpu_of(ranks, args.gpu)
    dirs = {key: value for key, value in (("voc_dir", args.voc_dir), ("sbdd_dir", args.sbdd_dir)) if value}
    with first_speaks(ranks):
        startup.select_device(args.gpu)
        startup.select_precision(args.precision, args.gpu)
        team = Team(Path("models") / args.name, args.reduce, args.exact_normalizer)
        train(args.name, init=args.init, dirs=dirs, max_iter=args.max_iter, team=team)
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

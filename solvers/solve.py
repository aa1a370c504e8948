"""The solve loop: `python -m solvers.solve NAME` trains a net by its recipe and publishes the best weights.

In:   a recipe; committed prototxts; initial weights; the data set on disk.
Out:  models/<net>/<net>.caffemodel with its record, the loss curve, pictures; snapshots to go on from.
Not here: recipes, metrics (score.py), files of a run (run_folder).
A killed run goes on from its last snapshot with the next image of its sequence; Ctrl-C saves one first.
"""

from __future__ import annotations

import sys

import startup

startup.ensure_environment()

import argparse  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, Dict, List, Optional, Union  # noqa: E402

os.environ.setdefault("GLOG_minloglevel", "1")  # Caffe's lines would tear the progress bar

import caffe  # noqa: E402
import surgery  # noqa: E402
from data import sets  # noqa: E402
from nets.record import Record, save_record  # noqa: E402
from surgery.identity import identity_plus, layers_keeping_width  # noqa: E402
from tqdm import tqdm  # noqa: E402

from solvers import SolveError  # noqa: E402
from solvers.pictures import draw_curve, draw_grid  # noqa: E402
from solvers.recipes import Recipe, recipe, solver_param, weights_of  # noqa: E402
from solvers.run_folder import RunFolder  # noqa: E402
from solvers.scoring import Classification, Segmentation  # noqa: E402

Scorer = Union[Segmentation, Classification]


def train(name: str, init: Optional[str] = None, dirs: Optional[Dict[str, str]] = None,
          max_iter: Optional[int] = None, step: Optional[int] = None, models: str = "models") -> Path:
    """Train a net by its recipe, from its last snapshot if there is one.

    Args:
        name: a key of RECIPES.
        init: caffemodel to start from in place of the recipe's.
        dirs: folders of data, by param_str key (voc_dir, sbdd_dir), in place of the prototxt's.
        max_iter: iterations in place of the recipe's.
        step: iterations from scoring to scoring in place of the recipe's.
        models: folder under which the net's folder, with what training makes, lies.

    Returns:
        Path of the published caffemodel; its record lies beside it.

    Raises:
        SolveError or DataError: something is missing. CaffeError: a net or snapshot cannot be used.
    """
    row, param = recipe(name), solver_param(name)
    if max_iter:
        param.max_iter = max_iter
    init_file = _initial_weights(name, row, init)
    if not dirs:
        sets.require(row.dataset)
    model = Path(models) / name
    folder = RunFolder(model, param, init_file, dirs or {})
    iteration = folder.begin()
    solver_file = folder.write_prototxts(start=iteration * row.iter_size)
    solver = caffe.SGDSolver(solver_file)
    if iteration:
        solver.restore(folder.state(iteration))
        print(f"{name}: going on from iteration {iteration}")
    else:
        _initialise(solver.net, row, init_file)
    if row.score == "segmentation":
        scorer: Scorer = Segmentation(str(folder.path / "val.prototxt"))
    else:
        scorer = Classification(row.test_iter)
    _loop(name, solver, folder, scorer, param, step or min(row.step, param.max_iter), model)
    return _publish(name, folder, scorer.key, row, model)


def _initial_weights(name: str, row: Recipe, init: Optional[str]) -> Optional[Path]:
    given = init or row.init
    if given is None:
        return None
    if not Path(given).is_file():
        raise SolveError(f"net '{name}': initial weights '{given}' are not there; `make {name}` makes or names them, "
                         f"--init FILE takes others")
    return Path(given)


def _initialise(net: Any, row: Recipe, init_file: Optional[Path]) -> None:
    """Copy the initial weights by layer name, then do the recipe's surgery."""
    if init_file is not None:
        net.copy_from(str(init_file))
    for operation in row.surgery:
        if operation == "interp":
            surgery.interp(net, [layer for layer in net.params if "up" in layer])
        elif operation == "identity_plus":
            identity_plus(net, layers_keeping_width(net))
        else:
            raise SolveError(f"recipe: unknown surgery '{operation}'; known are interp, identity_plus")


def _loop(name: str, solver: Any, folder: RunFolder, scorer: Scorer, param: Any, step: int, model: Path) -> None:
    """Step and score by turns until max_iter."""
    losses: List[float] = []
    stop = _StopRequest()
    solver.add_callback(stop.check, lambda: losses.append(float(solver.net.blobs["loss"].data)))
    best = folder.best_row(scorer.key)
    with tqdm(total=param.max_iter, initial=solver.iter, desc=name, unit="it", dynamic_ncols=True) as bar, stop:
        try:
            while solver.iter < param.max_iter:
                ahead = min(param.display - solver.iter % param.display, step - solver.iter % step,
                            param.max_iter - solver.iter)
                solver.step(ahead)
                bar.update(ahead)
                loss = sum(losses) / len(losses)
                losses.clear()
                folder.note(iteration=solver.iter, loss=loss)
                folder.keep_last()
                if solver.iter % step == 0 or solver.iter == param.max_iter:
                    best = _score(name, solver, folder, scorer, best, model, bar)
                shown = {"loss": f"{loss:.4g}"}
                if best:
                    shown[f"best {scorer.key}"] = f"{best[scorer.key]:.3f}"
                bar.set_postfix(shown)
        except KeyboardInterrupt:
            solver.snapshot()
            folder.keep_last()
            raise KeyboardInterrupt(f"{name}: stopped at iteration {solver.iter}, snapshot written; the same command "
                                    "goes on from here") from None


def _score(name: str, solver: Any, folder: RunFolder, scorer: Scorer, best: Optional[Dict[str, Any]],
           model: Path, bar: Any) -> Optional[Dict[str, Any]]:
    """Score, keep the weights if they are the best so far, draw; return the best row."""
    with bar.external_write_mode():
        scores = scorer(solver)
    row = {"iteration": solver.iter, **scores}
    if best is None or row[scorer.key] >= best[scorer.key]:
        temporary = f"{folder.best}.part"
        solver.net.save(temporary)
        os.replace(temporary, folder.best)
        best = row
    solver.snapshot()  # so that a run killed from here on does not score the same iteration twice
    folder.note(**row)
    folder.keep_last()
    draw_curve(folder.rows(), scorer.key, name, model / "loss.png")
    if scorer.rows:
        draw_grid(scorer.rows, sets.SETS[recipe(name).dataset].classes, model / "val.png")
    return best


def _publish(name: str, folder: RunFolder, key: str, row: Recipe, model: Path) -> Path:
    """Copy the best weights to their public place, with the record that says how to use them."""
    weights = model / f"{name}.caffemodel"
    best, dataset = folder.best_row(key), sets.SETS[row.dataset]
    assert best is not None, "the loop ends with a scoring"
    temporary = f"{weights}.part"
    shutil.copyfile(folder.best, temporary)
    scores = {k: v for k, v in best.items() if k != "iteration"}
    save_record(Record(net=name, deploy=f"models/{name}/deploy.prototxt", weights=weights_of(name),
                       classes=dataset.classes, mean_bgr=dataset.mean_bgr, scale=dataset.scale,
                       iteration=best["iteration"], scores=scores), weights)
    os.replace(temporary, weights)
    print(f"{name}: {key} {best[key]:.4f} at iteration {best['iteration']}; weights in {weights}")
    return weights


class _StopRequest:
    """Turns Ctrl-C into a stop between two iterations, so that a snapshot is whole; a second one stops at once."""

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._ask)

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, signum: int, frame: Any) -> None:
        if self._asked:
            raise SystemExit(130)
        self._asked = True

    def check(self) -> None:
        if self._asked:
            raise KeyboardInterrupt


def main(argv: Optional[List[str]] = None) -> int:
    """Train the named net; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m solvers.solve", description="Train a net by its recipe.")
    parser.add_argument("name", metavar="NAME", help="a net with a recipe")
    parser.add_argument("--gpu", type=int, metavar="N", help="number of the GPU (default: the CPU)")
    parser.add_argument("--init", metavar="FILE", help="caffemodel to start from")
    parser.add_argument("--voc-dir", metavar="DIR", help="folder in VOC devkit layout")
    parser.add_argument("--sbdd-dir", metavar="DIR", help="SBD's dataset folder")
    parser.add_argument("--max-iter", type=int, metavar="N", help="iterations (default: the recipe's)")
    args = parser.parse_args(argv)
    startup.select_device(args.gpu)
    dirs = {key: value for key, value in (("voc_dir", args.voc_dir), ("sbdd_dir", args.sbdd_dir)) if value}
    train(args.name, init=args.init, dirs=dirs, max_iter=args.max_iter)
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))

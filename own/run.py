"""The second half: from checked images to a trained net, its record, its report.

In:   a request, what `inspect` gave.
Out:  models/NAME/NAME.caffemodel with its record, report.html; stages under models/NAME to go on from.
Not here: the loop (solvers), nets and weights (nets, weights), the plan (plan).
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

import caffe
from data.set_types import DataSet, Head
from data.whole import write_text
from nets.record import Record, load_record, save_record
from own import OwnError
from own.convert import convert
from own.evaluate import evaluate
from own.home import Home
from own.inspect import Request
from own.nets import Options, row_of, write_stage
from own.plan import Stage, expected_minutes, iterations, net_for, stages_of, within
from own.report import Checked, report_page, verdict
from own.survey import Look
from own.weights import Mean, Start, find_start, fit
from solvers.run_folder import RunFolder
from solvers.solve import train_row
from solvers.start import operate, origin

_BYTES, _KEPT = 4, 1 << 29  # of an image's and its label's pixel in memory; images of more than that are read anew
_FEW_STEPS, _SECONDS = 4, 3.0  # of measuring the pace


def train_own(request: Request, home: Home, checked: Checked, gpu: Optional[int] = None) -> Path:
    """Train, going on where an earlier run of the same command stopped; gives the published caffemodel.

    Raises:
        OwnError: no initial weights, a folder that is another training's, a file that has vanished.
        SolveError, CaffeError, DataLayerError, KeyboardInterrupt: as solvers.solve.train.
    """
    start = find_start(request.init, gpu is not None)
    print(f"initial weights: {start.words}" + (f" ({start.path})" if start.path else ""))
    net_for(start, request.net)  # before the folder is this training's: a slip of the pen keeps no name
    home.claim(_settings(request, start, checked))
    convert(checked.looks, checked.table, checked.splits, home.data, request.max_side)
    mean = start.mean_bgr or _mean_of(checked)
    stages = _planned(request, home, start, mean, checked)
    records: List[Record] = []
    for stage in stages:
        try:
            records.append(_train_stage(request, home, stage, start, mean, checked, records))
        except (RuntimeError, ValueError, OSError) as error:
            _explain_vanished(home.data, error)
            raise
    best = max(reversed(records), key=lambda record: record.scores.get("mean_iu", -1.0))
    record = _publish(home, best)
    result = evaluate(record, checked.splits["val"])
    lines = _lines(request, home)
    curves = [(stage.name, home.path / stage.name / "loss.png") for stage in stages]
    facts = _facts(request, start, stages, checked, record, best, gpu)
    write_text(home.path / "report.html", report_page(home.name, facts, checked, result, curves, lines))
    print(f"\n{home.name}: {verdict(result)}")
    print(f"report: {home.path}/report.html\nsegment photographs with:\n  " + "\n  ".join(lines))
    return Path(record.weights)


def _settings(request: Request, start: Start, checked: Checked) -> Dict[str, Any]:
    """What decides a training: with the same, the same command goes on."""
    chosen = asdict(replace(request, classes=None))
    for key in ("images", "labels", "train_list", "val_list"):
        chosen[key] = str(Path(chosen[key]).resolve()) if chosen[key] else None
    rows = [(row.number, row.code, row.name) for row in checked.table.rows]
    return {**chosen, "init": start.path, "classes": rows, "pairs": sorted(look.pair.id for look in checked.looks)}


def _planned(request: Request, home: Home, start: Start, mean: Mean, checked: Checked) -> List[Stage]:
    """Plan the stages; what was measured once stays, so that a run that goes on has the same plan."""
    images, val_images = len(checked.splits["train"]), len(checked.splits["val"])
    total = request.max_iter or iterations(start, -(-images // request.batch))
    stages = stages_of(start, request.net, total, val_images, request.seed)
    kept = home.kept()
    if "pace" not in kept:
        home.keep(pace=_pace(request, home, start, mean, checked, stages[-1]))
        kept = home.kept()
    if request.minutes is not None and request.max_iter is None:
        if "iterations" not in kept:
            home.keep(iterations=within(request.minutes, kept["pace"], val_images, len(stages)))
        total = home.kept()["iterations"]
        stages = stages_of(start, request.net, total, val_images, request.seed)
    minutes = expected_minutes(total, kept["pace"], val_images, len(stages))
    parts = ", ".join(f"{stage.name}: {stage.recipe.max_iter} at {stage.recipe.base_lr:g}" for stage in stages)
    print(f"training: {total} iterations ({parts}), about {minutes:.0f} minutes here"
          + ("" if request.minutes else "; --minutes N sets a budget"), flush=True)
    return stages


def _pace(request: Request, home: Home, start: Start, mean: Mean, checked: Checked, stage: Stage) -> float:
    """Measure the seconds of an iteration of the finest stage, in a folder that goes away again."""
    folder = home.path / ".pace"
    # No step may spoil the next, and the policy `poly` ends at max_iter.
    slow = replace(stage, recipe=replace(stage.recipe, base_lr=1e-9, lr_policy="fixed"))
    _write(request, home, slow, start, mean, checked, folder)
    (folder / "snapshot").mkdir(exist_ok=True)  # Caffe looks for the place of snapshots at once
    solver = caffe.SGDSolver(str(folder / "solver.prototxt"))
    if start.path is not None:
        fit(start, folder / "deploy.prototxt", folder / "init.caffemodel")
        solver.net.copy_from(str(folder / "init.caffemodel"))
    operate(solver.net, stage.recipe)
    solver.step(1)
    steps, begin = 0, perf_counter()
    while steps < _FEW_STEPS or perf_counter() - begin < _SECONDS:
        solver.step(_FEW_STEPS)
        steps += _FEW_STEPS
    pace = (perf_counter() - begin) / steps
    shutil.rmtree(folder)
    return pace


def _write(request: Request, home: Home, stage: Stage, start: Start, mean: Mean, checked: Checked,
           folder: Path) -> Any:
    """Write the prototxts of a stage; gives its SolverParameter."""
    pixels = sum(look.image_size[0] * look.image_size[1] for look in checked.looks)
    options = Options(request.batch, request.crop, request.jitter, request.mirror, pixels * _BYTES <= _KEPT)
    row = row_of(start, stage.stride, stage.at_once, checked.table.classes, mean, home.data, options)
    return write_stage(row, stage.recipe, folder)


def _train_stage(request: Request, home: Home, stage: Stage, start: Start, mean: Mean, checked: Checked,
                 before: Sequence[Record]) -> Record:
    """Train one stage from the one before, or from the initial weights."""
    folder = home.path / stage.name
    solver = _write(request, home, stage, start, mean, checked, folder)
    init: Optional[str] = before[-1].weights if before else None
    if not before and start.path is not None:
        init = str(folder / "init.caffemodel")
        for line in fit(start, folder / "deploy.prototxt", Path(init)):
            print(f"  {line}")
    run = RunFolder(folder, solver, origin(stage.recipe, init), Path(init) if init else None, {})
    dataset = DataSet("own", (Head(checked.table.classes),), {"color": mean}, start.scale, str(home.data),
                      str(home.data), (), (), "the user's own")
    return load_record(train_row(f"{home.name}-{stage.name}", stage.recipe, dataset, run, init))


def _publish(home: Home, best: Record) -> Record:
    """Copy the best stage's weights and nets to the run's folder, under its name."""
    for phase in ("train", "val", "deploy"):
        source = Path(best.deploy).with_name(f"{phase}.prototxt")
        write_text(home.path / f"{phase}.prototxt", source.read_text(encoding="utf-8"))
    weights = home.path / f"{home.name}.caffemodel"
    record = replace(best, net=home.name, deploy=str(home.path / "deploy.prototxt"), weights=str(weights))
    temporary = f"{weights}.part"
    shutil.copyfile(best.weights, temporary)
    save_record(record, weights)  # first: a run that is killed here does this again
    os.replace(temporary, weights)
    return record


def _mean_of(checked: Checked) -> Mean:
    """Mean colour of the training images, blue first."""
    train = set(checked.splits["train"])
    looks: List[Look] = [look for look in checked.looks if look.pair.id in train]
    pixels = np.array([look.image_size[0] * look.image_size[1] for look in looks], np.float64)
    red, green, blue = (round(float(value), 3) for value in
                        np.average([look.mean_rgb for look in looks], axis=0, weights=pixels))
    return blue, green, red


def _explain_vanished(data: Path, error: Exception) -> None:
    """Say which of the user's files is gone, where that is why a training stopped."""
    for link in sorted((data / "JPEGImages").glob("*")):
        if link.is_symlink() and not link.exists():
            raise OwnError(f"'{os.readlink(link)}' has vanished while it was being trained on; bring it back and "
                           "repeat the command, which goes on from the last snapshot") from error


def _lines(request: Request, home: Home) -> List[str]:
    side = f" --max-side {request.max_side}" if request.max_side else ""
    return [f"python infer.py {shlex.quote(str(request.images))} --net {home.name}{side}",
            f"python score.py --net {home.name} --split val"]


def _facts(request: Request, start: Start, stages: Sequence[Stage], checked: Checked, record: Record, best: Record,
           gpu: Optional[int]) -> List[Tuple[str, str]]:
    """What was trained, of what, for the report."""
    splits = checked.splits
    lists = "given lists" if request.train_list or request.val_list else f"drawn with seed {request.seed}"
    steps = "; ".join(f"{stage.name}: {stage.recipe.max_iter} iterations, base_lr {stage.recipe.base_lr:g}"
                      for stage in stages)
    return [("images", str(request.images)), ("labels", str(request.labels)),
            ("split", f"{len(splits['train'])} to train, {len(splits['val'])} to validate ({lists})"),
            ("classes", f"{len(checked.table.classes)}: {', '.join(checked.table.classes)}"),
            ("initial weights", start.words + (f" ({start.path})" if start.path else "")),
            ("stages", steps), ("kept", f"iteration {best.iteration} of {best.net}, the best on the validation images"),
            ("mean (B, G, R), scale", f"{', '.join(f'{value:g}' for value in record.mean_bgr)}; {record.scale:g}"),
            ("batch", str(request.batch)), ("device", "CPU" if gpu is None else f"GPU {gpu}"),
            ("weights", record.weights), ("finished", datetime.now().isoformat(" ", "minutes")),
            ("Python", sys.version.split()[0])]

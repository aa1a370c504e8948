"""One measure: its peers take turns on the same machine, and what they say is counted.

In:   a Measure, how many rounds, a folder for its files.
Out:  a dict for JSON: the figures of each side of each row, ratios round by round, how far the scores agree.
Not here: which measures there are (measures), tables and plots (report).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.machine import gpu
from bench.measures import Measure, Row
from bench.peers import PEERS, ROOT, BenchError, Worker, environment, threads

WARM = 2  # rounds that do not count: nets take memory, plans are made
PAUSE = 0.1  # seconds between turns, in which the threads of the last stop spinning
TURN = 2.0  # seconds that a turn lasts at least, for each peer alike


def counted(runs: list[float], **more: object) -> dict:
    """Return the middle and both ends of some runs, with the runs."""
    return {"median": statistics.median(runs), "least": min(runs), "most": max(runs), "runs": runs, **more}


def of_ours(module: str, *arguments: object) -> str:
    """Run a module of bench in a process like our worker's; gives its stdout.

    Raises:
        BenchError: it stopped; says its last line.
    """
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], cwd=ROOT, text=True,
                          env=environment(PEERS["ours"], threads()), capture_output=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise BenchError(f"{module} stopped ({done.returncode}): {last}")
    return done.stdout


def prepare(measure: Measure, folder: Path) -> dict:
    """Write the files that all peers read; gives the job that they have in common."""
    suffix = ":{}x{}".format(*measure.sizes[0]) if measure.kind == "step" else ""
    of_ours("bench.inputs", folder, *(f"{net}{suffix}" for net in measure.nets))
    rng = np.random.default_rng(0)
    images = []
    for height, width in measure.sizes:
        images.append(str(folder / f"image_{height}x{width}.npy"))
        np.save(images[-1], rng.normal(0, measure.spread, (1, 3, height, width)).astype(np.float32))
    if measure.kind == "forward":
        net = measure.nets[0]
        return {"kind": "forward", "prototxt": str(ROOT / "models" / net / "deploy.prototxt"), "images": images,
                "caffemodel": str(folder / f"{net}.caffemodel"), "npz": str(folder / f"{net}.npz")}
    label = folder / "label.npy"
    np.save(label, rng.integers(0, 9, (1, *measure.sizes[0])).astype(np.float32))
    return {"kind": "step", "steps": measure.steps, "trainings": [
        {"image": images[0], "label": str(label), "solver": str(folder / f"{net}-solver.prototxt"),
         "caffemodel": str(folder / f"{net}.caffemodel"), "npz": str(folder / f"{net}.npz"),
         **json.loads((folder / f"{net}.json").read_text())} for net in measure.nets]}


class Turns:
    """The workers of one measure; one that stops is out of the game, with its reason."""

    def __init__(self, measure: Measure, job: dict, seconds: float = TURN) -> None:
        self.seconds = seconds
        self.workers: dict[str, Worker] = {}
        self.out: dict[str, str] = {}
        self.runs: dict[str, list[float]] = {}
        self.parts: dict[str, list[list[float]]] = {}
        self.peaks: dict[str, float] = {}
        self.steps = measure.steps if measure.kind == "step" else 1
        for name, (peer, options) in measure.workers.items():
            reason = PEERS[peer].missing(measure.kind)
            if reason:
                self.out[name] = reason
                continue
            try:
                self.workers[name] = Worker(PEERS[peer], {**job, **options}, threads())
            except BenchError as error:
                self.out[name] = str(error)

    def round(self, number: int, counts: bool) -> None:
        """Let each worker do passes for a while; who begins changes from round to round."""
        names = list(self.workers)
        start = number % max(1, len(names))
        for name in names[start:] + names[:start]:
            time.sleep(PAUSE)
            try:
                self.workers[name].run()  # while others ran, the kernel may have taken memory from who waited
                replies = [self.workers[name].run()]
                while counts and sum(sum(reply["seconds"]) for reply in replies) < self.seconds:
                    replies.append(self.workers[name].run())
            except BenchError as error:
                self.out[name] = str(error)
                self.workers.pop(name).close()
                continue
            if counts:
                passes = [reply["seconds"] for reply in replies]
                parts = [sum(part) / len(part) / self.steps for part in zip(*passes, strict=True)]
                self.runs.setdefault(name, []).append(sum(parts) / len(parts))
                self.parts.setdefault(name, []).append(parts)
                self.peaks[name] = replies[-1]["peak_gib"]

    def answers(self, folder: Path) -> dict[str, np.ndarray]:
        """Return the last answer of each worker."""
        found = {}
        for i, (name, worker) in enumerate(self.workers.items()):
            worker.ask({"do": "answer", "path": str(folder / f"answer{i}.npy")})
            found[name] = np.load(folder / f"answer{i}.npy")
        return found

    def close(self) -> None:
        """End all processes."""
        for worker in self.workers.values():
            worker.close()


def run(measure: Measure, runs: int, folder: Path, small: bool = False,
        progress: Callable[[], object] = lambda: None) -> list[dict]:
    """Measure; gives the rows as dicts. A side that could not be measured has `left_out`, a text."""
    if measure.needs_gpu and gpu() is None:
        reason = "not measured: this machine has no CUDA device"
        return [{"name": row.name, "what": row.title, "left_out": reason} for row in measure.rows]
    if measure.program:
        return json.loads(of_ours(measure.program, "--json", *(["--quick"] if small else [])))
    turns = Turns(measure, prepare(measure, folder), 0 if small else TURN)
    try:
        for number in range(WARM + runs):
            turns.round(number, number >= WARM)
            progress()
        answers = turns.answers(folder) if measure.kind == "forward" else {}
    finally:
        turns.close()
    return [row_of(row, measure, turns, answers) for row in measure.rows]


def row_of(row: Row, measure: Measure, turns: Turns, answers: dict[str, np.ndarray]) -> dict:
    """Return one row: sides, ratios of each peer to ours, agreement."""
    sides: dict[str, dict] = {}
    for column in PEERS:
        name = row.sides.get(column)
        if name in turns.runs and name not in turns.out:
            sides[column] = counted(turns.runs[name], peak_gib=turns.peaks[name], parts=turns.parts[name])
        else:
            reason = turns.out.get(name) or PEERS[column].missing(measure.kind)
            sides[column] = {"left_out": reason or f"{PEERS[column].title} was not asked for"}
    ours = sides["ours"].get("runs", [])
    ratios = {column: counted([theirs / mine for theirs, mine in zip(side["runs"], ours)])
              for column, side in sides.items() if column != "ours" and "runs" in side and ours}
    return {"name": row.name, "what": row.title, "unit": "s", "sides": sides, "ratios": ratios,
            "agrees": agreement(answers, row)}


def agreement(answers: dict[str, np.ndarray], row: Row) -> dict:
    """Return the greatest difference of scores relative to the greatest score, and the share of equal argmax."""
    mine = answers.get(row.sides["ours"])
    found = {}
    for column, name in row.sides.items():
        if mine is not None and column != "ours" and name in answers:
            theirs = answers[name]
            found[column] = {"difference": float(np.abs(mine - theirs).max() / np.abs(theirs).max()),
                             "argmax_equal": float((mine.argmax(1) == theirs.argmax(1)).mean())}
    return found

"""The folder of one training, models/<net>/snapshot: what a killed run leaves and the next one goes on from.

In:   a net's name, its recipe, where it starts from, folders of data.
Out:  effective prototxts, the snapshot to go on from, the journal of losses and scores, the best weights.
Not here: the loop (solve), pictures (pictures).
A training is known by a digest of all that decides it; a folder with another digest is begun anew.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional

from caffe.proto import caffe_pb2
from nets.prototxt import read_prototxt, write_prototxt, write_text

from solvers import SolveError

STATE = re.compile(r"_iter_(\d+)\.solverstate$")


class RunFolder:
    """What is on disk of one training."""

    def __init__(self, model: Path, solver: Any, init: Optional[Path], dirs: Dict[str, str]) -> None:
        self.model = model
        self.path = model / "snapshot"
        self.solver = solver
        self.dirs = dirs
        self.best = self.path / "best.caffemodel"
        self.prefix = str(self.path / "train")
        self._journal = self.path / "journal.jsonl"
        self._digest_file = self.path / "run.json"
        self._digest = self._digest_of(init)

    def begin(self) -> int:
        """Return the iteration to go on from: that of the last whole snapshot of this same training, or 0."""
        self._lock()
        same = self._digest_file.exists() and self._digest_file.read_text() == self._digest
        if not same and self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        if not same:
            write_text(self._digest, self._digest_file)
        iteration = max(self.snapshots(), default=0)
        self._cut_journal(iteration)
        return iteration

    def _lock(self) -> None:
        """Keep other processes out of this folder until this one ends."""
        self.model.mkdir(parents=True, exist_ok=True)
        self._locked = open(self.model / ".lock", "w")  # noqa: SIM115  (held open: closing it unlocks)
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SolveError(f"'{self.model}': another process is training this net; wait for it or end it") from None

    def snapshots(self) -> List[int]:
        """Return the iterations of which both the solverstate and the caffemodel are there."""
        found = [int(match.group(1)) for match in map(STATE.search, os.listdir(self.path)) if match]
        return sorted(n for n in found if Path(f"{self.prefix}_iter_{n}.caffemodel").exists())

    def state(self, iteration: int) -> str:
        """Return the path of a snapshot's solverstate."""
        return f"{self.prefix}_iter_{iteration}.solverstate"

    def keep_last(self) -> None:
        """Remove all snapshots but the last (the best weights are a file of their own)."""
        for iteration in self.snapshots()[:-1]:
            for suffix in ("solverstate", "caffemodel"):
                os.unlink(f"{self.prefix}_iter_{iteration}.{suffix}")

    def write_prototxts(self, start: int) -> str:
        """Write the nets and the solver as this run uses them; return the solver's path.

        Args:
            start: passes that the training data layer has made before; it goes on after them.
        """
        effective = caffe_pb2.SolverParameter()
        effective.CopyFrom(self.solver)
        effective.train_net = str(self.path / "train.prototxt")
        effective.test_net[0] = str(self.path / "val.prototxt")
        effective.snapshot_prefix = self.prefix
        write_prototxt(self._net(self.solver.train_net, dict(self.dirs, start=start)), effective.train_net)
        write_prototxt(self._net(self.solver.test_net[0], self.dirs), effective.test_net[0])
        path = self.path / "solver.prototxt"
        write_prototxt(effective, path)
        return str(path)

    def _net(self, path: str, changes: Dict[str, Any]) -> Any:
        """Read a net and change keys of its data layers' param_str; keys a layer does not have are new."""
        net = read_prototxt(path, caffe_pb2.NetParameter())
        for layer in net.layer:
            if layer.type == "Python" and not layer.bottom:
                param = ast.literal_eval(layer.python_param.param_str)
                fitting = {key: value for key, value in changes.items()
                           if key in param or (key == "start" and value)}
                param.update(fitting)
                layer.python_param.param_str = repr(param)
        return net

    # -- the journal: one JSON object a line -----------------------------------------------------

    def note(self, **row: Any) -> None:
        """Append a row: an iteration with its loss, or with its scores."""
        with open(self._journal, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def rows(self) -> List[Dict[str, Any]]:
        """Return all rows; a last line that was cut off is left out."""
        if not self._journal.exists():
            return []
        rows = []
        for line in self._journal.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def best_row(self, key: str) -> Optional[Dict[str, Any]]:
        """Return the row with the highest score so far."""
        scored = [row for row in self.rows() if key in row]
        return max(scored, key=lambda row: row[key]) if scored else None

    def _cut_journal(self, iteration: int) -> None:
        kept = [row for row in self.rows() if row["iteration"] <= iteration]
        write_text("".join(json.dumps(row) + "\n" for row in kept), self._journal)

    def _digest_of(self, init: Optional[Path]) -> str:
        parts = {"solver": str(self.solver), "dirs": self.dirs,
                 "init": hashlib.sha256(init.read_bytes()).hexdigest() if init else None}
        for path in (self.solver.train_net, self.solver.test_net[0]):
            try:
                parts[path] = Path(path).read_text(encoding="utf-8")
            except OSError as error:
                raise SolveError(f"net '{path}': {error.strerror}; write it with `python -m nets`") from error
        return json.dumps({"training": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}) + "\n"

"""The folder of one training, models/<net>/snapshot: what a killed run leaves and the next one goes on from.

In:   where the net's folder is, its solver, where it starts from, folders of data.
Out:  effective prototxts, snapshots to go on from, the journal of losses and scores, the best weights.
Not here: the loop (solve), pictures (pictures).
A training is known by a digest of all that decides it; one with another digest begins anew, and what
the other left is put aside in models/<net>/snapshot.before.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional

from caffe.proto import caffe_pb2
from nets.prototxt import read_prototxt, write_prototxt, write_text
from ranks import Ranks
from solvers import SolveError

SNAPSHOT = re.compile(r"train_iter_(\d+)\.(caffemodel|solverstate)$")
KEPT = 2  # snapshots: the last, and the one before it should a disk lose the last


class RunFolder:
    """What is on disk of one training; as a context it keeps other processes out.

    Args:
        model: the net's folder; what the training makes lies in and under it.
        solver: SolverParameter of the recipe.
        origin: what else decides the training: text by name.
        init: caffemodel it starts from, or None.
        dirs: folders of data, by param_str key, in place of the prototxts'.
    """

    def __init__(self, model: Path, solver: Any, origin: Dict[str, Any], init: Optional[Path],
                 dirs: Dict[str, str]) -> None:
        self.model = model
        self.path = model / "snapshot"
        self.solver = solver
        self.prefix = str(self.path / "train")
        self._nets = {"train": _with(solver.train_net, dirs), "val": _with(solver.test_net[0], dirs)}
        self._journal = self.path / "journal.jsonl"
        self.ranks = Ranks()  # who this process is among those that train together
        self._digest = self._digest_of({**origin, "init": sha256(init) if init else None})

    def __enter__(self) -> RunFolder:
        """Lock the folder, put another training aside, clear away what a killed process left half done.

        Where several processes train together, the first does so for all.
        """
        if not self.ranks.is_first:
            return self
        self.model.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.model / ".lock", "w")  # noqa: SIM115  (held open: closing it unlocks)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._open()
        except BlockingIOError:
            self._lock.close()
            raise SolveError(f"'{self.model}': another process is training this net; wait for it or end it") from None
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Let other processes in."""
        if self.ranks.is_first:
            self._lock.close()

    def _open(self) -> None:
        digest_file = self.path / "run.json"
        if self.path.exists() and not (digest_file.exists() and digest_file.read_bytes() == self._digest.encode()):
            self._put_aside()
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self._digest, digest_file)
        for leftover in [*self.path.glob("*.part"), *self.path.glob(".*.part"), *self.path.glob("*.tempfile")]:
            leftover.unlink()

    def _put_aside(self) -> None:
        if not self.snapshots():
            shutil.rmtree(self.path)
            return
        aside = self.model / "snapshot.before"
        print(f"'{self.path}' is of a training with another net, recipe, start or data: beginning anew, "
              f"the other is kept in '{aside}'")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(aside)
        os.replace(self.path, aside)

    # -- snapshots -------------------------------------------------------------------------------

    def snapshots(self) -> List[int]:
        """Return the iterations of which both the solverstate and the caffemodel are there, in order."""
        return sorted(n for n in self._iterations() if Path(self.state(n)).exists() and self.weights(n).exists())

    def state(self, iteration: int) -> str:
        """Return the path of a snapshot's solverstate."""
        return f"{self.prefix}_iter_{iteration}.solverstate"

    def weights(self, iteration: int) -> Path:
        """Return the path of a snapshot's caffemodel."""
        return Path(f"{self.prefix}_iter_{iteration}.caffemodel")

    def drop(self, iteration: int) -> None:
        """Rename a snapshot that cannot be used, so that it is none any more."""
        for path in (self.state(iteration), str(self.weights(iteration))):
            os.replace(path, f"{path}.broken")

    def prune(self, key: str) -> None:
        """Remove all snapshots but the last ones, and the weights with the best score."""
        last, best = self.snapshots()[-KEPT:], self.best_row(key)
        for iteration in self._iterations():
            if iteration in last:
                continue
            gone = [Path(self.state(iteration))]
            if best is None or iteration != best["iteration"]:
                gone.append(self.weights(iteration))
            for path in gone:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()

    def _iterations(self) -> List[int]:
        return sorted({int(match.group(1)) for match in map(SNAPSHOT.match, os.listdir(self.path)) if match})

    # -- the nets and the solver as this run uses them -------------------------------------------

    def data_places(self) -> List[str]:
        """Return the folders and lists that the data layers read."""
        found = [value for net in self._nets.values() for param in map(_param_of, _data_layers(net))
                 for value in param.values() if isinstance(value, str)]
        return list(dict.fromkeys(found))

    def prototxt(self, name: str) -> Path:
        """Return the path of train, val or solver as this process uses it."""
        which = "" if self.ranks.is_first else f"-{self.ranks.rank}"
        return self.path / f"{name}{which}.prototxt"

    def write_prototxts(self, start: int) -> str:
        """Write the nets and the solver as this process uses them; return the solver's path.

        Args:
            start: passes that the training data layer has made before; it goes on after them.
        """
        for name, net in self._nets.items():
            used = _changed(net, "start", start) if name == "train" else _changed(net, "shard", self._shard())
            write_prototxt(used, self.prototxt(name))
        effective = caffe_pb2.SolverParameter()
        effective.CopyFrom(self.solver)
        effective.train_net = str(self.prototxt("train"))
        effective.test_net[0] = str(self.prototxt("val"))
        effective.snapshot_prefix = self.prefix
        path = self.prototxt("solver")
        write_prototxt(effective, path)
        return str(path)

    def _shard(self) -> Any:
        return self.ranks[:2] if self.ranks.count > 1 else None

    def _digest_of(self, origin: Dict[str, Any]) -> str:
        parts = {"solver": str(self.solver), **origin, **{name: str(net) for name, net in self._nets.items()}}
        return json.dumps({"training": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}) + "\n"

    # -- the journal: one JSON object a line -----------------------------------------------------

    def note(self, **row: Any) -> None:
        """Append a row: an iteration with its loss, or with its scores."""
        with open(self._journal, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def rows(self) -> List[Dict[str, Any]]:
        """Return all rows up to the first line that is none, such as one that was cut off."""
        if not self._journal.exists():
            return []
        rows = []
        for line in self._journal.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not isinstance(row, dict) or not isinstance(row.get("iteration"), int):
                break
            rows.append(row)
        return rows

    def best_row(self, key: str) -> Optional[Dict[str, Any]]:
        """Return the row with the highest score so far, the later of equals, whose weights are there."""
        scored = [row for row in self.rows() if key in row and self.weights(row["iteration"]).exists()]
        return max(scored, key=lambda row: (_or_least(row[key]), row["iteration"])) if scored else None

    def is_scored(self, iteration: int, key: str) -> bool:
        """Tell whether the journal has this iteration's score."""
        return any(row["iteration"] == iteration and key in row for row in self.rows())

    def cut_journal(self, iteration: int) -> None:
        """Take rows after this iteration out: the run goes on from here."""
        kept = [row for row in self.rows() if row["iteration"] <= iteration]
        write_text("".join(json.dumps(row) + "\n" for row in kept), self._journal)


def _with(path: str, changes: Dict[str, Any]) -> Any:
    """Read a net and change keys of its data layers' param_str, where they have them."""
    if not Path(path).is_file():
        raise SolveError(f"net '{path}' is missing; write it with `python -m nets` (`make nets`)")
    net = read_prototxt(path, caffe_pb2.NetParameter())
    for layer in _data_layers(net):
        param = _param_of(layer)
        param.update({key: value for key, value in changes.items() if key in param})
        layer.python_param.param_str = repr(param)
    return net


def _changed(net: Any, key: str, value: Any) -> Any:
    """Copy a net with a key in its data layers' param_str; an empty value leaves it out, a shard is one of a split."""
    copy = caffe_pb2.NetParameter()
    copy.CopyFrom(net)
    for layer in _data_layers(copy) if value else []:
        if key != "shard" or "split" in _param_of(layer):
            layer.python_param.param_str = repr({**_param_of(layer), key: value})
    return copy


def _data_layers(net: Any) -> List[Any]:
    return [layer for layer in net.layer if layer.type == "Python" and not layer.bottom]


def _param_of(layer: Any) -> Dict[str, Any]:
    return dict(ast.literal_eval(layer.python_param.param_str))


def _or_least(score: float) -> float:
    """Give a score, -1 for one that is not defined (nothing labelled)."""
    return -1.0 if math.isnan(score) else score


def sha256(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()

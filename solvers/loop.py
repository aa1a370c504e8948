"""Step and score by turns: one progress bar, a journal, a snapshot before every score, stops between iterations.

In:   a solver that is ready to step, the folder of its run, what scores it.
Out:  snapshots and journal in the run's folder, loss.png and val.png in the net's.
Not here: where the solver starts from, publishing (solve), files of a run (run_folder), metrics (score.py).
Source: solve.py of the FCN release, which steps and scores by turns.
"""

from __future__ import annotations

import math
import signal
import sys
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Union

from tqdm import tqdm

from ranks import Ranks
from solvers import SolveError
from solvers.pictures import draw_curve, draw_grid
from solvers.run_folder import RunFolder
from solvers.scoring import Classification, Segmentation

Scorer = Union[Segmentation, Classification]


@dataclass
class Loop:
    """One training from where its solver stands to max_iter, scored every `step` iterations."""

    name: str
    solver: Any
    folder: RunFolder
    scorer: Scorer
    step: int
    classes: Sequence[str]  # of the pictures' legend
    ranks: Ranks = Ranks()  # of several processes, the first writes, draws and decides when to stop
    _losses: List[float] = field(default_factory=list)

    def run(self) -> None:
        """Train.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; a snapshot is written, the message says so.
            SolveError: the loss is no number any more.
        """
        solver, param = self.solver, self.folder.solver
        self._stop = _StopRequest(self.ranks)
        solver.add_callback(self._stop.check, self._keep_loss)
        pause = 0.2 if sys.stderr.isatty() else 10  # seconds; a log wants few lines
        bar = tqdm(total=param.max_iter, initial=solver.iter, desc=self.name, unit="it", dynamic_ncols=True,
                   mininterval=pause, disable=not self.ranks.is_first)
        with bar, self._stop:
            try:
                self._score_if_due(bar)  # a run that was killed while it scored has not yet
                while solver.iter < param.max_iter:
                    self._advance(bar, param.display, param.max_iter)
                    self._score_if_due(bar)
                    self._stop.check()
            except RuntimeError:
                if self._stop.asked and not self.ranks.is_first:  # the first has stopped
                    raise KeyboardInterrupt(f"process {self.ranks.rank} stopped") from None
                raise
            except KeyboardInterrupt:
                self._snapshot()
                raise KeyboardInterrupt(f"{self.name}: stopped at iteration {solver.iter}; the same command goes on "
                                        "from there") from None

    def _advance(self, bar: Any, display: int, max_iter: int) -> None:
        """Step to the next display, scoring or end, whichever comes first, and note the loss."""
        done = self.solver.iter
        self.solver.step(min(display - done % display, self.step - done % self.step, max_iter - done))
        loss = self._mean_loss()
        if not math.isfinite(loss):
            raise SolveError(f"{self.name}: the loss is {loss} at iteration {self.solver.iter}, and more training "
                             f"mends nothing; lower base_lr in solvers/recipes.py, or check images and labels")
        if not self.ranks.is_first:
            return
        self.folder.note(iteration=self.solver.iter, loss=loss)
        self.folder.prune(self.scorer.key)
        best = self.folder.best_row(self.scorer.key)
        bar.set_postfix({"loss": f"{loss:.4g}", **_shown(self.scorer.key, best)}, refresh=False)
        bar.update(self.solver.iter - done)

    def _keep_loss(self) -> None:
        """Keep an iteration's loss, unless the solver does: on a GPU, looking at each would wait for it."""
        if not hasattr(type(self.solver), "smoothed_loss"):  # genuine Caffe; asked of the class: asking itself looks
            self._losses.append(float(self.solver.net.blobs["loss"].data))

    def _mean_loss(self) -> float:
        """Return the mean loss of the iterations since the last display; the solver's is over average_loss of them."""
        if not self._losses:
            return float(self.solver.smoothed_loss)
        losses, self._losses = self._losses, []
        return sum(losses) / len(losses)

    def _score_if_due(self, bar: Any) -> None:
        """Score at every `step` and at the end, once; the journal's row comes last and makes it done."""
        iteration, key = self.solver.iter, self.scorer.key
        due = iteration and (iteration % self.step == 0 or iteration == self.folder.solver.max_iter)
        if not due or self.folder.is_scored(iteration, key):
            return
        self._snapshot()  # the weights that are scored; the best stay
        with bar.external_write_mode():
            row = {"iteration": iteration, **self.scorer(self.solver, self._stop.check)}
        if not self.ranks.is_first:
            return
        draw_curve([*self.folder.rows(), row], key, self.name, self.folder.model / "loss.png")
        if self.scorer.rows:
            draw_grid(self.scorer.rows, self.classes, self.folder.model / "val.png")
        self.folder.note(**row)
        self.folder.prune(key)
        bar.set_postfix(_shown(key, self.folder.best_row(key)), refresh=False)

    def _snapshot(self) -> None:
        """Write a snapshot, unless this iteration's is there, or nothing was done yet."""
        if self.ranks.is_first and self.solver.iter and self.solver.iter not in self.folder.snapshots():
            self.solver.snapshot()


def _shown(key: str, best: Optional[Dict[str, Any]]) -> Dict[str, str]:
    return {f"best {key}": f"{best[key]:.3f}"} if best else {}


class _StopRequest:
    """Turns Ctrl-C, and SIGTERM, which Slurm and torchrun send before they end a process, into a stop.

    The stop is between two iterations or images; a second signal stops at once, without a snapshot.
    Of several processes the first stops, and the others when it has gone; torchrun hands every signal on, so that
    they may get it twice, and ends what is left after half a minute.
    """

    SIGNALS = signal.SIGINT, signal.SIGTERM

    def __init__(self, ranks: Ranks) -> None:
        self.asked = False
        self._ranks = ranks
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, signum: int, frame: Any) -> None:
        if self.asked and self._ranks.count == 1:
            print("\nerror: stopped at once; the same command goes on from the last snapshot", file=sys.stderr)
            raise SystemExit(130)
        self.asked = True

    def check(self) -> None:
        """Raise KeyboardInterrupt when a signal has come."""
        if self.asked and self._ranks.is_first:
            raise KeyboardInterrupt

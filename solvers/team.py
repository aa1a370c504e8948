"""The processes that train one net: who does what, and what joins them.

In:   Ranks (torchrun's environment), the net's folder, a solver of each process.
Out:  solvers whose gradients are averaged before each update; a Meeting for scores.
Not here: the gradients (caffe.NCCL), the loop, what a single process does.
Source: train.py of pycaffe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import caffe
from ranks import Meeting, Ranks, here
from solvers import SolveError


class Team:
    """One process and what it knows of the others; alone it changes nothing.

    Args:
        model: the net's folder, which all processes see.
        reduce: mean or sum of the processes' gradients.
        exact: let losses divide by what all processes count, not each by its own.

    Raises:
        SolveError: this Caffe cannot train in several processes, or not so.
        RanksError: a process that does not come.
    """

    def __init__(self, model: Path, reduce: str = "mean", exact: bool = False) -> None:
        self.ranks: Ranks = here()
        self._options: Dict[str, Any] = {}
        if reduce != "mean":
            self._options["reduce"] = reduce
        if exact:
            self._options["exact_normalizer"] = True
        if self.ranks.count > 1:
            if not getattr(caffe, "has_nccl", lambda: False)():
                raise SolveError(f"WORLD_SIZE is {self.ranks.count}, and this Caffe trains in one process only "
                                 "(caffe.has_nccl()); start it without torchrun")
            caffe.set_solver_count(self.ranks.count)
            caffe.set_solver_rank(self.ranks.rank)
            caffe.set_multiprocess(True)
        self.meeting = Meeting(self.ranks, model / ".ranks")

    def __enter__(self) -> Team:
        """Go on when all are there."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the meeting."""
        self.meeting.__exit__(*exc)

    @property
    def is_first(self) -> bool:
        """Whether this process saves, scores and speaks."""
        return self.ranks.is_first

    def join(self, solver: Any) -> None:
        """Give a solver the first one's weights, and let its gradients be reduced from now on."""
        if self.ranks.count == 1:
            return
        uid = bytes.fromhex(self.meeting.tell(caffe.NCCL.new_uid().hex() if self.is_first else None))
        try:
            nccl = caffe.NCCL(solver, uid, **self._options)
        except TypeError:  # genuine Caffe's has the mean alone
            raise SolveError(f"this Caffe's NCCL takes no {', '.join(self._options)}; leave --reduce and "
                             "--exact-normalizer out") from None
        nccl.bcast()
        solver.add_callback(nccl)
        if solver.param.layer_wise_reduce:
            solver.net.after_backward(nccl)
        self._nccl = nccl  # genuine Caffe keeps no reference

"""Solvers by name.

In:   a solver prototxt. Out: the solver its `type` names.
Not here: the solvers themselves.   Source: BVLC solver_factory.hpp.
"""

from __future__ import annotations

import os

from .errors import SolverError
from .proto_text import read_solver_param
from .sgd_solver import SGDSolver
from .solver import Solver

SOLVERS: dict[str, type[Solver]] = {"SGD": SGDSolver}
NOT_YET = ("Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")


def get_solver(param_file: str | os.PathLike[str]) -> Solver:
    """Build the solver that the `type` of a solver prototxt names.

    Raises:
        SolverError: a type that is unknown or not there yet; else as the solver's constructor.
    """
    param = read_solver_param(os.fspath(param_file))
    if param.type not in SOLVERS:
        raise _unknown(param.type, f"{os.fspath(param_file)}: ")
    return SOLVERS[param.type].from_param(param)


def _unknown(kind: str, where: str = "") -> SolverError:
    what = f"solver type {kind} is not there yet" if kind in NOT_YET else f"Unknown solver type: {kind}"
    return SolverError(f"{where}{what} (known types: {', '.join(SOLVERS)})")

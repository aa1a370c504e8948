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
from .update_rules import AdaDeltaSolver, AdaGradSolver, AdamSolver, NesterovSolver, RMSPropSolver

_CLASSES = (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
SOLVERS: dict[str, type[Solver]] = {solver.type: solver for solver in _CLASSES}


def get_solver(param_file: str | os.PathLike[str]) -> Solver:
    """Build the solver that the `type` of a solver prototxt names.

    Raises:
        SolverError: a type that is unknown; else as the solver's constructor.
    """
    param = read_solver_param(os.fspath(param_file))
    if param.type not in SOLVERS:
        raise SolverError(f"{os.fspath(param_file)}: Unknown solver type: {param.type} "
                          f"(known types: {', '.join(SOLVERS)})")
    return SOLVERS[param.type].from_param(param)

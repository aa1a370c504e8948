"""Solvers by name.

In:   a solver prototxt. Out: the solver its `type` names.
Not here: the solvers themselves.   Source: BVLC solver_factory.hpp.
"""

from __future__ import annotations

import os
from typing import Any

from ..errors import SolverError
from ..files.proto_text import read_solver_param
from ..paths import path_of
from .sgd_solver import SGDSolver
from .solver import Solver
from .update_rules import AdaDeltaSolver, AdaGradSolver, AdamSolver, NesterovSolver, RMSPropSolver

_CLASSES = (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
SOLVERS: dict[str, type[Solver]] = {solver.type: solver for solver in _CLASSES}


def get_solver(param_file: str | os.PathLike[str]) -> Solver:
    """Build the solver that the `type` of a solver prototxt names.

    Raises:
        SolverError: an unknown type; otherwise as the solver's constructor.
    """
    path = path_of("get_solver", param_file, "a solver prototxt")
    return solver_of(read_solver_param(path), path)


def solver_of(param: Any, source: str = "solver") -> Solver:
    """Build the solver that a SolverParameter names; messages call it `source`; raises as `get_solver`."""
    if param.type not in SOLVERS:
        raise SolverError(f"{source}: Unknown solver type: {param.type} (known types: {', '.join(SOLVERS)})")
    return SOLVERS[param.type].from_param(param)

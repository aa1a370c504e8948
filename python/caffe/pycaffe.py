"""BVLC's module name for the pycaffe classes; they are defined in `caffe._caffe`.

Out:  Net, the six solvers, get_solver, NCCL, Timer. Not here: anything of its own.
"""

from ._caffe.net import Net
from ._caffe.parallel import NCCL
from ._caffe.sgd_solver import SGDSolver
from ._caffe.solver_factory import get_solver
from ._caffe.timer import Timer
from ._caffe.update_rules import AdaDeltaSolver, AdaGradSolver, AdamSolver, NesterovSolver, RMSPropSolver

__all__ = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "NCCL", "Net", "NesterovSolver", "RMSPropSolver",
           "SGDSolver", "Timer", "get_solver"]

"""BVLC's module name for the pycaffe classes; they are defined in `caffe._caffe`.

Out:  Net, the six solvers, get_solver, NCCL, Timer. Not here: anything of its own.
"""

from ._caffe.net.net import Net
from ._caffe.solvers.factory import get_solver
from ._caffe.solvers.parallel import NCCL
from ._caffe.solvers.sgd_solver import SGDSolver
from ._caffe.solvers.update_rules import AdaDeltaSolver, AdaGradSolver, AdamSolver, NesterovSolver, RMSPropSolver
from ._caffe.timer import Timer

__all__ = ["AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "NCCL", "Net", "NesterovSolver", "RMSPropSolver",
           "SGDSolver", "Timer", "get_solver"]

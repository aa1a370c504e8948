"""BVLC's module name for the pycaffe classes; they are defined in `caffe._caffe`.

Out:  Net, SGDSolver, get_solver. Not here: anything of its own.
"""

from ._caffe.net import Net
from ._caffe.sgd_solver import SGDSolver
from ._caffe.solver_factory import get_solver

__all__ = ["Net", "SGDSolver", "get_solver"]

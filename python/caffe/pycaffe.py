"""BVLC's module name for the pycaffe classes; they are defined in `caffe._caffe`.

Out:  Net, SGDSolver, get_solver. Not here: anything of its own.
"""

from ._caffe.net import Net

__all__ = ["Net"]

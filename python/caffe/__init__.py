"""Caffe's Python interface on PyTorch: `import caffe`, as scripts of 2014 to 2018 know it.

Out:  BVLC's public names. Not here: definitions; they stand in the modules imported below.
"""

from typing import NoReturn

from . import coord_map, io, net_spec
from ._caffe.blob import Blob
from ._caffe.common import (
    TEST,
    TRAIN,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_precision,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from ._caffe.errors import CaffeError, LayerError, NetError, ProtoError, SolverError
from ._caffe.layer import Layer
from ._caffe.layer_factory import layer_type_list
from ._caffe.log import info as log
from ._caffe.log import init_log
from .net_spec import NetSpec, layers, params, to_proto
from .proto.caffe_pb2 import LayerParameter, SolverParameter
from .pycaffe import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    Net,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__version__ = "1.0.0"

__all__ = [
    "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "CaffeError", "Layer", "LayerError", "LayerParameter",
    "NesterovSolver", "Net", "NetError", "NetSpec", "ProtoError", "RMSPropSolver", "SGDSolver", "SolverError",
    "SolverParameter", "TEST", "TRAIN", "coord_map", "get_solver", "has_nccl", "init_log", "io", "layer_type_list",
    "layers", "log", "net_spec", "params", "set_device", "set_mode_cpu", "set_mode_gpu", "set_multiprocess",
    "set_precision", "set_random_seed", "set_solver_count", "set_solver_rank", "solver_count", "solver_rank",
    "to_proto",
]

_NOT_YET = {"Classifier", "Detector", "NCCL", "Timer", "classifier", "detector", "draw"}


def has_nccl() -> bool:
    """Tell whether several GPUs can train together; not yet."""
    return False


def __getattr__(name: str) -> NoReturn:
    if name in _NOT_YET:
        raise AttributeError(f"caffe.{name} is not there yet in this engine")
    raise AttributeError(f"module 'caffe' has no attribute '{name}'")

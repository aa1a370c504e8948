"""Caffe's Python interface on PyTorch: `import caffe`, as scripts of 2014 to 2018 know it.

Out:  BVLC's public names. Not here: definitions; they are in the modules imported below.
"""

from typing import Any

from . import coord_map, draw, io, net_spec
from ._caffe import forks as _forks  # noqa: F401 - from here on forks are safe
from ._caffe.blob import Blob
from ._caffe.common import (
    TEST,
    TRAIN,
    set_device,
    set_graphs,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_plans,
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
from ._caffe.layers.base.torch_layer import register_torch_layer
from ._caffe.log import init_log, log
from ._caffe.solvers.parallel import NCCL, has_nccl
from ._caffe.threads import choose as choose_threads
from ._caffe.timer import Timer
from .classifier import Classifier
from .detector import Detector
from .net_spec import NetSpec, layers, params, to_proto
from .proto import caffe_pb2
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
    "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "CaffeError", "Classifier", "Detector", "Layer",
    "LayerError", "LayerParameter", "NCCL", "NesterovSolver", "Net", "NetError", "NetSpec", "ProtoError",
    "RMSPropSolver", "SGDSolver", "SolverError", "SolverParameter", "TEST", "TRAIN", "Timer", "choose_threads",
    "coord_map", "draw", "get_solver", "has_nccl", "init_log", "io", "layer_type_list", "layers", "log", "net_spec",
    "params", "register_torch_layer", "set_device", "set_graphs", "set_mode_cpu", "set_mode_gpu", "set_multiprocess",
    "set_plans", "set_precision", "set_random_seed", "set_solver_count", "set_solver_rank", "solver_count",
    "solver_rank", "to_proto",
]


def __getattr__(name: str) -> Any:
    if name in ("LayerParameter", "SolverParameter"):  # as they are now: users' own layers recreate them
        return getattr(caffe_pb2, name)
    raise AttributeError(f"module 'caffe' has no attribute '{name}'")
